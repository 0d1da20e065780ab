"""The ant that learns to walk to goals: what it sees, what it is paid for, and when it has fallen."""

import contextlib

import numpy as np
import pytest
from goal_ant import GoalAnt

from rvdt_jax.envs.d4rl import AntMazeEnv
from rvdt_jax.recreate.antmaze import REACHED


@pytest.fixture
def env():
    with contextlib.closing(GoalAnt()) as env:
        env.reset(seed=3)
        yield env


def place(env, x, y, orientation=(1, 0, 0, 0)):
    """Puts the ant somewhere, at rest and by default upright."""
    position = env.simulator.data.qpos.copy()
    position[:2], position[2], position[3:7] = np.array([x, y]) + env._origin, 0.75, orientation
    env._ant.set_state(position, np.zeros(14))


def test_it_sees_its_body_and_the_way_to_the_goal(env):
    observation, info = env.reset(seed=3)
    assert (observation.shape, observation.dtype, info["arrivals"]) == ((29,), np.float32, 0)
    body = AntMazeEnv._observation(env)
    np.testing.assert_array_equal(observation[:27], body[2:])
    np.testing.assert_allclose(observation[27:], env._goal - body[:2], atol=1e-6)


def test_it_is_paid_for_every_metre_and_for_arriving(env):
    env._goal, env._distance = np.array([5.0, 0.0]), 5.0
    place(env, 1.0, 0.0)
    _, reward, terminated, truncated, info = env.step(np.zeros(8))
    assert reward == pytest.approx(30 * 1.0 + 0.2, abs=1.5)  # it falls a little on landing
    assert (terminated, truncated, info["arrivals"]) == (False, False, 0)

    place(env, 5.0 - REACHED / 2, 0.0)
    _, reward, _, _, info = env.step(np.zeros(8))
    assert info["arrivals"] == 1
    assert reward > 30 * 3 + 10
    assert np.linalg.norm(env._goal - [5.0, 0.0]) > REACHED  # the next


def test_on_its_back_it_has_fallen(env):
    place(env, 0.0, 0.0, orientation=(0, 1, 0, 0))
    assert env.step(np.zeros(8))[2]
