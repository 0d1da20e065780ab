"""Logged data as columns, one row per step, cut into episodes: what ``Episodes.from_columns`` and the importer share.

T rows make an episode of T steps. A log that ends, or that is cut at a time-out, is not terminal: the last row's
observation is then where the TD target bootstraps.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from rvdt_jax.errors import UserError

TAIL = 1e-3  # share of the actions that may lie beyond a bound that is taken from the data
_FEWEST = 20  # rows of a log in which one extreme value can be told from the others
_FAR = 0.5  # in ranges between these quantiles: what lies further out is taken for a glitch


@dataclasses.dataclass(frozen=True)
class Cut:
    """How N rows make E episodes.

    Attributes:
        order: (N,) the rows, episode after episode and step after step; None where they lie so already.
        lengths: (E,) int64 steps of each episode.
        terminated: (E,) bool, whether its last row is terminal.
        timeouts: how many episodes end in a time-out that the log marks.
        notes: sentences on what was done that a reader may not expect.
    """

    order: np.ndarray | None
    lengths: np.ndarray
    terminated: np.ndarray
    timeouts: int
    notes: tuple[str, ...] = ()


def cut_episodes(
    name: str,
    rows: int,
    *,
    episode: np.ndarray | None = None,
    terminals: np.ndarray | None = None,
    timeouts: np.ndarray | None = None,
    time: np.ndarray | None = None,
    gap: float | None = None,
) -> Cut:
    """Finds the episodes of a log.

    An episode ends where ``episode`` changes, after a row whose terminal or time-out flag is set, and where the time
    to the next row exceeds ``gap`` or runs backwards. At least one of these must be given.

    Args:
        name: of the log, for messages.
        rows: N.
        episode: (N,) an id for each row, of any type. Rows of one episode may be apart only where ``time`` orders them.
        terminals, timeouts: (N,) bool, or 0 and 1.
        time: (N,) numbers that rise within an episode: seconds, or the number of the step.
        gap: in the unit of ``time``.

    Raises:
        UserError: nothing says where episodes end, rows of an episode are apart or have equal times, or flags hold
            other values than 0 and 1.
    """
    _check_cues(name, (episode, terminals, timeouts, gap), time)
    codes = None if episode is None else _codes(name, np.asarray(episode), time is not None)
    time = None if time is None else _numbers(name, "time", time)
    order = _order(codes, time)
    codes, time = (values if values is None or order is None else values[order] for values in (codes, time))
    flags = [
        np.zeros(rows, bool) if values is None else as_flags(name, what, values)
        for what, values in (("the terminal flags", terminals), ("the time-out flags", timeouts))
    ]
    terminal, timeout = (values if order is None else values[order] for values in flags)
    ends, notes = _ends(name, codes, terminal, timeout, time, gap)
    last = np.flatnonzero(ends)
    return Cut(
        order=order,
        lengths=np.diff(last, prepend=-1),
        terminated=terminal[last],
        timeouts=int((timeout & ~terminal)[last].sum()),
        notes=tuple(notes),
    )


def _check_cues(name: str, cues: tuple, time: np.ndarray | None) -> None:
    if all(cue is None for cue in cues):
        raise UserError(
            f"{name}: nothing says where an episode ends. Name a column of episode ids, flags of terminal steps or of "
            "time-outs, or a time column and the gap that separates two episodes; where every file is an episode, name "
            "the column (file) as episode ids."
        )
    if cues[-1] is not None and time is None:
        raise UserError(f"{name}: a gap needs the time column that it is a gap of.")


def _ends(
    name: str,
    codes: np.ndarray | None,
    terminal: np.ndarray,
    timeout: np.ndarray,
    time: np.ndarray | None,
    gap: float | None,
) -> tuple[np.ndarray, list[str]]:
    """(N,) bool, True on the last row of every episode; and notes."""
    ends, notes = terminal | timeout, []
    ends[-1] = True
    if codes is not None:
        changes = codes[1:] != codes[:-1]
        inside = int((ends[:-1] & ~changes).sum())
        if inside:
            notes.append(f"{inside} terminal or time-out flags lie inside an episode id: it is split there")
        ends[:-1] |= changes
    if time is not None:
        step = np.diff(time)
        if gap is not None:
            ends[:-1] |= (step > gap) | (step < 0)
        inside = ~ends[:-1]
        if (inside & (step == 0)).any():
            row = int(np.flatnonzero(inside & (step == 0))[0])
            raise UserError(
                f"{name}: rows {row} and {row + 1} of one episode have the same time, {time[row]:g}. Drop one of them, "
                "or leave the time column out if the rows are in order."
            )
        if (inside & (step < 0)).any():
            row = int(np.flatnonzero(inside & (step < 0))[0])
            raise UserError(
                f"{name}: the time falls from {time[row]:g} to {time[row + 1]:g} between rows {row} and {row + 1}, and "
                "nothing says that an episode ends there. Name a column of episode ids, or give a gap."
            )
    return ends, notes


def _codes(name: str, episode: np.ndarray, ordered: bool) -> np.ndarray:
    """(N,) whole numbers that rise with the first appearance of an episode id."""
    if (episode != episode).any() or (episode.dtype.kind == "O" and any(each is None for each in episode)):
        raise UserError(f"{name}: the column of episode ids has empty entries. Fill or drop those rows.")
    changes = np.flatnonzero(episode[1:] != episode[:-1]) + 1
    heads = np.concatenate([[0], changes])
    ids, first, inverse = np.unique(episode[heads], return_index=True, return_inverse=True)
    if ids.size < heads.size and not ordered:
        again = episode[heads[np.flatnonzero(np.bincount(inverse)[inverse] > 1)[0]]]
        raise UserError(
            f"{name}: the rows of episode {again} are not together. Name a time column to order them by; or, if two "
            "episodes share that id, name flags that say where an episode ends instead of the ids."
        )
    rank = np.empty(ids.size, np.int64)
    rank[np.argsort(first)] = np.arange(ids.size)
    return np.repeat(rank[inverse.reshape(-1)], np.diff(heads, append=episode.size))


def _order(codes: np.ndarray | None, time: np.ndarray | None) -> np.ndarray | None:
    if codes is None or time is None:
        return None
    same = codes[1:] == codes[:-1]
    if ((codes[1:] >= codes[:-1]) & (~same | (time[1:] >= time[:-1]))).all():
        return None
    return np.lexsort((time, codes))


def _numbers(name: str, what: str, values: np.ndarray) -> np.ndarray:
    values = np.asarray(values)
    if values.dtype.kind in "mM" and not np.isnat(values).any():
        return (values - values[0]) / np.timedelta64(1, "s")
    if values.dtype.kind not in "fiub" or not np.isfinite(values).all():
        raise UserError(f"{name}: the {what} column must hold finite numbers in every row.")
    return values.astype(np.float64)


def as_flags(name: str, what: str, values: np.ndarray) -> np.ndarray:
    """The values as bool.

    Raises:
        UserError: some are neither true or false nor 1 or 0; it names the log and ``what`` they are.
    """
    values = np.asarray(values)
    if values.dtype.kind not in "fiub" or not np.isin(values, (0, 1)).all():
        raise UserError(f"{name}: {what} must be true or false, or 1 or 0, in every row. Correct the others.")
    return values.astype(bool)


def action_bounds(actions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(A,) bounds of (N, A) logged actions: their extremes, unless these are glitches.

    An extreme that lies further from the central 99.8 % (of short logs: from all but the smallest and the largest
    value) than half of their range is taken for a glitch, and the end of that range takes its place. Where these values
    are all the same, nothing tells a glitch from an action that is rarely used, and the extremes stay.
    """
    rows = len(actions)
    low, high = actions.min(0).astype(np.float64), actions.max(0).astype(np.float64)
    tail = int(max(TAIL * rows, rows >= _FEWEST))
    parted = np.partition(actions, (tail, rows - 1 - tail), axis=0)
    inner_low, inner_high = parted[tail].astype(np.float64), parted[rows - 1 - tail].astype(np.float64)
    room = np.where(inner_high > inner_low, _FAR * (inner_high - inner_low), np.inf)
    return np.where(low < inner_low - room, inner_low, low), np.where(high > inner_high + room, inner_high, high)


def count_beyond(actions: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """(A,) how many of (N, A) actions lie beyond the bounds."""
    return ((actions < low) | (actions > high)).sum(0)
