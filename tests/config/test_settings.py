"""Settings: declared once, and filled from task, variant, size and data."""

import re
import runpy
import sys
import types

import numpy as np
import pytest
from launching import ROOT, launch
from settings_helpers import get, leaves, of_own_data, resolved

from rvdt_jax.algorithms.variants import VARIANTS, Variant
from rvdt_jax.config.declaration import REQUIRED, flat
from rvdt_jax.config.defaults import default_config, settings_page
from rvdt_jax.config.fields import FIELDS
from rvdt_jax.config.filling import read_rows
from rvdt_jax.config.settings import complete_config, resolve, settings_for, targets_of
from rvdt_jax.tasks import all_tasks, get_task

CONFIGS = ROOT / "experiments" / "configs"
FAMILIES = ("adroit", "antmaze", "gym", "kitchen", "maze2d")

# The names that users rely on.
PROMISED = """
    task variant size seeds workdir env train.steps train.batch_size train.learning_rate train.grad_clip_norm
    model.width model.layers model.heads model.context_length model.dropout model.dtype
    loss.eta loss.alpha loss.gamma loss.rebalancing loss.reward_scale loss.reward_shift ema.decay ema.every ema.start
    expert.by expert.fraction expert.threshold policy.head policy.std policy.return_scale eval.every eval.episodes
    eval.targets eval.horizon eval.processes eval.parallel_episodes eval.action_selection
    data.source data.minari_id data.observation_keys data.path parallel.devices
"""


def test_the_names_that_users_rely_on_exist_and_arrive():
    assert set(PROMISED.split()) <= set(FIELDS) == set(flat(default_config().to_dict())) == set(leaves(resolved()))


def test_the_page_of_settings_is_whole_and_up_to_date():
    page = (CONFIGS / "README.md").read_text(encoding="utf-8")
    assert page == settings_page() == launch("run.py", "--settings").stdout
    assert re.findall(r"^\| `([\w.]+)` \|", page, re.MULTILINE) == list(FIELDS)


@pytest.mark.parametrize("field", FIELDS.values(), ids=lambda field: field.name)
def test_a_declaration_is_whole(field):
    assert field.sentence.endswith(".")
    assert field.resume in ("same", "kept", "free")
    if not field.begins_unset:
        assert isinstance(field.default, field.kind)
    if field.older is not REQUIRED:
        assert field.older is None or isinstance(field.older, field.kind)
    if field.same_as:
        assert field.begins_unset
        assert not FIELDS[field.same_as].same_as


@pytest.mark.parametrize("task", list(all_tasks().values())[::3], ids=lambda task: task.name)
def test_unset_fields_come_from_the_task(task):
    config = resolved(task=task.name, variant="RVDT")
    assert (config.train.steps, config.train.lr_decay_steps) == (task.train_steps, task.lr_decay_steps)
    assert (config.train.grad_clip_norm, config.model.context_length) == (task.grad_clip_norm, task.context_length)
    assert (config.policy.return_scale, config.eval.targets) == (task.return_scale, task.targets)
    assert config.loss.eta == task.eta > 0
    assert (config.loss.reward_scale, config.loss.reward_shift) == (task.reward_scale, task.reward_shift)


@pytest.mark.parametrize("name", VARIANTS)
def test_unset_fields_come_from_the_variant(name):
    variant, config = VARIANTS[name], resolved(variant=name)
    assert (config.loss.rebalancing, config.loss.q_guidance) == (variant.rebalancing, variant.q_guidance)
    assert (config.loss.eta > 0) == variant.q_guidance
    assert (config.policy.head, config.policy.condition_on_return) == (variant.head, variant.condition_on_return)
    assert config.expert.only == variant.expert_only
    assert config.expert.by == ("return" if name == "%BC" else "start")


def test_some_fields_follow_others_unless_they_are_given():
    config = resolved({"eval.every": 700, "train.learning_rate": 0.5})
    assert (config.train.checkpoint_every, config.train.critic_learning_rate) == (700, 0.5)
    assert resolved({"eval.every": 700, "train.checkpoint_every": 300}).train.checkpoint_every == 300
    assert of_own_data({"train.steps": 700}).train.lr_decay_steps == 700
    assert of_own_data({"train.steps": 700, "train.lr_decay_steps": 300}).train.lr_decay_steps == 300


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("train.steps", 17), ("train.lr_decay_steps", 23), ("train.grad_clip_norm", 0.125), ("seeds", (3, 1))),
        # The defaults of the reference size, also with the small one.
        *(("train.batch_size", 256), ("model.critic_fourier_features", 0)),
        *(("model.context_length", 3), ("policy.return_scale", 2.5), ("eval.targets", (7.0, 8.0))),
        *(("data.minari_id", "mine/data-v3"), ("data.observation_keys", ("achieved_goal", "observation"))),
        *(("env", "Hopper-v5"), ("eval.horizon", 250), ("eval.processes", 3), ("parallel.devices", 1)),
        *(("loss.reward_scale", 0.1), ("loss.reward_shift", -1.0), ("loss.eta", 0.75), ("loss.eta", 0.0)),
        *(("loss.rebalancing", "none"), ("loss.q_guidance", False), ("policy.head", "deterministic")),
        *(("policy.condition_on_return", False), ("expert.by", "return"), ("expert.only", True)),
    ],
)
@pytest.mark.parametrize("size", ["reference", "small"])
def test_explicit_settings_win(name, value, size):
    assert get(resolved({name: value}, variant="RVDT", size=size), name) == value
    if size == "small" or name not in ("train.batch_size", "model.critic_fourier_features"):
        assert get(resolved(variant="RVDT", size=size), name) != value  # another value would have been filled in


@pytest.mark.parametrize(("regime", "fraction"), [("D1", 0.1), ("D2", 0.05), ("D3", 0.02), ("D4", 0.01), (None, 1.0)])
def test_a_low_data_regime_is_a_share_of_the_trajectories(regime, fraction):
    for given in ({}, {"data.fraction": fraction}):
        assert resolved({"data.regime": regime} | given).data.fraction == fraction


NO_CRITIC, NO_STD = "without Q-guidance there is no critic", "a deterministic policy has no std"
UNREAD, TD3 = "TD3+BC does not read it", {"variant": "TD3+BC"}


@pytest.mark.parametrize(
    ("name", "value", "others", "reason"),
    [
        ("loss.eta", 0.5, {"variant": "DT"}, f"{NO_CRITIC} (variant DT)"),
        ("loss.eta", 0.5, {"loss.q_guidance": False}, f"{NO_CRITIC} (variant RVDT)"),
        ("eval.action_selection", "critic", {"variant": "RDT"}, f"{NO_CRITIC} (variant RDT)"),
        ("eval.action_selection", "best_of", {"variant": "BC"}, f"{NO_CRITIC} (variant BC)"),
        ("eval.action_selection", "sample", {"variant": "QT"}, f"{NO_STD} (variant QT)"),
        ("policy.learn_std", True, {"variant": "DT"}, f"{NO_STD} (variant DT)"),
        ("loss.n_step", 3, {"variant": "DT"}, f"{NO_CRITIC} (variant DT)"),
        ("ema.start", 7, {"variant": "RDT"}, f"{NO_CRITIC} (variant RDT)"),
        ("loss.alpha", 3.0, {"variant": "QT"}, "nothing is rebalanced (variant QT)"),
        ("iql.expectile", 0.9, TD3, UNREAD),
        ("model.layers", 9, TD3, f"{UNREAD}; the nearest that it reads is config.model.critic_layers"),
    ],
)
def test_a_setting_that_a_variant_does_not_use_is_ignored_with_one_line(name, value, others, reason, caplog):
    """So that one file can serve several variants."""
    caplog.set_level("INFO", logger="rvdt_jax")
    assert resolved({name: value} | others) == resolved(others)
    assert caplog.messages == [f"config.{name}={value} is ignored: {reason}"]


def test_a_variant_of_ones_own_says_itself_what_it_reads(monkeypatch):
    monkeypatch.setitem(sys.modules, "own_rows", types.ModuleType("own_rows"))
    row = Variant("none", False, "deterministic", algorithm="somebody.elses:ALGORITHM", reads=("train", "loss"))
    sys.modules["own_rows"].ROW = row
    given = {"loss.n_step": 3, "loss.alpha": 7.0, "loss.target_rate": 0.3}
    config = resolved(given, variant="own_rows:ROW")
    assert (config.loss.n_step, config.loss.alpha, config.loss.target_rate) == tuple(given.values())


def test_relabelling_reads_what_a_critic_of_the_run_would():
    assert resolved({"loss.target_rate": 0.05}, variant="QDT").loss.target_rate == 0.05


def test_nothing_is_said_of_settings_that_are_used_or_that_nobody_gave(caplog):
    caplog.set_level("INFO", logger="rvdt_jax")
    resolved({"loss.eta": 0.5, "eval.action_selection": "sample", "policy.learn_std": True})
    resolved({"loss.eta": 0.0}, variant="DT")
    resolved(size="small", variant="DT")
    assert caplog.messages == []


def test_the_small_size_of_maze2d_is_the_tuned_one():
    config = resolved(size="small", variant="RVDT")
    assert (config.train.steps, config.train.batch_size, config.train.learning_rate) == (10_000, 64, 1e-3)
    assert (config.model.width, config.model.layers, config.model.heads, config.model.context_length) == (32, 1, 2, 5)
    assert (config.model.critic_fourier_features, config.model.positions, config.policy.std) == (32, "window", 0.3)
    assert (config.loss.eta, config.loss.gamma, config.ema.every, config.seeds) == (20.0, 0.99, 1, (0, 1, 2))
    assert config.eval.targets == (300.0,)  # the horizon
    config = resolved(task="maze2d-large-dense-v1", size="small")
    assert (config.loss.eta, config.eval.targets) == (40.0, (800.0,))
    assert resolved(size="small", variant="DT").loss.eta == 0.0


def test_the_small_size_of_other_tasks_aims_at_a_score_of_100_and_of_ones_own_data_at_what_they_hold():
    config = resolved(task="pen-human-v1", size="small", variant="QT")
    assert (config.train.steps, config.train.batch_size, config.loss.eta) == (8000, 256, get_task("pen-human-v1").eta)
    assert (config.eval.targets, config.eval.every, config.model.critic_fourier_features) == ((3076.83,), 4000, 0)
    config = of_own_data(size="small")
    assert (config.train.steps, config.model.width, config.loss.eta, config.eval.targets) == (8000, 32, 1.0, None)


def test_a_field_that_a_table_fills_has_a_row_and_says_so():
    rows = (*read_rows("small_settings"), *read_rows("algorithm_settings"))
    fillable = {name for name, field in FIELDS.items() if field.begins_unset}
    assert {name for name, field in FIELDS.items() if field.sized} <= {row["field"] for row in rows} <= fillable
    assert {name for row in read_rows("algorithm_settings") for name in row["variants"].split()} <= set(VARIANTS)


def test_other_algorithms_have_their_papers_settings_whatever_the_size_unless_they_are_given():
    for size, steps in (("reference", 1_000_000), ("small", 25_000)):
        config = resolved(variant="IQL", size=size)
        assert (config.train.steps, config.train.lr_decay_steps, config.train.batch_size) == (steps, steps, 256)
        assert (config.loss.gamma, config.iql.expectile, config.iql.temperature) == (0.99, 0.7, 3.0)
    config = resolved(variant="IQL", task="antmaze-umaze-v0")
    assert (config.iql.expectile, config.iql.temperature, config.loss.reward_shift) == (0.9, 10.0, -1.0)
    assert (config.iql.dropout, resolved(variant="IQL", task="pen-human-v1").iql.dropout) == (0.0, 0.1)
    config = resolved({"loss.eta": 3.0}, variant="ReBRAC")
    assert (config.loss.eta, config.model.critic_norm, config.td3.critic_penalty) == (3.0, "layer", 0.001)
    config = resolved(variant="TD3+BC", task="hopper-medium-v2")
    assert (config.loss.eta, config.loss.reward_scale) == (2.5, 1.0)
    tasks = ("halfcheetah-medium-v2", "hopper-medium-v2", "walker2d-medium-v2", "maze2d-umaze-v1")
    assert [resolved(variant="BEAR", task=task).bear.sigma for task in tasks] == [10.0, 10.0, 20.0, 20.0]


def test_rebrac_weighs_both_penalties_as_its_source_does_on_every_task():
    actions = {"halfcheetah": 6, "hopper": 3, "walker2d": 6, "antmaze": 8, "pen": 24, "hammer": 26, "maze2d": 2}
    found = {name: resolved(variant="ReBRAC", task=name) for name in all_tasks() if not name.startswith("kitchen")}
    penalties = {name: 1 / (config.loss.eta * actions[name.split("-")[0]]) for name, config in found.items()}
    assert {round(penalty, 4) for penalty in penalties.values()} == {0.001, 0.002, 0.003, 0.01, 0.05, 0.1}
    assert penalties["walker2d-medium-v2"] == pytest.approx(0.05, rel=1e-3)
    assert found["walker2d-medium-v2"].td3.critic_penalty == 0.1
    antmaze = found["antmaze-large-diverse-v0"]
    assert (antmaze.loss.reward_scale, antmaze.loss.reward_shift, antmaze.loss.gamma) == (100.0, 0.0, 0.999)
    assert (antmaze.train.critic_learning_rate, antmaze.train.batch_size) == (5e-5, 256)


RETURNS = np.arange(0.0, 101.0, 10.0)  # 0, 10, ..., 100: the 90th percentile is 90


@pytest.mark.parametrize(
    ("task", "given", "row", "scale"),
    [
        ("hopper-medium-v2", {}, None, 10.0),  # 1000 / (100 - 0)
        ("hopper-medium-v2", {"loss.reward_scale": 3.0}, "loss.return_span=1000", 3.0),
        ("antmaze-umaze-v0", {"loss.return_span": 50.0}, "loss.reward_scale=1", 0.5),  # 50 / (100 - 0)
    ],
)
def test_iql_scales_rewards_by_the_range_of_the_datas_returns_or_as_is_given(task, given, row, scale, caplog):
    caplog.set_level("INFO")
    config = resolved(given, variant="IQL", task=task)
    assert config.loss.reward_scale == given.get("loss.reward_scale")
    assert complete_config(config, RETURNS, 20).loss.reward_scale == scale
    words = "config.{}={:g} takes the place of the variant's config.{}"
    assert caplog.messages == [words.format(name, value, row) for name, value in given.items()]


def test_without_a_task_the_rest_comes_from_the_data():
    config = of_own_data(variant="RVDT")
    assert config.task is of_own_data(task="").task is None
    assert (config.train.steps, config.train.lr_decay_steps, config.train.grad_clip_norm) == (100_000, 100_000, 9.0)
    assert (config.loss.eta, config.loss.reward_scale, config.loss.reward_shift) == (1.0, None, 0.0)
    whole = complete_config(config, RETURNS, longest=70)
    filled = {"model.context_length": 20, "policy.return_scale": 100.0, "eval.targets": (100.0, 90.0, 120.0)}
    filled["loss.reward_scale"] = 0.1  # the critics' values are about 10, whatever the unit of the rewards
    assert {name: get(config, name) for name in filled} == dict.fromkeys(filled)
    assert leaves(whole) == leaves(config) | filled
    assert complete_config(whole, -RETURNS, longest=3) == whole  # the second time nothing changes


@pytest.mark.parametrize(
    ("returns", "reachable", "targets"),
    [
        *((RETURNS, None, (100.0, 90.0, 120.0)), (-10.0 - RETURNS, None, (-10.0, -20.0, 10.0))),
        *((RETURNS - 100.0, None, (0.0, -10.0, 20.0)), (RETURNS, 50.0, (100.0, 90.0, 120.0))),
        (RETURNS, 600.0, (100.0, 90.0, 120.0, 600.0)),
        *(([5.0, 5.0], None, (5.0,)), ([0.0, 0.0], None, (0.0,))),  # equal ones once
        *(([1234567.0], None, (1234570.0,)), ([1 / 3], None, (0.333333,))),  # six digits
    ],
)
def test_targets_are_maximum_90th_percentile_maximum_raised_and_what_can_be_reached(returns, reachable, targets):
    assert targets_of(np.array(returns), reachable) == targets


def test_the_scale_is_the_largest_return_by_size_and_no_context_is_longer_than_the_longest_episode():
    assert complete_config(of_own_data(), np.array([-30.0, 20.0]), longest=70).policy.return_scale == 30.0
    assert complete_config(of_own_data(), np.zeros(4), longest=70).policy.return_scale == 1.0
    for variant in ("DT", "RVDT"):
        assert complete_config(of_own_data(variant=variant), RETURNS, longest=1).model.context_length == 1


def test_what_is_given_or_of_the_task_stays_whatever_the_data():
    given = {"eval.targets": (3.0,), "policy.return_scale": 2.0, "model.context_length": 5}
    config = complete_config(of_own_data(given), RETURNS, longest=70)
    assert {name: get(config, name) for name in given} == given
    for name in ("hopper-medium-v2", "antmaze-umaze-v0"):
        assert complete_config(resolved(task=name), RETURNS, longest=70) == resolved(task=name)


def test_the_callers_data_take_the_place_of_the_settings():
    settings = default_config()
    settings.task, settings.data.source, settings.data.path = "maze2d-umaze-v1", "file", "mine.npz"
    before = settings.to_json()
    config = settings_for("toy/walk-v1", "auto", settings)
    assert (config.task, config.data.minari_id, config.data.path) == ("maze2d-umaze-v1", "toy/walk-v1", None)
    assert settings.to_json() == before
    assert settings_for("toy/walk-v1", "auto", None) == of_own_data()
    given = resolved({"train.steps": 3, "data.minari_id": "other/data-v0"})
    expected = leaves(given) | {"data.minari_id": "toy/walk-v1"}
    assert leaves(settings_for("toy/walk-v1", "auto", given)) == expected


def test_whole_numbers_serve_as_fractional_ones():
    config = resolved({"loss.alpha": 2, "loss.eta": 3, "eval.targets": (50, 100)})
    assert repr((config.loss.alpha, config.loss.eta, *config.eval.targets)) == "(2.0, 3.0, 50.0, 100.0)"


def settings_of_file(name, *size):
    return runpy.run_path(str(CONFIGS / f"{name}.py"))["get_config"](*size)


@pytest.mark.parametrize("size", ["reference", "small"])
@pytest.mark.parametrize("name", [*FAMILIES, "own"])
def test_every_configuration_file_has_both_sizes(name, size):
    settings = settings_of_file(name, size)
    settings.data.minari_id = "toy/walk-v1"
    config = resolve(settings)
    assert (config.size, config.model.width) == (size, {"reference": 256, "small": 32}[size])
    assert config.task is None if name == "own" else get_task(config.task).family == name
    assert settings_of_file(name).to_json() == settings_of_file(name, "reference").to_json()


def test_there_is_one_file_for_every_family_of_tasks():
    assert {task.family for task in all_tasks().values()} == set(FAMILIES)
    assert {path.stem for path in CONFIGS.glob("*.py")} == {*FAMILIES, "own", "benchmark_small"}
    assert resolve(settings_of_file("benchmark_small")).train.steps == 6000
