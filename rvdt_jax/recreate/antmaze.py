"""antmaze data sets by D4RL's recipe (``generate_ant_maze_datasets.py``, Fu et al. 2020), with Minari's planner.

A planner leads an ant, which has learned to walk to a goal, from cell to cell; N(0, .2) is added to its actions.
Episodes last 1000 steps, with or without arrival. ``umaze`` has the start and goal of evaluation; in ``*-diverse``
the ant walks between two random cells, and the reward is that of evaluation's goal.

Unlike the original, the planner is Minari's (cells by Q-iteration; the next one becomes the target within .45 of the
last), and plans again when the ant has left its way. The reward is for the goal that the episode drew at its start, as
in the evaluation environment; D4RL relabelled all episodes toward one goal.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator

import gymnasium
import numpy as np

from rvdt_jax.envs.d4rl import MAZES, AntMazeEnv
from rvdt_jax.recreate.collector import Collector
from rvdt_jax.recreate.controller import Cell, shortest_path
from rvdt_jax.recreate.locomotion import shipped_collector
from rvdt_jax.recreate.rollouts import Act, Recipe, collect
from rvdt_jax.tasks import Environment, Task

EPISODE = 1000
ACTION_NOISE = 0.2
CELL = 4.0  # metres
REACHED = 0.45  # metres, as in Minari's recipe
_WAYPOINT_JITTER = 0.5
_SIZE = 29  # of the task's observations; the commanded goal comes after them


class CommandedAnt(AntMazeEnv):
    """The task's ant with a commanded goal, the last 2 numbers of its observations (31); it goes on after arrival.

    Args:
        maze: a name in ``MAZES``.
        diverse: start and goal are drawn from all cells; else they are the task's.
        render_mode: None or ``rgb_array``.
    """

    def __init__(self, maze: str, diverse: bool, render_mode: str | None = None):
        super().__init__(maze, render_mode)
        self.observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (_SIZE + 2,), np.float32)
        self._diverse = diverse
        self._places = [place_of(cell, maze) for cell in free_cells(maze)]

    def reset(self, *, seed: int | None = None, options: dict | None = None):
        """Draws the goal of the reward, the start, and the commanded goal."""
        observation, info = super().reset(seed=seed)
        self._commanded = self._goal
        if self._diverse:
            start, end = self.np_random.choice(len(self._places), 2, replace=False)
            spread = self.np_random.uniform(0.0, 1.0, 2)  # D4RL's of starts, and its two of goals
            noise = self.np_random.uniform(0.0, 1.0, 2) + self.np_random.uniform(0.0, 0.5, 2)
            self._commanded = np.maximum(self._places[end] + noise, 0.0)
            data = self.simulator.data
            position, velocity = data.qpos.copy(), data.qvel.copy()
            position[:2] += np.maximum(self._places[start] + spread, 0.0)
            self._ant.set_state(position, velocity)
            observation = self._observation()
        return self._with_goal(observation), info

    def step(self, action):
        """As ``AntMazeEnv.step``, but never terminated."""
        observation, reward, _, truncated, info = super().step(action)
        return self._with_goal(observation), reward, False, truncated, info

    def _with_goal(self, observation: np.ndarray) -> np.ndarray:
        return np.concatenate([observation, self._commanded]).astype(np.float32)


@functools.cache
def free_cells(maze: str) -> tuple[Cell, ...]:
    """The (row, column) of every cell without a wall, row-major."""
    rows = MAZES[maze].split("/")
    return tuple((i, j) for i, row in enumerate(rows) for j, cell in enumerate(row) if cell != "1")


def place_of(cell: Cell, maze: str) -> np.ndarray:
    """(2,) x and y, in metres, of a cell's centre."""
    row, column = _start(maze)
    return CELL * np.array([cell[1] - column, cell[0] - row])


def cell_of(place: np.ndarray, maze: str) -> Cell:
    """The (row, column) of a place, x and y in metres; the nearest free cell if it lies in a wall."""
    row, column = _start(maze)
    cell = (row + math.floor(place[1] / CELL + 0.5), column + math.floor(place[0] / CELL + 0.5))
    free = free_cells(maze)
    return cell if cell in free else min(free, key=lambda each: math.dist(place_of(each, maze), place))


@functools.cache
def _start(maze: str) -> Cell:
    rows = MAZES[maze].split("/")
    return next((i, row.index("R")) for i, row in enumerate(rows) if "R" in row)


def goal_observation(observation: np.ndarray, goal: np.ndarray) -> np.ndarray:
    """(..., 29) observation of the goal-reaching policy: the body without its place, and the vector to the goal.

    Args:
        observation: (..., 29) of ``AntMazeEnv``.
        goal: (..., 2) in the same metres.
    """
    return np.concatenate([observation[..., 2:], goal - observation[..., :2]], axis=-1).astype(np.float32)


class Planner:
    """Leads one ant to its commanded goal.

    Args:
        maze: a name in ``MAZES``.
        goal: (2,) in metres.
        rng: draws the waypoints' offsets from their cells' centres.
    """

    def __init__(self, maze: str, goal: np.ndarray, rng: np.random.Generator):
        self._maze, self._goal, self._rng = maze, goal, rng
        self._cells: list[Cell] = []
        self._expected: set[Cell] = set()

    def waypoint(self, place: np.ndarray) -> np.ndarray:
        """(2,) where to walk from a place."""
        cell = cell_of(place, self._maze)
        if cell not in self._expected:
            target = cell_of(self._goal, self._maze)
            path = () if cell == target else shortest_path(free_cells(self._maze), cell, target)
            self._cells = [cell, *path]
            self._aim()
        elif len(self._cells) > 1 and math.dist(place, self._aimed_at) < REACHED:
            del self._cells[0]
            self._aim()
        return self._aimed_at

    def _aim(self) -> None:
        """Aims at the next cell of the way, or within the last two at the goal itself."""
        self._expected = set(self._cells[:2])
        self._aimed_at = self._goal
        if len(self._cells) > 2:
            jitter = self._rng.uniform(-_WAYPOINT_JITTER, _WAYPOINT_JITTER, 2)
            self._aimed_at = place_of(self._cells[1], self._maze) + jitter


def led_ants(collector: Collector, maze: str, rng: np.random.Generator) -> Callable[[np.ndarray], Act]:
    """Goal-reaching ants that planners lead, with noise on drawn actions; see ``rollouts.collect``."""

    def begin(first: np.ndarray) -> Act:
        """Plans for (n, 31) first observations; the result gives (n, 8) actions for (n, 31) observations."""
        planners = [Planner(maze, goal, rng) for goal in first[:, _SIZE:]]

        def act(observations: np.ndarray) -> np.ndarray:
            pairs = zip(planners, observations[:, :2], strict=True)
            waypoints = np.stack([planner.waypoint(place) for planner, place in pairs])
            actions = collector.act(goal_observation(observations[:, :_SIZE], waypoints), rng)
            noise = rng.normal(0.0, ACTION_NOISE, actions.shape).astype(np.float32)
            return np.clip(actions + noise, -1.0, 1.0)

        return act

    return begin


def antmaze_recipe(task: Task, steps: int, seed: int) -> Recipe:
    """The recipe for ``antmaze-umaze-v0``, or one of the diverse tasks."""
    maze, diverse = task.name.split("-")[1], "-diverse" in task.name
    collector = shipped_collector("ant-goal")

    def collect_episodes(progress: Callable[[int], object]) -> Iterator[dict]:
        rng = np.random.default_rng(seed)
        environment = _register(maze, diverse)
        for episode in collect(environment, led_ants(collector, maze, rng), steps, rng, progress):
            yield episode | {"observations": episode["observations"][:, :_SIZE]}

    ends = "random starts and goals" if diverse else "the task's start and goal"
    return Recipe(
        observation_size=_SIZE,
        action_size=8,
        algorithm="waypoint planner and goal-reaching SAC (D4RL's recipe)",
        description=f"a planner leading a goal-reaching ant, action noise of std {ACTION_NOISE}, {ends}",
        steps=steps,
        seed=seed,
        facts={
            "recipe": f"D4RL generate_ant_maze_datasets.py, noisy, {ends}, {steps} steps",
            "policies": [collector.about],
        },
        collect=collect_episodes,
    )


def _register(maze: str, diverse: bool) -> Environment:
    """Registers the environment of the collection, under an id for worker processes."""
    env_id = f"rvdt-recipe/antmaze-{maze}{'-diverse' if diverse else ''}-v0"
    if env_id not in gymnasium.registry:
        gymnasium.register(
            env_id,
            entry_point="rvdt_jax.recreate.antmaze:CommandedAnt",
            max_episode_steps=EPISODE,
            kwargs={"maze": maze, "diverse": diverse},
        )
    return Environment(env_id, horizon=EPISODE)
