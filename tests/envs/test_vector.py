"""The batch stepper: the same numbers, bit for bit, as that many Gymnasium environments."""

import contextlib
import dataclasses

import gymnasium
import numpy as np
import pytest

from rvdt_jax.envs import vector
from rvdt_jax.envs.processes import ProcessVectorEnv
from rvdt_jax.envs.vector import BatchMaze2d, is_light, make_vector_env, try_environment
from rvdt_jax.envs.worker import Copies
from rvdt_jax.errors import UserError
from rvdt_jax.tasks import Environment

HORIZONS = {"open-v0": 150, "umaze-v1": 300, "medium-v1": 600, "large-v1": 800, "umaze-dense-v1": 300}
SEEDS = [0, 7, 123_456]


@pytest.mark.parametrize("name", HORIZONS)
def test_a_batch_goes_as_gymnasiums_environments_go(name):
    env_id, horizon = f"rvdt/maze2d-{name}", HORIZONS[name]
    batch, envs = make_vector_env(Environment(env_id), len(SEEDS)), [gymnasium.make(env_id) for _ in SEEDS]
    rng = np.random.default_rng(1)
    observations = batch.reset(SEEDS)
    expected = [env.reset(seed=seed)[0] for env, seed in zip(envs, SEEDS, strict=True)]
    np.testing.assert_array_equal(observations, expected)
    drift = np.repeat(rng.uniform(-1, 1, (horizon // 30 + 1, len(SEEDS), 2)), 30, axis=0)
    for step in range(batch.horizon):
        # Some beyond +-1; the drift carries the ball through the maze and against its walls.
        actions = (drift[step] + rng.normal(0.0, 0.7, (len(SEEDS), 2))).astype(np.float32)
        results = batch.step(actions)
        singles = [env.step(action)[:4] for env, action in zip(envs, actions, strict=True)]
        for result, single in zip(results, zip(*singles, strict=True), strict=True):
            np.testing.assert_array_equal(result, single)
        assert results[3].tolist() == [step == horizon - 1] * len(SEEDS)
    assert [part.dtype for part in results] == [np.float32, np.float64, bool, bool]
    assert batch.horizon == horizon
    assert batch.outcomes() == {}


def test_what_was_returned_is_not_changed_by_the_next_step():
    batch = make_vector_env(Environment("rvdt/maze2d-umaze-v1"), 2)
    returned = [batch.reset([0, 1])]
    kept = [returned[0].copy()]
    for _ in range(2):
        returned.append(batch.step(np.ones((2, 2)))[0])
        kept.append(returned[-1].copy())
    np.testing.assert_array_equal(returned, kept)
    assert (kept[0] != kept[1]).any()


@pytest.mark.parametrize(
    "make", [BatchMaze2d, lambda name, count: ProcessVectorEnv(Environment(f"rvdt/{name}"), count)]
)
def test_wrong_numbers_of_seeds_and_actions_are_refused_and_change_nothing(make):
    with contextlib.closing(make("maze2d-umaze-v1", 3)) as envs:
        for seeds in ([], [0, 1], [0, 1, 2, 3]):
            with pytest.raises(ValueError, match="seeds for 3 environments"):
                envs.reset(seeds)
        first = envs.reset([0, 1, 2])
        for shape in ((2, 2), (3, 1), (3,)):
            with pytest.raises(ValueError, match="actions have shape"):
                envs.step(np.zeros(shape))
        assert np.abs(envs.step(np.zeros((3, 2)))[0] - first).max() < 0.01  # one step of at most .005


@pytest.mark.parametrize("env_id", ["rvdt/maze2d-umaze-v1", "rvdt_jax.envs:rvdt/maze2d-large-dense-v1"])
def test_maze2d_needs_no_processes_and_another_horizon_cuts_the_episodes_there(env_id):
    assert is_light(Environment(env_id))
    environment = Environment(env_id, horizon=2)
    batch = make_vector_env(environment, 2, processes=2)
    assert isinstance(batch, BatchMaze2d)
    assert (batch.horizon, try_environment(environment)) == (2, (4, 2))
    for _ in range(2):
        batch.reset([0, 1])
        assert [batch.step(np.zeros((2, 2)))[3].tolist() for _ in range(2)] == [[False, False], [True, True]]


UMAZE = Environment("rvdt/maze2d-umaze-v1")


@pytest.mark.parametrize(
    "environment",
    [
        *map(Environment, ("Hopper-v4", "maze2d-umaze-v1", "other/maze2d-umaze-v1", "rvdt/maze2d-huge-v1", "")),
        dataclasses.replace(UMAZE, spec="{}"),
        dataclasses.replace(UMAZE, observation_keys=("observation",)),
        dataclasses.replace(UMAZE, action_low=(-2.0, -2.0), action_high=(2.0, 2.0)),
    ],
)
def test_whatever_the_batch_does_not_know_is_not_light(environment):
    assert not is_light(environment)


def test_everything_else_runs_in_processes():
    environment = Environment("Hopper-v4", horizon=5)
    env = make_vector_env(environment, 2, processes=1)
    assert isinstance(env, ProcessVectorEnv)
    assert (env.num_envs, env.observation_size, env.action_size, env.horizon) == (2, 11, 3, 5)
    env.close()
    assert try_environment(environment) == (11, 3)


class Odd(gymnasium.Env):
    """An environment that answers as it is told to."""

    observation_space = gymnasium.spaces.Box(-1.0, 1.0, (3,), np.float32)
    action_space = gymnasium.spaces.Box(-1.0, 1.0, (1,), np.float32)

    def __init__(self, first=(0.0,) * 3, second=(0.0,) * 3, reward=1.0, flag=False):
        self.reset = lambda **options: (np.array(first), {})
        self.step = lambda action: (np.array(second), reward, flag, flag, {})


class InThisProcess(Copies):
    """``ProcessVectorEnv`` without the process, whose start takes seconds."""

    def __init__(self, environment, count):
        super().__init__()
        self.observation_size, self.action_size, _ = self.make(environment, count, None)

    def outcomes(self):
        return {"failed": [report.get("failed") for report in super().outcomes()]}


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        ({"reward": np.ones(1), "flag": np.array([True])}, None),
        ({"reward": np.float32(2.0), "flag": 1}, None),
        ({"reward": np.ones(2)}, "it failed: ValueError: can only convert an array of size 1"),
        ({"reward": None}, "it failed: TypeError: "),
        ({"reward": np.nan}, "the reward is nan"),
        ({"flag": np.array([True, False])}, "it failed: ValueError: "),
        ({"first": (0.0, 0.0)}, "it failed: ValueError: the observation has 2 numbers, its space 3"),
        ({"second": (0.0, 0.0, np.inf)}, r"an observation is not finite: \[0.0, 0.0, inf\]"),
    ],
)
def test_one_step_is_tried_before_training(answers, words, monkeypatch):
    spec = gymnasium.envs.registration.EnvSpec("Odd-v0", entry_point=Odd, max_episode_steps=4, kwargs=answers)
    monkeypatch.setitem(gymnasium.registry, "Odd-v0", spec)
    monkeypatch.setattr(vector, "ProcessVectorEnv", InThisProcess)
    if words is None:
        assert try_environment(Environment("Odd-v0")) == (3, 1)
    else:
        with pytest.raises(UserError, match=f"one step of Odd-v0 was tried before training, and {words}"):
            try_environment(Environment("Odd-v0"))
