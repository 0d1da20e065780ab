"""D4RL's reference returns, recomputed by D4RL's own protocol on this package's environments, to the last digit.

The protocol: seed 0, 100 episodes of the horizon; random actions for the minimum, the waypoint controller, planned
once and never again, for the maximum. The digits depend on gym 0.17's way of seeding, emulated here.
"""

import functools
import hashlib
import struct

import numpy as np
import pytest

from rvdt_jax.envs.maze2d import MAZES, Ball, make_model, rewards
from rvdt_jax.recreate.controller import WaypointController
from rvdt_jax.tasks import get_task

pytestmark = pytest.mark.slow

EPISODES = 100


def gym_017_random_state(seed: int) -> np.random.RandomState:
    """gym 0.17: the first 8 bytes of sha512(str(seed)), read as little-endian uint32s, seed a Mersenne twister."""
    digest = hashlib.sha512(str(seed).encode()).digest()[:8]
    return np.random.RandomState(list(struct.unpack("<2I", digest)))


class LegacyRandom:
    """The calls of the environment, on the legacy generator that D4RL's numbers were made with."""

    def __init__(self, state: np.random.RandomState):
        self.choice, self.uniform, self.standard_normal = state.choice, state.uniform, state.standard_normal


@functools.cache
def reference_returns(maze_name: str, controlled: bool, horizon: int, with_goal: bool) -> tuple[float, float]:
    """Mean sparse and dense return; one set of trajectories serves both, for rewards do not act on the physics."""
    maze = MAZES[maze_name]
    environment, action_space = gym_017_random_state(0), gym_017_random_state(0)
    controller = WaypointController(maze, np.random.RandomState(0))
    ball = Ball(make_model(maze))
    positions = np.empty((EPISODES, horizon, 2))
    for episode in range(EPISODES):
        ball.place(LegacyRandom(environment), maze.free_cells if with_goal else maze.cells("O"))
        for step in range(horizon):
            if controlled:
                *force, _ = controller.act(tuple(ball.position.tolist()), tuple(ball.velocity.tolist()), maze.goal)
            else:
                force = action_space.uniform(-1.0, 1.0, size=2).astype(np.float32).tolist()
            ball.push(*force)
            positions[episode, step] = ball.position
    return tuple(float(rewards(positions, maze.goal, dense).sum(1).mean()) for dense in (False, True))


def agrees(measured: float, published: float) -> bool:
    """Equal in every published decimal, but for the rounding of a sum in the 15th significant digit."""
    decimals = len(repr(published).partition(".")[2])
    return abs(measured - published) <= max(0.5 * 10.0**-decimals, 1e-14 * abs(published) * EPISODES)


# D4RL computed open-v0's at horizon 50, from non-goal cells only; scored over 150 steps, good policies pass 100.
@pytest.mark.parametrize("dense", [False, True], ids=["sparse", "dense"])
@pytest.mark.parametrize("maze_name", ["umaze", "medium", "large", "open"])
def test_references_match_every_published_digit(maze_name, dense):
    opened = maze_name == "open"
    task = get_task(f"maze2d-{maze_name}{'-dense' if dense else ''}-v{0 if opened else 1}")
    for controlled, published in ((False, task.ref_min_return), (True, task.ref_max_return)):
        horizon = 50 if opened else task.horizon
        measured = reference_returns(maze_name, controlled, horizon, not opened)[dense]
        assert agrees(measured, published), f"{measured!r} measured, {published!r} published"
