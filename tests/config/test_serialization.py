"""Settings in files: there and back, of older versions, and compared with those of a run that is resumed."""

import json

import numpy as np
import pytest
from launching import ROOT
from settings_helpers import from_file, leaves, of_own_data, resolved

from rvdt_jax.algorithms.variants import VARIANTS
from rvdt_jax.config.declaration import flat, nested
from rvdt_jax.config.defaults import default_config
from rvdt_jax.config.fields import FIELDS
from rvdt_jax.config.serialization import changes, complete_older, from_json, run_differences, training_settings
from rvdt_jax.config.settings import complete_config, left_open

RETURNS = np.arange(0.0, 101.0, 10.0)

# What a run that is resumed may have otherwise than before; of the rest a checkpoint depends.
KEPT = {"env", "train.steps", "train.lr_decay_steps", "eval.targets", "eval.horizon", "eval.action_selection"}
KEPT |= {"train.log_every", "train.checkpoint_every", "train.keep_checkpoints", "eval.every"}
KEPT |= {"eval.episodes", "eval.curve_episodes", "eval.candidates"}
FREE = {"size", "workdir", "data.source", "data.path", "eval.processes", "eval.parallel_episodes"}
FREE |= {"parallel.devices", "parallel.seeds"}
CONFIGURATIONS = [
    resolved({"seeds": (4, 2), "workdir": "runs/x", "expert.threshold": 3.5}),
    of_own_data({"data.observation_keys": ("b", "a")}),
    complete_config(of_own_data({"env": "none", "eval.horizon": 9}), RETURNS, longest=70),
    resolved(size="small"),
]


@pytest.mark.parametrize("config", CONFIGURATIONS, ids=lambda config: config.variant)
def test_json_and_back_is_the_same_configuration(config):
    again = from_json(from_file(config))
    assert again == config
    assert hash(again) == hash(config)  # tuples are tuples again
    assert complete_older(from_file(config)) == from_file(config)


# Guided under its targets, training depends on those, too.
@pytest.mark.parametrize(("name", "guidance"), [*((name, "data") for name in FIELDS), ("eval.targets", "target")])
def test_a_resumed_run_may_differ_only_where_its_checkpoints_do_not_depend(name, guidance):
    config = resolved({"seeds": (1, 2), "loss.guidance_return": guidance})
    values = from_file(config)
    assert (run_differences(config, values), changes(config, values)) == ([], {})
    other = nested(flat(values) | {name: "another"})
    assert (training_settings(other) == training_settings(values)) == (name in KEPT | FREE)
    found = run_differences(config, other)
    free = KEPT | FREE | {"data.minari_id"}  # the last: whichever was found
    differs = name not in free or guidance == "target"
    assert [phrase.split(" there, ")[0] for phrase in found] == [f"config.{name} is 'another'"] * differs
    assert changes(config, other) == ({name: ["another", flat(values)[name]]} if name in KEPT else {})


@pytest.mark.parametrize(("name", "there"), [("loss.alpha", 9.0), ("ema.start", 5), ("loss.n_step", 3)])
def test_what_a_run_does_not_use_does_not_tell_it_from_another(name, there):
    config = resolved(variant="DT")
    values = from_file(config)
    other = nested(flat(values) | {name: there})
    assert run_differences(config, other) == []
    assert training_settings(other) == training_settings(values) == training_settings(training_settings(other))


def test_what_a_resumed_run_keeps_is_left_open_until_it_is_set():
    settings = default_config()
    assert set(left_open(settings)) == set(left_open(None)) == KEPT
    settings.train.steps, settings.env = 5, "none"
    assert set(left_open(settings)) == KEPT - {"train.steps", "env"}
    assert left_open(resolved()) == ()


@pytest.mark.parametrize(
    ("name", "filled", "other"), [("model.context_length", 20, 19), ("policy.return_scale", 100.0, 7.0)]
)
def test_what_the_data_filled_in_does_not_differ_while_it_is_left_open(name, filled, other):
    """``--resume`` begins before the data have been seen, and ends with what they tell."""
    done = complete_config(of_own_data(), RETURNS, longest=70)
    values = from_file(done)
    for config in (of_own_data(), done, of_own_data({name: filled})):
        assert run_differences(config, values) == []
    assert run_differences(of_own_data({name: other}), values) == [f"config.{name} is {filled} there, {other} here"]
    found = run_differences(complete_config(of_own_data(), RETURNS / 2, longest=5), values)
    names = {"config.loss.reward_scale", "config.model.context_length", "config.policy.return_scale"}
    assert {phrase.split(" is ")[0] for phrase in found} == names


YOUNGER = {
    **{"size": "reference", "data.regime": None, "data.fraction": 1.0, "data.subset_seed": 0, "expert.by": "return"},
    **{"model.positions": "episode", "model.critic_norm": "none", "model.critic_fourier_features": 0},
    **{"model.policy_fourier_features": 0, "model.fourier_scale": 1.0, "eval.candidates": 32, "loss.eta_warmup": 0},
    **{"loss.guidance_return": "data", "loss.n_step": None, "train.on_divergence": "stop"},
    **{"train.critic_learning_rate": 3e-4},
}


def test_settings_from_before_a_field_came_mean_what_they_meant():
    whole = flat(from_file(resolved()))
    values = nested({name: value for name, value in whole.items() if name not in YOUNGER} | {"model.plain": True})
    config = resolved({"expert.by": "return"})
    assert leaves(from_json(values)) == leaves(config) == leaves(resolved()) | YOUNGER
    assert run_differences(config, values) == []
    assert run_differences(resolved(), values) == ["config.expert.by is 'return' there, 'start' here"]
    assert training_settings(training_settings(values)) == training_settings(from_file(config))


@pytest.mark.parametrize(
    "path", sorted(ROOT.glob("experiments/results/**/config.json")), ids=lambda path: path.parent.name
)
def test_every_committed_record_of_settings_can_be_read(path):
    assert from_json(json.loads(path.read_text(encoding="utf-8"))).variant in VARIANTS
