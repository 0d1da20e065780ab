"""D4RL's maze2d data sets by their published recipe (``generate_maze2d_datasets.py``, Fu et al. 2020).

One continuous run: the waypoint controller drives to random targets, with N(0, .5) added to its actions, which are
then clipped. On arrival, or after as many steps as an episode of the task has, the segment ends as a time-out and a new
target is drawn: of open one segment in twenty is ended by length, of the other mazes none. Rewards are
relabelled from the observations toward the task's one fixed goal. No step is terminal.
"""

from __future__ import annotations

from collections.abc import Callable, Generator

import numpy as np

from rvdt_jax.data.minari.writer import split_recording
from rvdt_jax.envs.maze2d import START_NOISE, Ball, get_maze, make_model, rewards
from rvdt_jax.recreate.controller import WaypointController, clip
from rvdt_jax.recreate.rollouts import Recipe
from rvdt_jax.tasks import Task

ACTION_NOISE = 0.5
_PROGRESS_EVERY = 10_000


def collect(
    name: str, steps: int, seed: int, progress: Callable[[int], object] = lambda done: None
) -> dict[str, np.ndarray]:
    """Runs the recipe.

    Args:
        name: D4RL's name of the task.
        steps: N.
        seed: fixes every draw.
        progress: called with the number of new steps, every 10,000 steps.

    Returns:
        ``observations`` and ``next_observations`` (N, 4), before and after each action; ``actions`` (N, 2) in [-1, 1];
        ``rewards`` (N,); all float32. ``ends`` (N,) bool, True on the last step of a segment.
    """
    maze = get_maze(name)
    rng = np.random.default_rng(seed)
    ball, controller = Ball(make_model(maze)), WaypointController(maze, rng)
    cells = maze.free_cells
    target = _draw_target(rng, cells)
    ball.place(rng, cells)
    before, after = np.empty((steps, 4)), np.empty((steps, 4))
    actions, ends = np.empty((steps, 2)), np.zeros(steps, bool)
    noise = None
    position, velocity, elapsed = tuple(ball.position.tolist()), tuple(ball.velocity.tolist()), 0
    for step in range(steps):
        block = step % _PROGRESS_EVERY
        if block == 0:
            noise = rng.normal(0.0, ACTION_NOISE, (_PROGRESS_EVERY, 2)).tolist()
            progress(min(_PROGRESS_EVERY, steps - step))
        force_x, force_y, arrived = controller.act(position, velocity, target)
        action = (clip(force_x + noise[block][0]), clip(force_y + noise[block][1]))
        ended = arrived or elapsed >= maze.horizon
        before[step], actions[step], ends[step] = position + velocity, action, ended
        ball.push(*action)
        elapsed += 1
        moved_to, now_at = tuple(ball.position.tolist()), tuple(ball.velocity.tolist())
        after[step] = moved_to + now_at
        if ended:
            # As in the original, the observation is not refreshed here: the next step sees the old one.
            target, elapsed = _draw_target(rng, cells), 0
        else:
            position, velocity = moved_to, now_at
    ends[-1] = True
    paid = rewards(before[:, :2], maze.goal, maze.dense)
    columns = {"observations": before, "next_observations": after, "actions": actions, "rewards": paid}
    return {key: values.astype(np.float32) for key, values in columns.items()} | {"ends": ends}


def _draw_target(rng: np.random.Generator, cells: list[tuple[int, int]]) -> tuple[float, float]:
    row, column = cells[rng.choice(len(cells))]
    noise_x, noise_y = rng.uniform(-START_NOISE, START_NOISE, size=2).tolist()
    return row + noise_x, column + noise_y


def episodes_of(recording: dict[str, np.ndarray]) -> Generator[dict]:
    """One episode per segment, the last step truncated; as the writer takes them."""
    return split_recording(recording, np.zeros(len(recording["ends"]), bool), recording["ends"])


def maze2d_recipe(task: Task, steps: int, seed: int) -> Recipe:
    """D4RL's ``generate_maze2d_datasets.py``, noisy."""
    return Recipe(
        observation_size=4,
        action_size=2,
        algorithm="waypoint controller (D4RL's recipe)",
        description="a waypoint controller driving to random targets, action noise of std 0.5, rewards relabelled "
        "toward the task's goal; on an exact rebuild of the environment",
        steps=steps,
        seed=seed,
        facts={"recipe": f"D4RL generate_maze2d_datasets.py, noisy, {steps} steps"},
        collect=lambda progress: episodes_of(collect(task.name, steps, seed, progress)),
    )
