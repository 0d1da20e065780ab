"""Settings: documented, filled from task and variant, checked by name, and kept as they are."""

import ast
import dataclasses
import importlib.util
import json
import math
import pathlib
import re
import subprocess
import sys

import numpy as np
import pytest

import rvdt_jax.config.defaults
from rvdt_jax.algorithms.variants import VARIANTS
from rvdt_jax.config import checks as config_checks
from rvdt_jax.config.defaults import default_config
from rvdt_jax.config.serialization import (
    changes,
    complete_older,
    from_json,
    run_differences,
    to_json,
    training_settings,
)
from rvdt_jax.config.settings import complete_config, left_open, resolve, settings_for, targets_of
from rvdt_jax.runs.workdir import default_workdir
from rvdt_jax.tasks import all_tasks, get_task

ROOT = pathlib.Path(__file__).resolve().parents[2]
CONFIG_FILES = sorted((ROOT / "experiments" / "configs").glob("*.py"))

# The names that users rely on.
PROMISED = {
    "": ("task", "variant", "seeds", "workdir", "env"),
    "train.": ("steps", "batch_size", "learning_rate", "grad_clip_norm"),
    "model.": ("width", "layers", "heads", "context_length", "dropout", "dtype"),
    "loss.": ("eta", "alpha", "gamma", "rebalancing", "reward_scale", "reward_shift"),
    "ema.": ("decay", "every", "start"),
    "expert.": ("by", "fraction", "threshold"),
    "policy.": ("head", "std", "return_scale"),
    "eval.": ("every", "episodes", "targets", "horizon", "processes", "parallel_episodes", "action_selection"),
    "data.": ("source", "minari_id", "observation_keys", "path"),
    "parallel.": ("devices",),
}


def resolved(overrides=None, **more):
    """The configuration with ``overrides`` by dotted name, as on the command line."""
    settings = default_config()
    settings.update_from_flattened_dict({"task": "maze2d-umaze-v1"} | (overrides or {}) | more)
    return resolve(settings)


def of_own_data(overrides=None, **more):
    """The same for a Minari data set that belongs to no task."""
    return resolved({"data.minari_id": "toy/walk-v1"} | (overrides or {}), **{"task": None} | more)


def flatten(values: dict, prefix: str = "") -> dict:
    """Nested dicts by dotted name."""
    leaves = {}
    for name, value in values.items():
        leaves |= flatten(value, f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name: value}
    return leaves


FIELDS = tuple(flatten(default_config().to_dict()))


def get(config, dotted):
    for name in dotted.split("."):
        config = getattr(config, name)
    return config


# The list of fields.


def test_every_field_has_a_comment_on_its_line():
    source = pathlib.Path(rvdt_jax.config.defaults.__file__).read_text(encoding="utf-8")
    lines = source.splitlines()
    commented = {}
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Assign) or ast.unparse(node.value) == "ConfigDict()":
            continue
        target = ast.unparse(node.targets[0])
        if target.startswith("config."):
            comment = re.fullmatch(r"\s*config\.[\w.]+ = [^#]+?  # (.+)", lines[node.lineno - 1])
            commented[target.removeprefix("config.")] = comment[1] if comment else ""
    assert set(commented) == set(FIELDS)
    assert [name for name, comment in commented.items() if len(comment) < 8] == []


@pytest.mark.parametrize("name", [section + name for section, names in PROMISED.items() for name in names])
def test_the_names_that_users_rely_on_exist(name):
    assert name in FIELDS


def test_every_field_arrives_in_the_resolved_configuration():
    assert set(flatten(to_json(resolved()))) == set(FIELDS)


# What is left unset comes from the task and the variant.


@pytest.mark.parametrize("task", list(all_tasks().values()), ids=lambda task: task.name)
def test_unset_fields_come_from_the_task(task):
    config = resolved(task=task.name, variant="RVDT")
    assert config.task == task.name
    assert config.train.steps == task.train_steps
    assert config.train.lr_decay_steps == task.lr_decay_steps
    assert config.train.grad_clip_norm == task.grad_clip_norm
    assert config.model.context_length == task.context_length
    assert config.policy.return_scale == task.return_scale
    assert config.eval.targets == task.targets
    assert config.loss.eta == task.eta > 0
    assert (config.loss.reward_scale, config.loss.reward_shift) == (task.reward_scale, task.reward_shift)


def test_what_the_data_set_says_is_left_open_by_the_task():
    config = resolved()
    assert config.data.minari_id is None  # the first of the task's that can be had
    assert config.data.observation_keys is None
    assert config.env is None
    assert config.eval.horizon is None


def test_one_task_shifts_its_rewards():
    config = resolved(task="antmaze-large-diverse-v0")
    assert (config.loss.reward_scale, config.loss.reward_shift) == (4.0, -0.5)


@pytest.mark.parametrize("name", VARIANTS)
def test_unset_fields_come_from_the_variant(name):
    variant, config = VARIANTS[name], resolved(variant=name)
    assert config.loss.rebalancing == variant.rebalancing
    assert config.loss.q_guidance == variant.q_guidance
    assert (config.loss.eta > 0) == variant.q_guidance
    assert config.policy.head == variant.head
    assert config.policy.condition_on_return == variant.condition_on_return
    assert config.expert.only == variant.expert_only


def test_a_checkpoint_comes_with_every_evaluation_unless_said_otherwise():
    assert resolved({"eval.every": 700}).train.checkpoint_every == 700
    assert resolved({"eval.every": 700, "train.checkpoint_every": 300}).train.checkpoint_every == 300


def test_no_devices_named_means_all_of_them():
    assert resolved().parallel.devices == 0


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("train.steps", 17),
        ("train.lr_decay_steps", 23),
        ("train.grad_clip_norm", 0.125),
        ("model.context_length", 3),
        ("policy.return_scale", 2.5),
        ("eval.targets", (7.0, 8.0)),
        ("data.minari_id", "mine/data-v3"),
        ("data.observation_keys", ("achieved_goal", "observation")),
        ("env", "Hopper-v5"),
        ("eval.horizon", 250),
        ("eval.processes", 3),
        ("eval.parallel_episodes", 5),
        ("loss.reward_scale", 0.1),
        ("loss.reward_shift", -1.0),
        ("parallel.devices", 1),
        ("loss.eta", 0.75),
        ("loss.eta", 0.0),
        ("loss.rebalancing", "none"),
        ("loss.q_guidance", False),
        ("policy.head", "deterministic"),
        ("policy.condition_on_return", False),
        ("expert.only", True),
        ("expert.threshold", 12.0),
        ("workdir", "runs/mine"),
        ("seeds", (3, 1)),
    ],
)
def test_explicit_settings_win(name, value):
    assert get(resolved(variant="RVDT"), name) != value  # another value would have been filled in
    assert get(resolved({name: value}, variant="RVDT"), name) == value


@pytest.mark.parametrize(("regime", "fraction"), [("D1", 0.1), ("D2", 0.05), ("D3", 0.02), ("D4", 0.01)])
def test_a_low_data_regime_is_a_share_of_the_trajectories(regime, fraction):
    assert resolved({"data.regime": regime}).data.fraction == fraction
    assert resolved({"data.regime": regime, "data.fraction": fraction}).data.fraction == fraction
    assert resolved().data.fraction == 1.0
    with pytest.raises(ValueError, match=rf"regime={regime} keeps {fraction:g} .* config.data.fraction is 0.5"):
        resolved({"data.regime": regime, "data.fraction": 0.5})


def test_an_unknown_regime_is_named_with_those_there_are():
    with pytest.raises(ValueError, match=r"config\.data\.regime is 'D5'; choose one of D1, D2, D3, D4"):
        resolved({"data.regime": "D5"})


def test_without_q_guidance_eta_is_zero():
    assert resolved({"loss.q_guidance": False}, variant="RVDT").loss.eta == 0.0
    assert of_own_data({"loss.q_guidance": False}, variant="RVDT").loss.eta == 0.0


# Without a task.


def test_without_a_task_the_rest_comes_from_the_data():
    config = of_own_data(variant="RVDT")
    assert config.task is None
    assert (config.train.steps, config.train.lr_decay_steps, config.train.grad_clip_norm) == (100_000, 100_000, 9.0)
    assert (config.loss.eta, config.loss.reward_scale, config.loss.reward_shift) == (1.0, 1.0, 0.0)
    assert config.model.context_length is None
    assert config.policy.return_scale is None
    assert config.eval.targets is None
    assert config.eval.horizon is None


def test_without_a_task_the_learning_rate_falls_to_the_last_update():
    assert of_own_data({"train.steps": 700}).train.lr_decay_steps == 700
    assert of_own_data({"train.steps": 700, "train.lr_decay_steps": 300}).train.lr_decay_steps == 300


def test_a_flat_file_needs_no_task_either():
    config = resolved({"data.source": "file", "data.path": "mine.npz"}, task=None)
    assert (config.task, config.data.minari_id, config.data.path) == (None, None, "mine.npz")


RETURNS = np.arange(0.0, 101.0, 10.0)  # 0, 10, ..., 100: the 90th percentile is 90


def test_targets_are_the_maximum_the_90th_percentile_and_the_maximum_raised():
    assert targets_of(RETURNS) == (100.0, 90.0, 120.0)
    assert targets_of(-10.0 - RETURNS) == (-10.0, -20.0, -8.0)  # raised, not lowered


def test_equal_targets_are_named_once():
    assert targets_of(np.array([5.0, 5.0])) == (5.0, 6.0)
    assert targets_of(np.zeros(3)) == (0.0,)
    assert targets_of(np.array([-2.0])) == (-2.0, -1.6)


def test_the_largest_return_that_can_be_reached_is_a_target_where_it_is_beyond_the_data():
    assert targets_of(RETURNS, 600.0) == (100.0, 90.0, 120.0, 600.0)
    assert targets_of(RETURNS, 50.0) == targets_of(RETURNS)


def test_targets_have_six_digits():
    assert targets_of(np.array([1234567.0])) == (1234570.0, 1481480.0)
    assert targets_of(np.array([1 / 3])) == (0.333333, 0.4)


def test_the_data_fill_what_is_left_open():
    config = complete_config(of_own_data(), RETURNS, longest=70)
    assert config.eval.targets == (100.0, 90.0, 120.0)
    assert config.policy.return_scale == 100.0
    assert config.model.context_length == 20
    assert to_json(config) | {"eval": 0, "policy": 0, "model": 0} == to_json(of_own_data()) | {
        "eval": 0,
        "policy": 0,
        "model": 0,
    }


def test_the_scale_is_the_largest_return_by_size_and_never_zero():
    assert complete_config(of_own_data(), np.array([-30.0, 20.0]), longest=70).policy.return_scale == 30.0
    assert complete_config(of_own_data(), np.zeros(4), longest=70).policy.return_scale == 1.0


def test_no_context_is_longer_than_the_longest_episode():
    assert complete_config(of_own_data(), RETURNS, longest=7).model.context_length == 7


def test_what_is_said_stays_whatever_the_data():
    said = {"eval.targets": (3.0,), "policy.return_scale": 2.0, "model.context_length": 5}
    config = complete_config(of_own_data(said), RETURNS, longest=70)
    assert {name: get(config, name) for name in said} == said


@pytest.mark.parametrize("name", ["hopper-medium-v2", "antmaze-umaze-v0"])
def test_a_tasks_settings_stay_whatever_the_data(name):
    assert complete_config(resolved(task=name), RETURNS, longest=70) == resolved(task=name)


def test_completing_changes_nothing_the_second_time():
    config = complete_config(of_own_data(), RETURNS, longest=70)
    assert complete_config(config, -RETURNS, longest=3) == config


def test_episodes_of_one_step_cannot_carry_a_critic():
    with pytest.raises(ValueError, match=r"config\.model\.context_length must be at least 2 with Q-guidance"):
        complete_config(of_own_data(variant="RVDT"), RETURNS, longest=1)
    assert complete_config(of_own_data(variant="DT"), RETURNS, longest=1).model.context_length == 1


# Data that the caller names.


def test_the_callers_data_take_the_place_of_the_settings():
    settings = default_config()
    settings.task, settings.data.source, settings.data.path = "maze2d-umaze-v1", "file", "mine.npz"
    config = settings_for("toy/walk-v1", "auto", settings)
    assert (config.task, config.data.minari_id, config.data.path) == ("maze2d-umaze-v1", "toy/walk-v1", None)


def test_the_callers_settings_are_left_as_they_were():
    settings = default_config()
    settings.data.minari_id = "other/data-v0"
    before = settings.to_json()
    assert settings_for("toy/walk-v1", "auto", settings).data.minari_id == "toy/walk-v1"
    assert settings.to_json() == before


def test_the_callers_data_need_no_settings():
    assert settings_for("toy/walk-v1", "auto", None) == of_own_data()


def test_the_callers_data_take_the_place_of_resolved_settings():
    given = resolved({"train.steps": 3, "data.minari_id": "other/data-v0"})
    config = settings_for("toy/walk-v1", "auto", given)
    assert config.data.minari_id == "toy/walk-v1"
    assert dataclasses.replace(config, data=given.data) == given


def test_resolving_leaves_the_settings_as_they_were():
    settings = default_config()
    settings.task = "maze2d-umaze-v1"
    before = settings.to_json()
    resolve(settings)
    assert settings.to_json() == before


# What is out of range.

BAD_NUMBERS = {
    "train.steps": (0, -1),
    "train.batch_size": (0, -1),
    "train.learning_rate": (-1e-4,),
    "train.critic_learning_rate": (-1e-4,),
    "train.lr_decay_steps": (0, -1),
    "train.grad_clip_norm": (0.0, -1.0),
    "train.weight_decay": (-1e-4,),
    "train.log_every": (0, -1),
    "train.checkpoint_every": (0, -100),
    "train.keep_checkpoints": (0, -1),
    "model.width": (0, -4),
    "model.layers": (0, -1),
    "model.heads": (0, -1),
    "model.context_length": (0, -1),
    "model.dropout": (-0.1, 1.0, 1.5),
    "model.critic_width": (0, -1),
    "model.critic_layers": (0, -1),
    "loss.eta": (-0.1,),
    "loss.alpha": (-0.1,),
    "loss.gamma": (-0.1, 1.001),
    "loss.reward_scale": (0.0, -1.0),
    "loss.target_rate": (-0.1, 1.001),
    "loss.state_prediction": (-0.1,),
    "ema.decay": (-0.1, 1.001),
    "ema.every": (0, -1),
    "ema.start": (-1,),
    "expert.fraction": (0.0, -0.1, 1.001),
    "data.fraction": (0.0, -0.1, 1.001),
    "data.subset_seed": (-1,),
    "policy.std": (0.0, -0.1),
    "policy.return_scale": (0.0, -1.0),
    "eval.every": (0, -100),
    "eval.episodes": (0, -1),
    "eval.curve_episodes": (0, -1),
    "eval.horizon": (0, -1),
    "eval.candidates": (0, -1),
    "loss.n_step": (0, -1),
    "loss.eta_warmup": (-1,),
    "model.critic_fourier_features": (-1,),
    "model.policy_fourier_features": (-1,),
    "model.fourier_scale": (0.0, -1.0),
    "eval.processes": (-1, 1025),
    "eval.parallel_episodes": (0, -1),
    "parallel.devices": (-1,),
}
UNBOUNDED = {"loss.reward_shift"}  # any finite number


def numeric_fields():
    """Every field that holds one number."""
    values = flatten(to_json(resolved({"eval.horizon": 300, "loss.n_step": 1})))
    return {name for name, value in values.items() if isinstance(value, int | float) and not isinstance(value, bool)}


def test_the_list_of_bad_numbers_leaves_no_field_out():
    assert set(BAD_NUMBERS) | UNBOUNDED == numeric_fields()


def test_every_number_is_checked_and_every_check_is_of_a_field():
    checked = [name for name, _, _ in config_checks._RANGES]
    assert sorted(checked) == sorted(numeric_fields())


@pytest.mark.parametrize(("name", "value"), [(name, value) for name in BAD_NUMBERS for value in BAD_NUMBERS[name]])
def test_a_number_out_of_range_is_named(name, value):
    with pytest.raises(
        ValueError, match=rf"config\.{re.escape(name)} is {re.escape(str(value))}; it must be"
    ) as caught:
        resolved({name: value})
    assert re.search(r"between \S+ and|at least \S+", str(caught.value))


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize(
    "name",
    [name for name in (*BAD_NUMBERS, *UNBOUNDED) if isinstance(get(resolved(), name), float)],
    ids=lambda name: name,
)
def test_a_number_that_is_not_finite_is_named(name, value):
    with pytest.raises(ValueError, match=rf"config\.{re.escape(name)} is {value}; it must be finite"):
        resolved({name: value})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("loss.gamma", 0.0),
        ("loss.gamma", 1.0),
        ("loss.alpha", 0.0),
        ("loss.target_rate", 1.0),
        ("ema.decay", 0.0),
        ("ema.start", 0),
        ("expert.fraction", 1.0),
        ("model.dropout", 0.0),
        ("train.learning_rate", 0.0),
        ("train.weight_decay", 0.0),
        ("train.steps", 1),
        ("eval.episodes", 1),
        ("eval.horizon", 1),
        ("eval.processes", 1024),
        ("loss.reward_shift", -1e6),
    ],
)
def test_the_ends_of_a_range_belong_to_it(name, value):
    assert get(resolved({name: value}), name) == value


@pytest.mark.parametrize(
    ("name", "value", "choices"),
    [
        ("loss.rebalancing", "KL", "none, dup, kl, kl_explicit"),
        ("policy.head", "tanh", "deterministic, gaussian"),
        ("model.dtype", "float16", "float32, bfloat16"),
        ("model.positions", "learned", "episode, window"),
        ("train.on_divergence", "ignore", "stop, skip, rollback"),
        ("expert.by", "state", "start, return"),
        ("data.source", "d4rl", "auto, minari, file"),
        ("eval.action_selection", "max", "mean, sample, critic"),
        ("parallel.seeds", "pmap", "auto, vmap, loop"),
    ],
)
def test_an_unknown_choice_is_named_with_those_there_are(name, value, choices):
    with pytest.raises(ValueError, match=rf"config\.{re.escape(name)} is '{value}'; choose one of {choices}"):
        resolved({name: value})


@pytest.mark.parametrize("task", [None, ""])
def test_neither_a_task_nor_data_is_refused_with_both_ways_out(task):
    config = resolved(task=task)  # rvdt_jax.fit may still be handed data
    with pytest.raises(ValueError, match=r"config\.task is not set. Name a task.*--config\.data\.minari_id=ID"):
        config_checks.check_names_data(config)


@pytest.mark.parametrize("named", [{"data.minari_id": "toy/walk-v1"}, {"data.source": "file", "data.path": "x.npz"}])
def test_a_task_or_data_of_ones_own_is_enough(named):
    config_checks.check_names_data(resolved(named, task=None))
    config_checks.check_names_data(resolved())


@pytest.mark.parametrize("task", [None, ""])
def test_no_task_is_none(task):
    assert of_own_data(task=task).task is None


@pytest.mark.parametrize("dataset_id", ["D4RL/pen/human-v2", "toy-v0", "mujoco/half_cheetah/medium-v0", "a/v1.5-v0"])
def test_a_minari_id_is_taken_as_it_is(dataset_id):
    assert of_own_data({"data.minari_id": dataset_id}).data.minari_id == dataset_id


@pytest.mark.parametrize(
    "dataset_id",
    [
        "../toy-v0",
        "a/../toy-v0",
        "/toy-v0",
        "toy/walk-v1/",
        "toy//walk-v1",
        "toy walk-v1",
        "hf://x/toy-v0",
        ".",
        "a/..",
        "~/x",
    ],
)
def test_what_is_no_minari_id_is_refused_with_an_example(dataset_id):
    with pytest.raises(
        ValueError, match=r"config\.data\.minari_id=.* is no Minari id: .*such as D4RL/pen/human-v2"
    ) as no:
        of_own_data({"data.minari_id": dataset_id})
    assert repr(dataset_id) in str(no.value)


def test_an_unknown_task_is_named_with_the_nearest():
    with pytest.raises(ValueError, match=r"task.*maze2d-umze-v1.*Did you mean 'maze2d-umaze-v1'"):
        resolved(task="maze2d-umze-v1")


def test_an_unknown_variant_is_named_with_the_nearest():
    with pytest.raises(ValueError, match=r"config\.variant.*'rvtd'.*Did you mean 'RVDT'"):
        resolved(variant="rvtd")


# What contradicts itself.


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"seeds": ()}, r"config\.seeds is \(\); give one or more"),
        ({"seeds": (0, 1, 0)}, r"config\.seeds is \(0, 1, 0\); give .*different"),
        ({"data.observation_keys": ("a", "b", "a")}, r"config\.data\.observation_keys is .*; give different names"),
        ({"data.observation_keys": ("a", "")}, r"config\.data\.observation_keys is .*; give different names"),
        ({"data.observation_keys": (1,)}, r"config\.data\.observation_keys is .*; give different names"),
        ({"data.path": "mine.npz"}, r"config\.data\.path is set, but config\.data\.source is auto"),
        ({"expert.threshold": float("nan")}, r"config\.expert\.threshold is nan"),
        ({"eval.targets": (50.0, 20.0, 50.0)}, r"config\.eval\.targets is .*; give one or more different, finite"),
        ({"policy.learn_std": True, "policy.std": 2.0}, r"config\.policy\.std=2\.0 .* between 0\.00674 and 1\.65"),
        ({"ema.start": 10**10}, r"config\.ema\.start is 10000000000; it must be .*2\.14748e\+09"),
        ({"seeds": (0, -1)}, r"config\.seeds is \(0, -1\); give .*from 0 to"),
        ({"model.width": 250}, r"config\.model\.width=250 is not a multiple of heads=4"),
        ({"model.heads": 3}, r"config\.model\.width=256 is not a multiple of heads=3"),
        (
            {"train.log_every": 100, "eval.every": 150},
            r"config\.eval\.every=150 is not a multiple of train\.log_every=100",
        ),
        ({"train.checkpoint_every": 150}, r"config\.train\.checkpoint_every=150 is not a multiple of train\.log_every"),
        ({"train.log_every": 300}, r"config\.eval\.every=1000 is not a multiple of train\.log_every=300"),
        ({"model.context_length": 1}, r"config\.model\.context_length must be at least 2 with Q-guidance"),
        ({"eval.targets": ()}, r"config\.eval\.targets is \(\); give one or more different, finite"),
        (
            {"eval.targets": (1.0, math.nan)},
            r"config\.eval\.targets is \(1\.0, nan\); give .*finite",
        ),
        ({"eval.targets": (math.inf,)}, r"config\.eval\.targets is \(inf,\); give one or more different, finite"),
        ({"variant": "DT", "loss.rebalancing": "kl_explicit"}, r"config\.loss\.rebalancing=kl_explicit needs"),
        ({"data.source": "file"}, r"config\.data\.source=file needs config\.data\.path"),
    ],
)
def test_contradictory_settings_are_named(overrides, message):
    with pytest.raises(ValueError, match=message):
        resolved(overrides)


@pytest.mark.parametrize(
    ("name", "value", "others", "instead", "reason"),
    [
        ("loss.eta", 0.5, {"variant": "DT"}, 0.0, "without Q-guidance there is no critic"),
        ("loss.eta", 0.5, {"loss.q_guidance": False}, 0.0, "without Q-guidance there is no critic"),
        ("eval.action_selection", "critic", {"variant": "RDT"}, "mean", "without Q-guidance there is no critic"),
        ("eval.action_selection", "best_of", {"variant": "BC"}, "mean", "without Q-guidance there is no critic"),
        ("eval.action_selection", "sample", {"variant": "QT"}, "mean", "a deterministic policy has no std"),
        ("policy.learn_std", True, {"variant": "DT"}, False, "a deterministic policy has no std"),
    ],
)
def test_a_setting_that_a_variant_does_not_use_is_ignored_with_one_line(name, value, others, instead, reason, caplog):
    """So that one file can serve several variants."""
    with caplog.at_level("INFO", logger="rvdt_jax"):
        config = resolved({name: value} | others)
    assert get(config, name) == instead
    (line,) = caplog.messages
    assert line == f"config.{name}={value} is ignored: {reason} (variant {config.variant})"
    assert config == resolved(others)


def test_nothing_is_said_of_settings_that_are_used(caplog):
    with caplog.at_level("INFO", logger="rvdt_jax"):
        resolved({"loss.eta": 0.5, "eval.action_selection": "sample", "policy.learn_std": True})
        resolved({"loss.eta": 0.0}, variant="DT")
    assert caplog.messages == []


@pytest.mark.parametrize(
    ("section", "change", "message"),
    [
        ("eval", {"action_selection": "best_of"}, r"config\.eval\.action_selection=best_of needs a critic"),
        ("eval", {"action_selection": "sample"}, r"config\.eval\.action_selection=sample needs"),
        ("policy", {"learn_std": True}, r"config\.policy\.learn_std=True needs policy\.head=gaussian"),
    ],
)
def test_what_is_asked_of_a_resolved_configuration_is_refused(section, change, message):
    """``evaluate.py --action_selection`` asks for it explicitly, of one run."""
    config = resolved(variant="DT")
    changed = dataclasses.replace(getattr(config, section), **change)
    with pytest.raises(ValueError, match=message):
        config_checks.check_config(dataclasses.replace(config, **{section: changed}))


@pytest.mark.parametrize(
    "overrides",
    [
        {"seeds": (5, 0)},
        {"model.width": 250, "model.heads": 5},
        {"eval.every": 150, "train.log_every": 50},
        {"variant": "RDT", "model.context_length": 1},
        {"variant": "QT", "eval.action_selection": "critic"},
        {"variant": "RDT", "eval.action_selection": "sample"},
        {"variant": "RDT", "loss.rebalancing": "kl_explicit"},
        {"data.source": "file", "data.path": "mine.npz"},
        {"variant": "RDT", "loss.q_guidance": True, "loss.eta": 0.5},
        {"variant": "RDT", "loss.eta": 0.0},
        {"eval.targets": (-3.0, 0.0)},
        {"data.observation_keys": ("desired_goal.kettle", "observation")},
        {"env": "none"},
    ],
    ids=str,
)
def test_settings_that_agree_are_accepted(overrides):
    config = resolved(overrides)
    for name, value in overrides.items():
        assert get(config, name) == value


# What is of the wrong type, missing, or misspelt.


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("train.steps", "many"),
        ("train.batch_size", 2.5),
        ("loss.alpha", "strong"),
        ("loss.q_guidance", "perhaps"),
        ("model.dtype", 32),
        ("policy.learn_std", "yes"),
        ("expert.threshold", "high"),
        ("seeds", 3),
        ("eval.targets", 50.0),
        ("eval.horizon", 2.5),
        ("data.observation_keys", 3),
        ("env", 3),
    ],
)
def test_a_value_of_the_wrong_type_is_named(name, value):
    with pytest.raises((TypeError, ValueError), match=name.split(".")[-1]):
        resolved({name: value})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("seeds", ("a",)),
        ("seeds", (0.5,)),
        ("seeds", (2**40,)),  # a seed becomes an int32
        ("eval.targets", ("high",)),
        ("eval.targets", (None,)),
    ],
)
def test_an_element_of_the_wrong_kind_is_named(name, value):
    with pytest.raises(ValueError, match=rf"config\.{re.escape(name)}\b"):
        resolved({name: value})


@pytest.mark.parametrize("name", ["variant", "seeds", "train.batch_size", "loss.alpha", "policy.std", "eval.every"])
def test_a_default_that_was_taken_away_is_named(name):
    with pytest.raises(ValueError, match=rf"config\.{re.escape(name)}\b"):
        resolved({name: None})


def test_whole_numbers_serve_as_fractional_ones():
    config = resolved({"loss.alpha": 2, "eval.targets": (50, 100)})
    assert (config.loss.alpha, config.eval.targets) == (2.0, (50.0, 100.0))
    assert all(isinstance(value, float) for value in (config.loss.alpha, *config.eval.targets))


@pytest.mark.parametrize(("section", "typo", "nearest"), [("train", "stesp", "steps"), (None, "sedes", "seeds")])
def test_a_misspelt_field_is_refused_with_the_nearest(section, typo, nearest):
    settings = default_config()
    settings.task = "maze2d-umaze-v1"

    def misspell():
        setattr(settings[section] if section else settings, typo, 3)
        resolve(settings)

    with pytest.raises((ValueError, AttributeError, KeyError), match=nearest):
        misspell()


@pytest.mark.parametrize(("typo", "nearest"), [("train.stesp=3", "steps"), ("sedes=1", "seeds")])
def test_a_misspelt_flag_ends_the_launcher_with_the_nearest(typo, nearest):
    command = [sys.executable, "experiments/run.py", "--config=configs/maze2d.py", f"--config.{typo}"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 2
    assert f'Did you mean "{nearest}"' in result.stderr
    assert "Traceback" not in result.stderr
    assert r"\n" not in result.stderr  # words for a reader, not a repr


# What is resolved stays as it is.


def test_a_resolved_configuration_cannot_be_changed():
    config = resolved()
    for name in FIELDS:
        section, _, field = name.rpartition(".")
        owner = getattr(config, section) if section else config
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(owner, field, None)
    assert hash(config) == hash(resolved())


@pytest.mark.parametrize("name", VARIANTS)
def test_json_and_back_is_the_same_configuration(name):
    config = resolved({"seeds": (4, 2), "workdir": "runs/x", "expert.threshold": 3.5}, variant=name)
    again = from_json(json.loads(json.dumps(to_json(config))))
    assert again == config
    assert hash(again) == hash(config)  # tuples are tuples again


@pytest.mark.parametrize("overrides", [{}, {"data.observation_keys": ("b", "a")}, {"env": "none", "eval.horizon": 9}])
def test_json_and_back_is_the_same_configuration_of_data_without_a_task(overrides):
    for config in (complete_config(of_own_data(overrides), RETURNS, longest=70), of_own_data(overrides)):
        again = from_json(json.loads(json.dumps(to_json(config))))
        assert again == config
        assert hash(again) == hash(config)


def with_other_value(values, name):
    """A copy of nested ``values`` where the leaf called ``name`` is another."""
    copy = json.loads(json.dumps(values))
    section, _, field = name.rpartition(".")
    (copy[section] if section else copy)[field] = "another"
    return copy


NOT_OF_THE_PARAMETERS = {"workdir", "env", "train.log_every", "train.checkpoint_every", "train.keep_checkpoints"}
NOT_OF_THE_PARAMETERS |= {"train.steps", "train.lr_decay_steps"}  # they may change while a run goes on
NOT_OF_THE_PARAMETERS |= {"data.source", "data.path"}  # where the data lie; what they are, their digest says
NOT_OF_THE_PARAMETERS |= {name for name in FIELDS if name.startswith(("eval.", "parallel."))}


@pytest.mark.parametrize("name", FIELDS)
def test_training_settings_hold_what_must_stay_for_training_to_go_on(name):
    values = to_json(resolved())
    unchanged = training_settings(with_other_value(values, name)) == training_settings(values)
    assert unchanged == (name in NOT_OF_THE_PARAMETERS)


def test_training_settings_of_an_older_version_are_todays():
    values = to_json(resolved())
    older = json.loads(json.dumps({name: value for name, value in values.items() if name not in ("eval", "env")}))
    del older["data"]["regime"], older["loss"]["n_step"]
    assert training_settings(older) == training_settings(values)


def test_training_settings_survive_a_file():
    values = training_settings(to_json(resolved()))
    assert json.loads(json.dumps(values)) == values


def test_a_run_does_not_differ_from_itself():
    config = resolved({"seeds": (1, 2)})
    assert run_differences(config, json.loads(json.dumps(to_json(config)))) == []


@pytest.mark.parametrize("name", FIELDS)
def test_a_run_differs_by_every_setting_but_those_that_may_change(name):
    config = resolved()
    found = run_differences(config, with_other_value(to_json(config), name))
    if name in NOT_OF_THE_PARAMETERS or name == "data.minari_id":  # the last: whichever was found
        assert found == []
    else:
        (phrase,) = found
        assert phrase.startswith(f"config.{name} is 'another' there, ")


LAYOUT = {"workdir", "eval.processes", "eval.parallel_episodes", "data.source", "data.path"}


@pytest.mark.parametrize("name", FIELDS)
def test_what_may_change_and_has_is_named_with_both_values(name):
    config = resolved()
    found = changes(config, with_other_value(to_json(config), name))
    if name in NOT_OF_THE_PARAMETERS - LAYOUT and not name.startswith("parallel."):
        now = get(config, name)
        assert found == {name: ["another", list(now) if isinstance(now, tuple) else now]}
    else:
        assert found == {}


def test_a_run_that_is_guided_under_its_targets_differs_by_them():
    config = resolved({"loss.guidance_return": "target"})
    (phrase,) = run_differences(config, with_other_value(to_json(config), "eval.targets"))
    assert phrase.startswith("config.eval.targets is 'another' there, ")


def test_what_a_resumed_run_keeps_is_left_open_until_it_is_set():
    settings = default_config()
    kept = ("train.steps", "train.lr_decay_steps", "eval.targets", "eval.horizon", "eval.action_selection", "env")
    assert left_open(settings) == left_open(None) == kept
    settings.train.steps, settings.env = 5, "none"
    assert left_open(settings) == kept[1:-1]
    assert left_open(resolved()) == ()


OPEN = {"model.context_length": 20, "policy.return_scale": 100.0}


@pytest.mark.parametrize("name", OPEN)
def test_what_the_data_filled_in_does_not_differ_while_it_is_left_open(name):
    """``--resume`` begins before the data have been seen, and ends with what they tell."""
    done = complete_config(of_own_data(), RETURNS, longest=70)
    values = json.loads(json.dumps(to_json(done)))
    assert run_differences(of_own_data(), values) == []
    assert run_differences(done, values) == []
    assert run_differences(of_own_data({name: OPEN[name]}), values) == []
    other = {"model.context_length": 19, "policy.return_scale": 7.0}[name]
    (phrase,) = run_differences(of_own_data({name: other}), values)
    assert phrase.startswith(f"config.{name} is ")


def test_other_data_would_fill_in_other_values_and_that_differs():
    values = json.loads(json.dumps(to_json(complete_config(of_own_data(), RETURNS, longest=70))))
    found = run_differences(complete_config(of_own_data(), RETURNS / 2, longest=5), values)
    assert [phrase.split(" is ")[0] for phrase in found] == [
        "config.model.context_length",
        "config.policy.return_scale",
    ]


def test_a_task_left_out_is_a_difference():
    values = json.loads(json.dumps(to_json(resolved({"data.minari_id": "toy/walk-v1"}))))
    assert any(
        phrase.startswith("config.task is 'maze2d-umaze-v1' there") for phrase in run_differences(of_own_data(), values)
    )


# Where a run goes.


@pytest.mark.parametrize(
    ("overrides", "folder"),
    [
        ({"task": "maze2d-umaze-v1"}, "runs/maze2d-umaze-v1/RVDT"),
        ({"task": "maze2d-umaze-v1", "variant": "%BC"}, "runs/maze2d-umaze-v1/percent-BC"),
        ({"task": "pen-human-v1", "data.minari_id": "D4RL/pen/human-v2"}, "runs/pen-human-v1/RVDT"),
        ({"task": None, "data.minari_id": "mujoco/hopper/expert-v0"}, "runs/mujoco/hopper/expert-v0/RVDT"),
        ({"task": None, "data.source": "file", "data.path": "/a/b/my data.v2.npz"}, "runs/my_data.v2/RVDT"),
        ({"task": None, "data.source": "file", "data.path": "../secret/mine.npz"}, "runs/mine/RVDT"),
    ],
)
def test_a_run_goes_under_the_name_of_its_task_or_else_of_its_data(overrides, folder):
    assert default_workdir(resolved(overrides)) == pathlib.Path(folder)


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("a/b/c-v0", "runs/a/b/c-v0/DT"),
        ("../../etc/x-v0", "runs/etc/x-v0/DT"),
        ("/etc/x-v0", "runs/etc/x-v0/DT"),
        ("a/./b/../c", "runs/a/b/c/DT"),
        ("my data, part 2", "runs/my_data_part_2/DT"),
        ("..", "runs/DT"),
        ("a//b", "runs/a/b/DT"),
        ("a\nb\\c", "runs/a_b_c/DT"),
    ],
)
def test_no_name_of_data_leads_out_of_the_folder_of_runs(name, folder):
    """Episodes handed over bear any name; see ``rvdt_jax.fit``."""
    config = of_own_data(variant="DT")
    named = dataclasses.replace(config, data=dataclasses.replace(config.data, minari_id=name))
    assert default_workdir(named) == pathlib.Path(folder)


@pytest.mark.parametrize("path", [".", "/", ".."])
def test_a_folder_in_place_of_a_file_has_a_place_under_the_folder_of_runs(path):
    config = resolved({"data.source": "file", "data.path": "x.npz"}, task=None, variant="DT")
    odd = dataclasses.replace(config, data=dataclasses.replace(config.data, path=path))
    assert default_workdir(odd).parts[0] == "runs"


# The files.


def settings_of(path):
    spec = importlib.util.spec_from_file_location(f"config_file_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.get_config()


@pytest.mark.parametrize("path", CONFIG_FILES, ids=lambda path: path.name)
def test_every_configuration_file_resolves_as_it_is(path):
    settings = settings_of(path)
    assert set(flatten(settings.to_dict())) == set(FIELDS)
    if path.stem == "own":  # data of one's own: what is left to say is which
        settings.data.minari_id = "toy/walk-v1"
        assert resolve(settings).task is None
    else:
        assert resolve(settings).task in all_tasks()


def test_every_family_of_tasks_has_its_configuration_file():
    families = {task.family for task in all_tasks().values()}
    others = {"benchmark_small": "maze2d", "maze2d_small": "maze2d", "recreated_small": "gym"}
    assert {path.stem for path in CONFIG_FILES} == families | others.keys() | {"own"}
    for path in CONFIG_FILES:
        if path.stem != "own":
            assert get_task(settings_of(path).task).family == others.get(path.stem, path.stem)


def test_the_range_of_a_learned_std_is_the_models():
    from rvdt_jax.config import checks as config_checks
    from rvdt_jax.models import policy

    assert config_checks.LOG_STD_RANGE == policy.LOG_STD_RANGE


def test_settings_from_before_a_field_came_mean_what_they_meant():
    values = json.loads(json.dumps(to_json(resolved())))
    for section, name in (
        ("data", "regime"),
        ("data", "fraction"),
        ("data", "subset_seed"),
        ("expert", "by"),
        ("model", "positions"),
        ("train", "on_divergence"),
    ):
        del values[section][name]
    values["model"]["plain"] = True  # was a setting once
    assert from_json(values) == resolved({"expert.by": "return"})
    assert run_differences(resolved({"expert.by": "return"}), values) == []
    assert run_differences(resolved(), values) == ["config.expert.by is 'return' there, 'start' here"]
    assert complete_older(training_settings(values)) == training_settings(to_json(resolved({"expert.by": "return"})))
    assert complete_older(to_json(resolved())) == to_json(resolved())


def test_experts_are_picked_given_their_start_unless_it_is_said_otherwise():
    assert resolved().expert.by == "start"
    assert resolved({"expert.by": "return"}).expert.by == "return"


@pytest.mark.parametrize(
    "path", sorted(ROOT.glob("experiments/results/**/config.json")), ids=lambda path: path.parent.name
)
def test_every_committed_record_of_settings_can_be_read(path):
    assert from_json(json.loads(path.read_text(encoding="utf-8"))).variant in VARIANTS
