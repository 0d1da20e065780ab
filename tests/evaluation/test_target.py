"""What scores a policy: which environment in which case, and which returns count as 0 and 100."""

import dataclasses
import json
import logging

import gymnasium
import numpy as np
import pytest

from rvdt_jax.config.defaults import default_config
from rvdt_jax.config.settings import resolve
from rvdt_jax.data.episodes import Episodes
from rvdt_jax.evaluation.target import Scoring, choose_scoring, scoring_from_json, spaces_of
from rvdt_jax.tasks import Environment

EPISODES = Episodes(
    name="toy",
    observations=np.zeros((3, 2), np.float32),
    actions=np.zeros((3, 2), np.float32),
    rewards=np.zeros(3, np.float32),
    lengths=np.array([3]),
    terminated=np.array([False]),
)
BOUNDED = dataclasses.replace(
    EPISODES, action_low=np.array([-2.0, 0.0], np.float32), action_high=np.array([2.0, 0.5], np.float32)
)
SPEC = gymnasium.spec("Pendulum-v1").to_json()
# A data set that knows where it was collected, and what its returns are worth.
KNOWING = {
    "dataset_id": "toy/walk-v1",
    "env_id": "Pendulum-v1",
    "env_spec": SPEC,
    "ref_min_score": -10.0,
    "ref_max_score": 30.0,
}
UNKNOWING = {"dataset_id": "toy/walk-v1"}


def choose(provenance, episodes=EPISODES, **overrides):
    """The choice for ``overrides``, as on the command line, with __ for dots."""
    settings = default_config()
    settings.data.minari_id = "toy/walk-v1"
    settings.update_from_flattened_dict({name.replace("__", "."): value for name, value in overrides.items()})
    return choose_scoring(resolve(settings), episodes, provenance)


def of(dataset_id, provenance=KNOWING):
    return provenance | {"dataset_id": dataset_id}


# Which environment: every case, the strongest first.


@pytest.mark.parametrize("task", [None, "hopper-medium-v2"])
@pytest.mark.parametrize(
    "provenance", [KNOWING, UNKNOWING, of("mujoco/hopper/medium-v0")], ids=lambda value: len(value)
)
def test_the_environment_that_is_named_scores_whatever_the_data(task, provenance):
    assert choose(provenance, task=task, env="Acrobot-v1").environment.id == "Acrobot-v1"
    assert choose(provenance, task=task, env="Acrobot-v1").environment.spec is None


@pytest.mark.parametrize("task", [None, "hopper-medium-v2"])
@pytest.mark.parametrize("provenance", [KNOWING, UNKNOWING], ids=lambda value: len(value))
def test_none_hides_no_environment_from_a_later_evaluation(task, provenance):
    """config.env=none is the runner's business; the checkpoint carries what could score it elsewhere."""
    assert choose(provenance, task=task, env="none") == choose(provenance, task=task)


def test_a_tasks_data_without_the_task_are_scored_as_the_task_is():
    scoring = choose(of("D4RL/antmaze/umaze-v1"))
    assert (scoring.environment.id, scoring.environment.horizon) == ("rvdt/minari-antmaze-umaze-v0", 700)
    assert (scoring.ref_min_return, scoring.ref_max_return) == (0.0, 1.0)


def test_other_data_of_the_tasks_kind_are_scored_in_their_own_version():
    own = {"env_id": "Hopper-v5", "env_spec": gymnasium.spec("Hopper-v5").to_json()}
    scoring = choose({"dataset_id": "mujoco/hopper/expert-v0"} | own, task="hopper-medium-v2")
    assert (scoring.environment.id, scoring.environment.horizon) == ("Hopper-v5", 1000)


def test_the_data_sets_references_do_not_serve_another_environment():
    assert choose(KNOWING).ref_min_return == -10.0
    assert choose(KNOWING, env="Acrobot-v1").ref_min_return is None


@pytest.mark.parametrize(
    ("task", "dataset_id", "env_id"),
    [
        ("antmaze-umaze-v0", "d4rl-hdf5/antmaze-umaze-v0", "rvdt/antmaze-umaze-v0"),
        ("antmaze-umaze-v0", "D4RL/antmaze/umaze-v1", "rvdt/minari-antmaze-umaze-v0"),
        ("kitchen-partial-v0", "D4RL/kitchen/partial-v2", "rvdt/minari-kitchen-partial-v0"),
        ("pen-human-v1", "D4RL/pen/human-v2", "rvdt/pen-human-v1"),
        ("hopper-medium-v2", "d4rl-hdf5/hopper-medium-v2", "Hopper-v4"),
        ("maze2d-umaze-v1", "recreated/maze2d-umaze-v1", "rvdt/maze2d-umaze-v1"),
    ],
)
def test_the_tasks_environment_for_a_data_set_comes_before_the_data_sets_own(task, dataset_id, env_id):
    environment = choose(of(dataset_id), task=task).environment
    assert (environment.id, environment.spec) == (env_id, None)


def test_where_the_task_leaves_it_to_the_data_set_the_data_sets_own_environment_scores():
    environment = choose(of("mujoco/hopper/medium-v0"), task="hopper-medium-v2").environment
    assert (environment.id, environment.spec) == ("Pendulum-v1", SPEC)


def test_where_the_task_leaves_it_to_a_data_set_that_knows_none_the_tasks_first_scores():
    environment = choose(of("mujoco/hopper/medium-v0", UNKNOWING), task="hopper-medium-v2").environment
    assert (environment.id, environment.spec) == ("Hopper-v4", None)


@pytest.mark.parametrize("provenance", [KNOWING, UNKNOWING], ids=lambda value: len(value))
def test_data_that_the_task_does_not_list_are_scored_in_the_tasks_first_environment(provenance):
    environment = choose(provenance, task="antmaze-umaze-v0").environment
    assert (environment.id, environment.spec) == ("rvdt/antmaze-umaze-v0", None)


def test_without_a_task_the_data_sets_own_environment_scores():
    environment = choose(KNOWING).environment
    assert (environment.id, environment.spec) == ("Pendulum-v1", SPEC)


def test_the_environment_is_called_what_it_is_made_from():
    """A data set that was collected in one environment may name another one for evaluation."""
    evaluation = gymnasium.spec("MountainCarContinuous-v0").to_json()
    environment = choose(KNOWING | {"env_spec": evaluation}).environment
    assert environment.spec == evaluation
    assert environment.id == "MountainCarContinuous-v0"


def test_where_nobody_names_an_environment_nothing_is_scored_and_that_is_said(caplog):
    assert choose(UNKNOWING).environment is None
    (record,) = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert "nothing will be scored" in record.getMessage()
    assert "config.env" in record.getMessage()


def test_another_environment_than_the_collections_is_said(caplog):
    with caplog.at_level(logging.INFO, logger="rvdt_jax"):
        choose(of("D4RL/antmaze/umaze-v1"), task="antmaze-umaze-v0")
    assert "collected in Pendulum-v1; rvdt/minari-antmaze-umaze-v0 scores it" in caplog.text


@pytest.mark.parametrize("provenance", [KNOWING, UNKNOWING], ids=lambda value: len(value))
def test_the_same_environment_as_the_collections_is_not_worth_a_word(provenance, caplog):
    with caplog.at_level(logging.INFO, logger="rvdt_jax"):
        choose(provenance, env=None if provenance is KNOWING else "Pendulum-v1")
    assert caplog.records == []


# How it is made.


@pytest.mark.parametrize(
    ("overrides", "horizon"),
    [
        ({}, None),
        ({"eval__horizon": 7}, 7),
        ({"task": "antmaze-umaze-v0"}, 700),
        ({"task": "antmaze-umaze-v0", "eval__horizon": 7}, 7),
        ({"task": "hopper-medium-v2", "env": "Acrobot-v1"}, 1000),
    ],
)
def test_an_episode_is_cut_where_it_is_said_or_else_where_the_task_says(overrides, horizon):
    assert choose(KNOWING, **overrides).environment.horizon == horizon


def test_the_environment_is_seen_and_acted_on_as_the_data_were_read():
    provenance = KNOWING | {"observation_keys": ["goal", "position"]}
    for overrides in ({}, {"env": "Acrobot-v1"}, {"task": "antmaze-umaze-v0"}):
        environment = choose(provenance, BOUNDED, **overrides).environment
        assert environment.observation_keys == ("goal", "position")
        assert environment.action_low == (-2.0, 0.0)
        assert environment.action_high == (2.0, 0.5)


def test_plain_data_have_neither_keys_nor_bounds():
    assert spaces_of(EPISODES, UNKNOWING) == {"observation_keys": (), "action_low": (), "action_high": ()}


def test_keys_and_bounds_are_plain_values():
    spaces = spaces_of(BOUNDED, {"observation_keys": ["b", "a"]})
    assert spaces == {"observation_keys": ("b", "a"), "action_low": (-2.0, 0.0), "action_high": (2.0, 0.5)}
    assert {type(value) for name in ("action_low", "action_high") for value in spaces[name]} == {float}


# Which returns count as 0 and 100.


@pytest.mark.parametrize("env", [None, "none", "Acrobot-v1"])
def test_the_tasks_references_count_whatever_the_data_say(env):
    scoring = choose(of("D4RL/antmaze/umaze-v1"), task="antmaze-umaze-v0", env=env)
    assert (scoring.ref_min_return, scoring.ref_max_return) == (0.0, 1.0)


def test_without_a_task_the_data_sets_references_count():
    scoring = choose(KNOWING)
    assert (scoring.ref_min_return, scoring.ref_max_return) == (-10.0, 30.0)


@pytest.mark.parametrize(
    ("low", "high"),
    [
        (None, None),
        (None, 30.0),
        (-10.0, None),
        (5.0, 5.0),
        ("0", "100"),
        (float("nan"), 30.0),
        (0.0, float("inf")),
    ],
    ids=str,
)
def test_references_that_cannot_be_reckoned_with_are_none(low, high):
    scoring = choose(KNOWING | {"ref_min_score": low, "ref_max_score": high})
    assert (scoring.ref_min_return, scoring.ref_max_return) == (None, None)


# Through a file and back.


@pytest.mark.parametrize(
    "scoring",
    [
        Scoring(None, None, None),
        Scoring(None, 0.0, 4.0),
        Scoring(Environment("Hopper-v4"), -20.272305, 3234.3),
        Scoring(Environment("Pendulum-v1", SPEC, 100, ("b", "a.x"), (-2.0, 0.0), (2.0, 0.1)), None, None),
    ],
    ids=["nothing", "references", "plain", "everything"],
)
def test_json_and_back_is_the_same_scoring(scoring):
    again = scoring_from_json(json.loads(json.dumps(dataclasses.asdict(scoring), allow_nan=False)))
    assert again == scoring
    assert hash(again) == hash(scoring)  # tuples are tuples again


def test_what_is_chosen_survives_a_file():
    scoring = choose(KNOWING | {"observation_keys": ["goal"]}, BOUNDED)
    assert scoring_from_json(json.loads(json.dumps(dataclasses.asdict(scoring)))) == scoring
