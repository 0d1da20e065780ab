"""From the rows of a D4RL file to episodes: where they end, what of their values is refused, and one after another.

An episode ends where ``terminals`` or ``timeouts`` say so, and the two stay apart. The first pass, ``check_recording``,
keeps per step only the reward and two flags; the second, ``episodes_of``, holds one episode and one block of rows.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterator

import numpy as np
from tqdm import tqdm

from rvdt_jax.data.d4rl_hdf5 import D4rlFile

_ROUNDING = 1e-5  # actions this far beyond +-1 are no sign of another scale
_JUMP = 5.0  # between two steps no ant comes this far, in the maze's units; D4RL's check_antmaze_datasets.py


@dataclasses.dataclass(frozen=True)
class Expected:
    """What the file of a task must hold.

    Attributes:
        horizon: steps after which D4RL's environment cuts an episode.
        rewards: which values they may have: ``any``, ``sparse`` (0 or 1), ``dense`` (0 to 1, not all of them 0 or 1),
            ``counts`` (0, 1, 2, 3 or 4).
        is_ant: the first two numbers of an observation are a place that cannot change at once.
    """

    horizon: int
    rewards: str = "any"
    is_ant: bool = False


@dataclasses.dataclass(frozen=True)
class Recording:
    """A checked file of N steps in E episodes.

    Attributes:
        rewards: (N,) float32.
        terminations: (N,) bool, as in the file.
        truncations: (N,) bool, as in the file; at the horizon where it has no time-outs; True at its last step if
            nothing else ends that.
        ends: (E,) int64 number of each episode's last step.
        last_observations: (E, S) float32 after each episode's last action; None where the file has none.
        has_timeouts: the file has that key.
        trailing_steps: steps behind the last flag.
        clipped_steps: steps with an action beyond +-1.
        largest_action: the largest absolute value before clipping.
        jumps: changes of place inside episodes that no ant can make: resets without a flag.
    """

    rewards: np.ndarray
    terminations: np.ndarray
    truncations: np.ndarray
    ends: np.ndarray
    last_observations: np.ndarray | None
    has_timeouts: bool
    trailing_steps: int
    clipped_steps: int
    largest_action: float
    jumps: int

    @property
    def starts(self) -> np.ndarray:
        """(E,) number of each episode's first step."""
        return np.concatenate([[0], self.ends[:-1] + 1])

    @property
    def lengths(self) -> np.ndarray:
        """(E,) steps of each episode."""
        return np.diff(self.ends, prepend=-1)

    @property
    def returns(self) -> np.ndarray:
        """(E,) float64 undiscounted returns."""
        return np.add.reduceat(self.rewards, self.starts, dtype=np.float64)


def check_recording(file: D4rlFile, expected: Expected, *, progress: bool = False) -> Recording:
    """Reads every value once.

    Args:
        file: open; sizes are as the task's.
        expected: what its values may be.
        progress: show a progress bar.

    Raises:
        UserError: naming the file, the key, the row, the episode and the remedy.
    """
    terminations = file.flags("terminals")
    truncations = file.flags("timeouts") if "timeouts" in file else _timeouts_at(expected.horizon, terminations)
    flagged = np.flatnonzero(terminations | truncations)
    trailing_steps = file.steps - 1 - int(flagged[-1]) if flagged.size else file.steps
    truncations[-1] |= trailing_steps > 0
    ends = np.flatnonzero(terminations | truncations)
    rows = file.steps * (3 + ("next_observations" in file))
    with tqdm(total=rows, desc="checking", unit="row", unit_scale=True, disable=not progress) as bar:
        blocks = functools.partial(_finite_blocks, file, ends=ends, progress=bar.update)
        rewards = _check_rewards(file, blocks, expected.rewards, ends)
        clipped_steps, largest_action = _check_actions(file, blocks)
        last_observations = _last_observations(file, blocks, ends) if "next_observations" in file else None
        jumps = _check_observations(blocks, expected.is_ant, ends)
    return Recording(
        rewards=rewards,
        terminations=terminations,
        truncations=truncations,
        ends=ends,
        last_observations=last_observations,
        has_timeouts="timeouts" in file,
        trailing_steps=trailing_steps,
        clipped_steps=clipped_steps,
        largest_action=largest_action,
        jumps=jumps,
    )


def episodes_of(file: D4rlFile, recording: Recording, *, progress: bool = False) -> Iterator[dict]:
    """One episode after the other, as ``minari_writer.write_dataset`` takes them."""
    observations, actions = _Rows(file, "observations"), _Rows(file, "actions")
    spans = zip(recording.starts.tolist(), (recording.ends + 1).tolist(), strict=True)
    bar = tqdm(spans, total=recording.ends.size, desc="writing", unit="episode", disable=not progress)
    for number, (start, end) in enumerate(bar):
        seen = observations.take(start, end).astype(np.float32)
        # Nothing is known of what follows the last action: the next row of the file is another episode's.
        after = seen[-1] if recording.last_observations is None else recording.last_observations[number]
        yield {
            "observations": np.concatenate([seen, after[None]]),
            "actions": np.clip(actions.take(start, end).astype(np.float32), -1.0, 1.0),
            "rewards": recording.rewards[start:end],
            "terminations": recording.terminations[start:end],
            "truncations": recording.truncations[start:end],
        }


class _Rows:
    """Rows of a key in the order of the file, however episodes and blocks lie to each other."""

    def __init__(self, file: D4rlFile, key: str):
        self._blocks, self._start, self._block = file.blocks(key), 0, np.empty(0)

    def take(self, start: int, end: int) -> np.ndarray:
        """Rows ``start`` to ``end``; never before those that were taken last."""
        parts = []
        while start < end:
            while start >= self._start + len(self._block):
                self._start, self._block = next(self._blocks)
            parts.append(self._block[start - self._start : end - self._start])
            start += len(parts[-1])
        return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _timeouts_at(horizon: int, terminations: np.ndarray) -> np.ndarray:
    """(N,) bool: the time-outs of a file that has none, every ``horizon`` steps since the last termination."""
    steps = np.arange(terminations.size)
    ends = np.flatnonzero(terminations)
    starts = np.concatenate([[0], ends + 1])[np.searchsorted(ends, steps)]
    return ((steps - starts) % horizon == horizon - 1) & ~terminations


def _finite_blocks(
    file: D4rlFile, key: str, ends: np.ndarray, progress: Callable[[int], object]
) -> Iterator[tuple[int, np.ndarray]]:
    """The blocks of a key as float32, each with the number of its first row; all of it is finite in that type."""
    for start, rows in file.blocks(key):
        with np.errstate(over="ignore", invalid="ignore"):
            values = rows.astype(np.float32)
        if not np.isfinite(values).all():
            place = tuple(np.argwhere(~np.isfinite(values))[0])
            found = f"{_place(start + int(place[0]), ends)} has {rows[place]}, which is no finite number in float32"
            raise file.error(key, found, f"repair that row, or download the file again from {file.url}")
        yield start, values
        progress(len(rows))


def _check_rewards(file: D4rlFile, blocks: Callable, allowed: str, ends: np.ndarray) -> np.ndarray:
    """(N,) float32."""
    rewards = np.concatenate([rows for _, rows in blocks("rewards")])
    remedy = "this is another task's file, or its rewards were changed: check --task and --file"
    wrong, values = _strange_rewards(rewards, allowed)
    if wrong.size:
        found = f"{_place(int(wrong[0]), ends)} is {rewards[wrong[0]]:g}, and this task's are {values}"
        raise file.error("rewards", found, remedy)
    if allowed == "dense" and np.isin(rewards, (0, 1)).all():
        raise file.error("rewards", "all of them are 0 or 1, as in the sparse task's file", remedy)
    return rewards


def _strange_rewards(rewards: np.ndarray, allowed: str) -> tuple[np.ndarray, str]:
    """The steps whose rewards the task does not give, and those that it gives, in words."""
    if allowed == "sparse":
        return np.flatnonzero(~np.isin(rewards, (0, 1))), "0 or 1"
    if allowed == "dense":
        return np.flatnonzero((rewards < 0) | (rewards > 1)), "between 0 and 1"
    if allowed == "counts":
        return np.flatnonzero(~np.isin(rewards, range(5))), "0, 1, 2, 3 or 4"
    return np.empty(0), "any"


def _check_actions(file: D4rlFile, blocks: Callable) -> tuple[int, float]:
    """How many steps have an action beyond +-1, and the largest absolute value."""
    beyond, far_beyond, largest = 0, 0, 0.0
    for _, rows in blocks("actions"):
        sizes = np.abs(rows)
        beyond, far_beyond = beyond + int((sizes > 1).any(1).sum()), far_beyond + int((sizes > 1 + _ROUNDING).sum())
        largest = max(largest, float(sizes.max()))
    share = far_beyond / (file.steps * file.action_size)
    if share > 0.5:
        raise file.error(
            "actions",
            f"{share:.0%} of the values lie outside [-1, 1], up to {largest:g}",
            "D4RL's lie within: this is another file, or its actions are on another scale; check --task and --file",
        )
    return beyond, largest


def _last_observations(file: D4rlFile, blocks: Callable, ends: np.ndarray) -> np.ndarray:
    """(E, S) float32 after the episodes' last actions: nothing else of ``next_observations`` is needed."""
    last = np.empty((ends.size, file.observation_size), np.float32)
    for start, rows in blocks("next_observations"):
        inside = slice(*np.searchsorted(ends, (start, start + len(rows))))
        last[inside] = rows[ends[inside] - start]
    return last


def _check_observations(blocks: Callable, is_ant: bool, ends: np.ndarray) -> int:
    """How often the ant jumps inside an episode; 0 for others."""
    jumps, before = 0, np.empty((0, 2), np.float32)
    for start, rows in blocks("observations"):
        if is_ant:
            places = np.concatenate([before, rows[:, :2]])
            moved = np.linalg.norm(np.diff(places, axis=0), axis=1)
            jumped = start - len(before) + np.flatnonzero(moved > _JUMP)
            jumps, before = jumps + int((~np.isin(jumped, ends)).sum()), places[-1:].copy()
    return jumps


def _place(row: int, ends: np.ndarray) -> str:
    return f"row {row} (episode {int(np.searchsorted(ends, row))})"
