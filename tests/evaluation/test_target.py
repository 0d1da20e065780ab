"""The evaluation environment in every case, and the returns that score 0 and 100."""

import dataclasses
import json
import logging
import math
import re

import gymnasium
import numpy as np
import pytest

from rvdt_jax.config.defaults import default_config
from rvdt_jax.config.settings import resolve
from rvdt_jax.data.episodes import Episodes
from rvdt_jax.evaluation.target import Scoring, choose_scoring, scoring_from_json, spaces_of

EPISODES = Episodes("toy", np.zeros((3, 2)), np.zeros((3, 2)), np.zeros(3), np.array([3]), np.array([False]))
BOUNDS = {"action_low": np.array([-2.0, 0.0], np.float32), "action_high": np.array([2.0, 0.5], np.float32)}
BOUNDED = dataclasses.replace(EPISODES, **BOUNDS)
SPEC = gymnasium.spec("Pendulum-v1").to_json()
# A data set that knows where it was collected, and its reference returns; and one that knows neither.
UNKNOWING = {"dataset_id": "toy/walk-v1"}
KNOWING = UNKNOWING | {"env_id": "Pendulum-v1", "env_spec": SPEC, "ref_min_score": -10.0, "ref_max_score": 30.0}
EVALUATION = gymnasium.spec("MountainCarContinuous-v0").to_json()
HOPPER_5 = {"dataset_id": "mujoco/hopper/expert-v0", "env_spec": gymnasium.spec("Hopper-v5").to_json()}


def of(dataset_id, provenance=KNOWING):
    return provenance | {"dataset_id": dataset_id}


def choose(provenance, episodes=EPISODES, **overrides):
    """The choice for ``overrides``, as on the command line, with __ for dots."""
    settings = default_config()
    settings.data.minari_id = "toy/walk-v1"
    settings.update_from_flattened_dict({name.replace("__", "."): value for name, value in overrides.items()})
    return choose_scoring(resolve(settings), episodes, provenance)


# The strongest claim comes first: config.env, the task's for these data, the data set's own, the task's first.


@pytest.mark.parametrize("task", [None, "hopper-medium-v2"])
@pytest.mark.parametrize("provenance", [KNOWING, UNKNOWING, of("mujoco/hopper/medium-v0")], ids=len)
def test_the_environment_that_is_named_scores_whatever_the_data(task, provenance):
    environment = choose(provenance, task=task, env="Acrobot-v1").environment
    assert (environment.id, environment.spec) == ("Acrobot-v1", None)
    # With config.env=none the checkpoint still carries the environment that can score it elsewhere.
    assert choose(provenance, task=task, env="none") == choose(provenance, task=task)


@pytest.mark.parametrize(
    ("task", "provenance", "env_id", "spec"),
    [
        ("antmaze-umaze-v0", of("d4rl-hdf5/antmaze-umaze-v0"), "rvdt/antmaze-umaze-v0", None),
        ("antmaze-umaze-v0", of("D4RL/antmaze/umaze-v1"), "rvdt/minari-antmaze-umaze-v0", None),
        ("kitchen-partial-v0", of("D4RL/kitchen/partial-v2"), "rvdt/minari-kitchen-partial-v0", None),
        ("pen-human-v1", of("D4RL/pen/human-v2"), "rvdt/pen-human-v1", None),
        ("hopper-medium-v2", of("d4rl-hdf5/hopper-medium-v2"), "Hopper-v4", None),
        ("maze2d-umaze-v1", of("recreated/maze2d-umaze-v1"), "rvdt/maze2d-umaze-v1", None),
        # The task leaves it to the data set, which may know none.
        ("hopper-medium-v2", of("mujoco/hopper/medium-v0"), "Pendulum-v1", SPEC),
        ("hopper-medium-v2", of("mujoco/hopper/medium-v0", UNKNOWING), "Hopper-v4", None),
        # Other data of the task's kind are scored in their own version; data of another kind in the task's first.
        ("hopper-medium-v2", HOPPER_5, "Hopper-v5", HOPPER_5["env_spec"]),
        ("antmaze-umaze-v0", KNOWING, "rvdt/antmaze-umaze-v0", None),
        ("antmaze-umaze-v0", UNKNOWING, "rvdt/antmaze-umaze-v0", None),
        # Without a task: that of the task whose data they are, or the data set's own.
        (None, of("D4RL/antmaze/umaze-v1"), "rvdt/minari-antmaze-umaze-v0", None),
        (None, KNOWING, "Pendulum-v1", SPEC),
        # A data set that was collected in one environment may name another one for evaluation.
        (None, KNOWING | {"env_spec": EVALUATION}, "MountainCarContinuous-v0", EVALUATION),
    ],
)
def test_the_environment_of_a_task_and_its_data(task, provenance, env_id, spec):
    environment = choose(provenance, task=task).environment
    assert (environment.id, environment.spec) == (env_id, spec)


def test_what_the_user_is_told(caplog):
    caplog.set_level(logging.INFO, logger="rvdt_jax")
    choose(KNOWING)
    choose(UNKNOWING, env="Pendulum-v1")
    assert caplog.records == []
    choose(of("D4RL/antmaze/umaze-v1"), task="antmaze-umaze-v0")
    assert "collected in Pendulum-v1; rvdt/minari-antmaze-umaze-v0 scores it" in caplog.text
    assert choose(UNKNOWING).environment is None
    assert caplog.records[-1].levelno == logging.WARNING
    assert re.search("nothing will be scored.*config.env", caplog.text)


ANT = {"task": "antmaze-umaze-v0"}
HORIZONS = [({"eval__horizon": 7}, 7), (ANT, 700), (ANT | {"eval__horizon": 7}, 7)]


@pytest.mark.parametrize(
    ("overrides", "horizon"), [*HORIZONS, ({"task": "hopper-medium-v2", "env": "Acrobot-v1"}, 1000)]
)
def test_the_horizon_is_the_users_or_else_the_tasks(overrides, horizon):
    assert choose(KNOWING, **overrides).environment.horizon == horizon


def test_observations_and_actions_are_those_of_the_data():
    names = ("observation_keys", "action_low", "action_high", "observation_offset")
    assert spaces_of(EPISODES, UNKNOWING) == dict.fromkeys(names, ())
    provenance = KNOWING | {"observation_keys": ["goal", "position"]}
    for overrides in ({}, {"env": "Acrobot-v1"}, {"task": "antmaze-umaze-v0"}):
        environment = choose(provenance, BOUNDED, **overrides).environment
        assert environment.observation_keys == ("goal", "position")
        assert (environment.action_low, environment.action_high) == ((-2.0, 0.0), (2.0, 0.5))
        assert {type(value) for value in environment.action_low + environment.action_high} == {float}


UNUSABLE = (None, None), (None, 30.0), (-10.0, None), (5.0, 5.0), ("0", "100"), (math.nan, 30.0), (0.0, math.inf)
ANTMAZE = of("D4RL/antmaze/umaze-v1")


@pytest.mark.parametrize(
    ("provenance", "overrides", "references"),
    [
        *((ANTMAZE, ANT | {"env": env}, (0.0, 1.0)) for env in (None, "none", "Acrobot-v1")),
        (ANTMAZE, {}, (0.0, 1.0)),
        (KNOWING, {}, (-10.0, 30.0)),
        (UNKNOWING | {"ref_min_score": 1.0, "ref_max_score": 9.0}, {"env": "Pendulum-v1"}, (1.0, 9.0)),
        (KNOWING, {"env": "Acrobot-v1"}, (None, None)),  # a data set's references serve its own environment only
        *((KNOWING | {"ref_min_score": low, "ref_max_score": high}, {}, (None, None)) for low, high in UNUSABLE),
    ],
)
def test_the_tasks_references_count_or_else_the_data_sets_if_they_can_be_used(provenance, overrides, references):
    scoring = choose(provenance, **overrides)
    assert (scoring.ref_min_return, scoring.ref_max_return) == references


@pytest.mark.parametrize(
    "scoring", [Scoring(None, 0.0, 4.0), choose(KNOWING | {"observation_keys": ["goal"]}, BOUNDED)]
)
def test_json_and_back_is_the_same_scoring(scoring):
    again = scoring_from_json(json.loads(json.dumps(dataclasses.asdict(scoring), allow_nan=False)))
    assert again == scoring
    assert hash(again) == hash(scoring)  # tuples are tuples again
