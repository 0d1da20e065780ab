"""Checks the values of a D4RL file, and finds where its episodes end.

An episode ends where ``terminals`` or ``timeouts`` say so; the two flags stay apart.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from rvdt_jax.data.d4rl.hdf5 import D4rlFile

_ROUNDING = 1e-5  # actions this far beyond +-1 are rounding errors
_JUMP = 5.0  # no ant moves this far in one step, in the maze's units; D4RL's check_antmaze_datasets.py

# Which rewards a task gives -> the same in words, and a test of each value.
_REWARDS = {
    "sparse": ("0 or 1", lambda rewards: np.isin(rewards, (0, 1))),
    "dense": ("between 0 and 1", lambda rewards: (rewards >= 0) & (rewards <= 1)),
    "counts": ("0, 1, 2, 3 or 4", lambda rewards: np.isin(rewards, range(5))),
    "any": ("any", lambda rewards: np.ones(rewards.shape, bool)),
}


@dataclasses.dataclass(frozen=True)
class Recording:
    """The checked values of a file of N steps in E episodes.

    Attributes:
        columns: ``observations`` (N, S), ``actions`` (N, A) in [-1, 1], ``rewards`` (N,), and ``next_observations``
            (N, S) where the file has them; float32.
        terminations: (N,) bool, as in the file.
        truncations: (N,) bool, as in the file; every ``horizon`` steps if the file has no time-outs; True at the last
            step if nothing else ends it.
        ends: (E,) last step of each episode.
        noticed: what a user should know of this file, one sentence each.
        counts: how many of what, by name.
    """

    columns: dict[str, np.ndarray]
    terminations: np.ndarray
    truncations: np.ndarray
    ends: np.ndarray
    noticed: list[str]
    counts: dict[str, int]


def check_recording(file: D4rlFile, *, horizon: int, rewards: str = "any", is_ant: bool = False) -> Recording:
    """Checks every value.

    Args:
        file: its sizes are the task's.
        horizon: steps after which D4RL's environment cuts an episode.
        rewards: which values they may have: ``any``, ``sparse`` (0 or 1), ``dense`` (0 to 1, not all of them 0 or 1),
            ``counts`` (0, 1, 2, 3 or 4).
        is_ant: the first two numbers of an observation are a place, which cannot change at once.

    Raises:
        UserError: naming the file, the key, the row, the episode and the remedy.
    """
    terminations = _flags(file, "terminals")
    has_timeouts = "timeouts" in file.arrays
    truncations = _flags(file, "timeouts") if has_timeouts else _timeouts_at(horizon, terminations)
    flagged = np.flatnonzero(terminations | truncations)
    trailing, timeouts = file.steps - 1 - int(flagged[-1]) if flagged.size else file.steps, int(truncations.sum())
    truncations[-1] |= trailing > 0
    ends = np.flatnonzero(terminations | truncations)
    columns = {key: _finite(file, key, ends) for key in file.arrays if key not in ("terminals", "timeouts")}
    _check_rewards(file, columns["rewards"], rewards, ends)
    clipped, largest = _check_actions(file, columns["actions"])
    np.clip(columns["actions"], -1.0, 1.0, out=columns["actions"])
    jumps = _count_jumps(columns["observations"], ends) if is_ant else 0
    single, terminated = int((np.diff(ends, prepend=-1) == 1).sum()), int(terminations[ends].sum())
    both = int((terminations & truncations).sum())
    said = {
        f"no time-outs in the file: episodes are cut after {horizon} steps, as in D4RL's environment: {timeouts} cut": (
            not has_timeouts
        ),
        f"steps behind the last flag, kept as a truncated episode: {trailing}": trailing,
        f"steps both terminal and time-out, counted as terminated: {both}": both,
        f"episodes of one step: {single} of {ends.size}": single,
        f"steps with actions beyond +-1, clipped: {clipped} of {file.steps}, up to {largest:.8g}": clipped,
        f"jumps of the ant inside an episode, resets without a flag: {jumps}": jumps,
        f"every reward is {columns['rewards'][0]:g}": np.ptp(columns["rewards"]) == 0,
    }
    counts = {"episodes": ends.size, "steps": file.steps, "terminated": terminated}
    counts |= {"truncated": ends.size - terminated, "clipped_steps": clipped, "trailing_steps": trailing}
    noticed = [words for words, holds in said.items() if holds]
    return Recording(columns, terminations, truncations, ends, noticed, counts)


def _flags(file: D4rlFile, key: str) -> np.ndarray:
    """(N,) bool."""
    values = file.arrays[key]
    wrong = np.flatnonzero((values != 0) & (values != 1))
    if wrong.size:
        found = f"row {wrong[0]} is {values[wrong[0]]}, and flags are 0 or 1"
        raise file.error(key, found, "download the file again, or correct that row")
    return values.astype(bool)


def _timeouts_at(horizon: int, terminations: np.ndarray) -> np.ndarray:
    """(N,) bool: the time-outs of a file that has none, every ``horizon`` steps since the last termination."""
    steps = np.arange(terminations.size)
    ends = np.flatnonzero(terminations)
    starts = np.concatenate([[0], ends + 1])[np.searchsorted(ends, steps)]
    return ((steps - starts) % horizon == horizon - 1) & ~terminations


def _finite(file: D4rlFile, key: str, ends: np.ndarray) -> np.ndarray:
    """The values of a key as a float32 copy, all finite."""
    with np.errstate(over="ignore", invalid="ignore"):
        values = file.arrays[key].astype(np.float32)
    if not np.isfinite(values).all():
        place = tuple(np.argwhere(~np.isfinite(values))[0])
        found = f"{_place(place[0], ends)} has {file.arrays[key][place]}, which is no finite number in float32"
        raise file.error(key, found, "repair that row, or download the file again")
    return values


def _check_rewards(file: D4rlFile, rewards: np.ndarray, kind: str, ends: np.ndarray) -> None:
    remedy = "this is another task's file, or its rewards were changed: check --task and --file"
    words, is_given = _REWARDS[kind]
    wrong = np.flatnonzero(~is_given(rewards))
    if wrong.size:
        found = f"{_place(wrong[0], ends)} is {rewards[wrong[0]]:g}, and this task's are {words}"
        raise file.error("rewards", found, remedy)
    if kind == "dense" and np.isin(rewards, (0, 1)).all():
        raise file.error("rewards", "all of them are 0 or 1, as in the sparse task's file", remedy)


def _check_actions(file: D4rlFile, actions: np.ndarray) -> tuple[int, float]:
    """How many steps have an action beyond +-1, and the largest absolute value."""
    sizes = np.abs(actions)
    share, largest = (sizes > 1 + _ROUNDING).mean(), float(sizes.max())
    if share > 0.5:
        found = f"{share:.0%} of the values lie outside [-1, 1], up to {largest:g}"
        remedy = "D4RL's lie within: this is another file, or its actions are on another scale; check --task and --file"
        raise file.error("actions", found, remedy)
    return int((sizes > 1).any(1).sum()), largest


def _count_jumps(observations: np.ndarray, ends: np.ndarray) -> int:
    """How often the ant jumps inside an episode."""
    moved = np.linalg.norm(np.diff(observations[:, :2], axis=0), axis=1)
    return int((~np.isin(np.flatnonzero(moved > _JUMP), ends)).sum())


def _place(row: int, ends: np.ndarray) -> str:
    return f"row {row} (episode {np.searchsorted(ends, row)})"
