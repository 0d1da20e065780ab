"""The table of tasks: ids, horizons, D4RL's reference returns, and the settings each task starts from.

Facts are data, in ``rvdt_jax/reference``: ``d4rl_reference_scores.csv`` (D4RL's own ``infos.py``) and
``qt_settings.csv`` (the per-task settings published with QT, Hu et al. 2024). This module joins the two and
adds what this package knows itself: where the data comes from and which environment scores it.
"""

from __future__ import annotations

import csv
import dataclasses
import difflib
import functools
from importlib import resources

# Steps of D4RL's published collection runs, by maze.
_MAZE2D_STEPS = {"open": 1_000_000, "umaze": 1_000_000, "medium": 2_000_000, "large": 4_000_000}


@dataclasses.dataclass(frozen=True)
class Task:
    """One task of the published tables.

    Attributes:
        name: D4RL's name with its version, e.g. ``maze2d-umaze-v1``.
        family: the configuration file that covers it, e.g. ``maze2d``.
        env_id: Gymnasium id of the environment that scores a policy.
        dataset_id: Minari id of the local data set.
        horizon: evaluation episode length, in steps.
        ref_min_return, ref_max_return: D4RL's reference returns, raw reward units.
        recipe_steps: length of the published data collection, in steps.
        return_scale: returns-to-go are divided by this before they reach the policy.
        targets: raw target returns that the task is evaluated with.
        eta, grad_clip_norm, context_length: QT's published settings.
        lr_decay_steps: updates in which the learning rate falls from its peak to 0 on a cosine (QT).
        train_steps: updates after which QT stops.
    """

    name: str
    family: str
    env_id: str
    dataset_id: str
    horizon: int
    ref_min_return: float
    ref_max_return: float
    recipe_steps: int
    return_scale: float
    targets: tuple[float, ...]
    eta: float
    grad_clip_norm: float
    context_length: int
    lr_decay_steps: int
    train_steps: int

    def normalized_score(self, episode_return):
        """D4RL's score of a raw return; see ``normalized_score``."""
        return normalized_score(episode_return, self.ref_min_return, self.ref_max_return)


def normalized_score(episode_return, ref_min_return: float, ref_max_return: float):
    """100 (R - min) / (max - min), D4RL's score; works on scalars and NumPy arrays."""
    return 100.0 * (episode_return - ref_min_return) / (ref_max_return - ref_min_return)


def _read_reference(filename: str) -> dict[str, dict[str, str]]:
    text = (resources.files("rvdt_jax") / "reference" / filename).read_text(encoding="utf-8")
    return {row["d4rl_task"]: row for row in csv.DictReader(text.splitlines())}


@functools.cache
def all_tasks() -> dict[str, Task]:
    """Every task this version can run, by name, in the order of the published tables."""
    scores = _read_reference("d4rl_reference_scores.csv")
    settings = _read_reference("qt_settings.csv")
    return {name: _make_task(name, scores[name], settings[name]) for name in scores if name.startswith("maze2d-")}


def _make_task(name: str, scores: dict[str, str], settings: dict[str, str]) -> Task:
    family, maze = name.split("-")[:2]
    steps_per_iteration = int(settings["steps_per_iteration"])
    return Task(
        name=name,
        family=family,
        env_id=f"rvdt/{name}",
        dataset_id=f"recreated/{name}",
        horizon=int(scores["max_episode_steps"]),
        ref_min_return=float(scores["ref_min_return"]),
        ref_max_return=float(scores["ref_max_return"]),
        recipe_steps=_MAZE2D_STEPS[maze],
        return_scale=float(settings["return_scale"]),
        targets=tuple(float(target) for target in settings["conditioning_targets"].split()),
        eta=float(settings["eta"]),
        grad_clip_norm=float(settings["grad_clip_norm"]),
        context_length=int(settings["context_length"]),
        lr_decay_steps=int(settings["lr_cosine_period_iterations"]) * steps_per_iteration,
        train_steps=int(settings["stop_iteration"]) * steps_per_iteration,
    )


def get_task(name: str) -> Task:
    """The task called ``name``.

    Raises:
        ValueError: no such task; the message names the nearest one and lists them all.
    """
    tasks = all_tasks()
    if name in tasks:
        return tasks[name]
    nearest = difflib.get_close_matches(name, tasks, n=1)
    hint = f" Did you mean {nearest[0]!r}?" if nearest else ""
    raise ValueError(f"task: there is no task {name!r}.{hint} Known tasks: {', '.join(tasks)}.")
