"""Many copies of one environment stepped together, as evaluation needs them."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

import numpy as np
from gymnasium.utils import seeding

from rvdt_jax.envs.maze2d import MAZE_TASKS, Ball, get_maze, make_model, rewards
from rvdt_jax.envs.processes import ProcessVectorEnv
from rvdt_jax.errors import UserError
from rvdt_jax.tasks import Environment


def make_vector_env(environment: Environment, num_envs: int, processes: int = 0) -> BatchMaze2d | ProcessVectorEnv:
    """Copies of an environment, which the caller closes; maze2d's need no processes. See ``ProcessVectorEnv``."""
    name = _maze2d_name(environment)
    if name is not None:
        return BatchMaze2d(name, num_envs, environment.horizon)
    return ProcessVectorEnv(environment, num_envs, processes)


def try_environment(environment: Environment) -> tuple[int, int]:
    """Observation size S and action size A of an environment, of which one step is played as evaluation plays it.

    Raises:
        UserError: the step fails, or it gives observations of another size than its space, or numbers that are not
            finite; or see ``ProcessVectorEnv``.
        RuntimeError: see ``ProcessVectorEnv``.
    """
    if is_light(environment):
        return BatchMaze2d.observation_size, BatchMaze2d.action_size
    with contextlib.closing(ProcessVectorEnv(environment, 1)) as env:
        first = env.reset([0])[0]
        observations, rewards, _, _ = env.step(np.zeros((1, env.action_size)))
        failed = env.outcomes().get("failed", [None])[0]
        fault = failed and f"it failed: {failed}"
        fault = fault or _fault(first, observations[0], rewards[0])
        if fault:
            raise UserError(
                f"config.env: one step of {environment.id} was tried before training, and {fault}. Correct the "
                "environment, or train without scores: config.env=none."
            )
        return env.observation_size, env.action_size


def _fault(first: np.ndarray, second: np.ndarray, reward: float) -> str | None:
    """What is wrong with two observations of an environment and the reward between them."""
    for observation in (first, second):
        if not np.isfinite(observation).all():
            return f"an observation is not finite: {observation.tolist()}"
    return None if np.isfinite(reward) else f"the reward is {reward}"


def is_light(environment: Environment) -> bool:
    """Whether many copies cost next to nothing: maze2d, as registered but for its horizon."""
    return _maze2d_name(environment) is not None


def _maze2d_name(environment: Environment) -> str | None:
    """D4RL's name of the maze2d task if ``BatchMaze2d`` can step it, else None."""
    as_registered = Environment(environment.id, horizon=environment.horizon)
    namespace, _, name = environment.id.removeprefix("rvdt_jax.envs:").rpartition("/")
    return name if namespace == "rvdt" and name in MAZE_TASKS and environment == as_registered else None


class BatchMaze2d:
    """Copies of one maze2d task; copy k behaves exactly as ``gymnasium.make(id)`` after ``reset(seed=seeds[k])``.

    A loop over simulations that share one model: a step of this ball takes less time than handing it to a thread.

    Args:
        name: D4RL's name, e.g. ``maze2d-umaze-v1``.
        num_envs: how many copies.
        horizon: steps after which an episode is cut; None: as registered.
    """

    observation_size = 4
    action_size = 2

    def __init__(self, name: str, num_envs: int, horizon: int | None = None):
        self.num_envs, self._maze = num_envs, get_maze(name)
        self.horizon = self._maze.horizon if horizon is None else horizon
        model = make_model(self._maze)
        self._balls = [Ball(model) for _ in range(num_envs)]
        self._elapsed = 0

    def reset(self, seeds: Sequence[int]) -> np.ndarray:
        """(num_envs, 4) float32 first observations; one seed per copy.

        Raises:
            ValueError: another number of seeds.
        """
        if len(seeds) != self.num_envs:
            raise ValueError(f"got {len(seeds)} seeds for {self.num_envs} environments.")
        for ball, seed in zip(self._balls, seeds, strict=True):
            ball.place(seeding.np_random(int(seed))[0], self._maze.free_cells)
        self._elapsed = 0
        return self._observations(self._positions())

    def step(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Steps every copy under (num_envs, 2) actions.

        Returns:
            Observations (num_envs, 4) float32, rewards (num_envs,) float64, terminated and truncated (num_envs,) bool.

        Raises:
            ValueError: actions of another shape.
        """
        actions = np.asarray(actions, np.float64)
        if actions.shape != (self.num_envs, self.action_size):
            raise ValueError(f"actions have shape {actions.shape}; expected {(self.num_envs, self.action_size)}.")
        for ball, (force_x, force_y) in zip(self._balls, actions.tolist(), strict=True):
            ball.push(force_x, force_y)
        self._elapsed += 1
        positions = self._positions()
        truncated = np.full(self.num_envs, self._elapsed >= self.horizon)
        reward = rewards(positions, self._maze.goal, self._maze.dense)
        return self._observations(positions), reward, np.zeros(self.num_envs, bool), truncated

    def outcomes(self) -> dict[str, list]:
        """Nothing: maze2d reports no success."""
        return {}

    def close(self) -> None:
        """Frees the simulations."""
        self._balls = []

    def _positions(self) -> np.ndarray:
        return np.array([ball.position for ball in self._balls])

    def _observations(self, positions: np.ndarray) -> np.ndarray:
        velocities = np.array([ball.velocity for ball in self._balls])
        return np.concatenate([positions, velocities], axis=1).astype(np.float32)
