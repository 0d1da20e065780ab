"""The episodes of a saved policy in its maze, with the ball's positions."""

from __future__ import annotations

import contextlib
import dataclasses
import pathlib

import jax
import numpy as np

from rvdt_jax.envs.maze2d import GOAL_RADIUS, ORIGIN, get_maze
from rvdt_jax.envs.vector import is_light
from rvdt_jax.errors import UserError
from rvdt_jax.evaluation.rollout import VectorEnv
from rvdt_jax.evaluation.score_run import ScoredRun, load_scored, make_evaluator
from rvdt_jax.report.results import data_label
from rvdt_jax.tasks import normalized_score


@dataclasses.dataclass(frozen=True)
class Paths:
    """Some episodes of one policy in one maze.

    Positions are (row, column) in cells from the maze's upper left corner.

    Attributes:
        variant: of the policy.
        task: the maze2d task.
        data: the training data in words.
        seed, step: the training seed, and the update of the checkpoint.
        rows: the maze: rows of ``#`` for walls.
        goal, goal_radius: where the reward is.
        positions: (E, T + 1, 2), of the ball before the first step and after every step.
        returns: (E,) raw returns.
        scores: (E,) normalised; None without reference returns.
    """

    variant: str
    task: str
    data: str
    seed: int
    step: int
    rows: tuple[str, ...]
    goal: tuple[float, float]
    goal_radius: float
    positions: np.ndarray
    returns: np.ndarray
    scores: np.ndarray | None

    @property
    def verdict(self) -> str:
        """The mean score, or return, of these episodes."""
        if self.scores is None:
            return f"return {self.returns.mean():.1f}"
        return f"score {self.scores.mean():.1f}"

    def in_goal(self) -> np.ndarray:
        """(E, T + 1): whether the ball is within the goal's radius."""
        return np.linalg.norm(self.positions - np.array(self.goal), axis=-1) <= self.goal_radius


def check_same_starts(panels: list[Paths]) -> None:
    """Checks that maze, length and starts are equal, as a comparison needs.

    Raises:
        UserError: they are not; the difference is named.
    """
    first = panels[0]
    for other in panels[1:]:
        if other.task != first.task:
            raise UserError(f"--runs: {first.variant} acts in {first.task}, and {other.variant} in {other.task}.")
        if other.positions.shape != first.positions.shape or (other.positions[:, 0] != first.positions[:, 0]).any():
            raise UserError(f"--runs: the episodes of {first.variant} and {other.variant} differ in starts or length.")


def labelled(played: list[Paths], folders: list[pathlib.Path]) -> list[tuple[str, Paths]]:
    """Each with its variant's name, and with the end of its run directory if two are of one variant."""
    variants, panels = [paths.variant for paths in played], []
    for paths, folder in zip(played, folders, strict=True):
        where = f", {'/'.join(folder.parts[-2:])}" if variants.count(paths.variant) > 1 else ""
        panels.append((paths.variant + where, paths))
    return panels


def record_paths(folder: pathlib.Path, *, episodes: int, seed: int | None = None) -> Paths:
    """Plays the newest policy of one seed in its maze with the evaluator, and records the ball's positions.

    Args:
        folder: the run directory.
        episodes: how many; their starts depend on the seed alone, and are those of the run's own evaluations.
        seed: the training seed of the policy; None takes the first.

    Raises:
        UserError: there is no such run or seed, or the run is not scored in a maze2d task.
    """
    run = load_scored(folder)
    saved, scoring = run.saved, run.scoring
    environment, seeds = scoring.environment, saved.config.seeds
    if not is_light(environment):
        raise UserError(f"{folder}: is scored in {environment.id}, but paths are drawn in maze2d's mazes only.")
    seed = seeds[0] if seed is None else seed
    if seed not in seeds:
        raise UserError(f"{folder}: has no seed {seed}; trained were {', '.join(map(str, seeds))}.")
    observations, returns = _play(run, seed, episodes)
    name, references = environment.id.rpartition("/")[2], (scoring.ref_min_return, scoring.ref_max_return)
    maze = get_maze(name)
    return Paths(
        variant=saved.config.variant,
        task=name,
        data=data_label(saved.provenance),
        seed=seed,
        step=saved.step,
        rows=maze.rows,
        goal=tuple(coordinate + ORIGIN for coordinate in maze.goal),
        goal_radius=GOAL_RADIUS,
        positions=observations[..., :2] + ORIGIN,
        returns=returns,
        scores=None if None in references else normalized_score(returns, *references),
    )


def _play(run: ScoredRun, seed: int, episodes: int) -> tuple[np.ndarray, np.ndarray]:
    """(E, T + 1, S) observations and (E,) raw returns of one seed's policy at the headline target."""
    recordings: list[_Recording] = []

    def record(env: VectorEnv) -> VectorEnv:
        recordings.append(_Recording(env))
        return recordings[-1]

    row = run.saved.config.seeds.index(seed)
    params = jax.tree.map(lambda leaf: leaf[row : row + 1], run.saved.params)
    with contextlib.closing(make_evaluator(run, seeds=(seed,), wrap=record)) as evaluator:
        headline, *_ = evaluator(params, step=run.saved.step, episodes=episodes)
    observations = np.stack(recordings[-1].observations, axis=1)
    return observations[:episodes], np.array(headline["returns"])  # the headline target's copies come first


class _Recording:
    """A vector environment that keeps every observation since the last reset, as (num_envs, S) arrays."""

    def __init__(self, env: VectorEnv):
        self._env = env
        self.observations: list[np.ndarray] = []

    def __getattr__(self, name: str):
        return getattr(self._env, name)

    def reset(self, seeds) -> np.ndarray:
        observations = self._env.reset(seeds)
        self.observations = [observations.copy()]
        return observations

    def step(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        result = self._env.step(actions)
        self.observations.append(result[0].copy())
        return result
