"""Logs whose arrays have not one row a step, brought to that form."""

from __future__ import annotations

import numpy as np

EPISODE = "(group)"  # the column of episode numbers that is added
FILE = "(file)"  # that of the number of the file, where there are several
_ENDS = ("indices", "episode_ends")  # where episodes end, counted in steps; the last may be left out
_LENGTHS = ("episode_lengths", "lengths")
# The names in use: LeRobot's, D4RL's, Minari's, robomimic's, and plain words.
KNOWN = {
    "observations": ("observation.state", "observations", "observation", "obs", "states", "state"),
    "actions": ("actions", "action", "act", "acts"),
    "reward": ("next.reward", "rewards", "reward", "rews"),
    "episode": ("episode_index", "episode_id", "episode", "trajectory_id", "traj_id", EPISODE),
    "terminal": ("terminals", "terminal", "terminated", "terminations"),
    "timeout": ("timeouts", "timeout", "truncated", "truncations", "next.done", "dones", "done"),
    "time": ("frame_index", "timestep", "step", "timestamp", "time"),
}


def is_by_step(arrays) -> bool:
    """Whether ``by_step`` leaves arrays of these names and shapes as they are; it may also be given HDF5's."""
    return _stacked(arrays) is None and not any(name in arrays for name in _ENDS)


def by_step(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The arrays with one row a step, and a column of episode numbers, where they lie in one of these two layouts.

    Stacked: arrays (E, T, ...), of which the longest, of observations, may be (E, T + 1, ...); with ``episode_lengths``
    the steps behind an episode's end are left out.

    Flat with ends: arrays of N steps, and the steps (E,) or (E - 1,) at which episodes end as ``indices`` or
    ``episode_ends``. An array of N + E rows has one more observation an episode than actions; the last one is left out.

    A (E,) array of bool, or of 0 and 1 under a name of flags, says of each episode whether its last step is flagged;
    other arrays stay as they are.
    """
    if (size := _stacked(arrays)) is not None:
        return _from_stack(arrays, *size)
    for name in _ENDS:
        ends = arrays.get(name)
        if ends is not None and ends.ndim == 1 and ends.dtype.kind in "iu" and (np.diff(ends, prepend=0) > 0).all():
            return _from_ends(arrays, name, ends)
    return arrays


def _stacked(arrays: dict[str, np.ndarray]) -> tuple[int, int] | None:
    """(E, T) of stacked arrays, None for other layouts.

    Rewards of shape (E, T) or (E, T, 1) tell them, beside an array with a third axis, where T is above 1 and no array
    has episode ids; under other names any (E, T) beside two arrays with a third axis. (N, 1) are N steps, also beside
    images (N, 1, H, W).
    """
    has_ids = any(name in KNOWN["episode"] for name in arrays)
    for name, values in arrays.items():
        tells = name in KNOWN["reward"] and not has_ids
        if values.ndim > 1 and values.shape[1] > 1 and values.shape[2:] in ((), (1,))[: 1 + tells]:
            episodes, steps = values.shape[:2]
            deep = [v for v in arrays.values() if v.ndim > 2 and v is not values and v.shape[0] == episodes]
            if len(deep) > 1 - tells and all(v.shape[1] in (steps, steps + 1) for v in deep):
                return episodes, steps
    return None


def _from_stack(arrays: dict[str, np.ndarray], episodes: int, steps: int) -> dict[str, np.ndarray]:
    lengths = next((arrays[name] for name in _LENGTHS if name in arrays), np.full(episodes, steps))
    kept = (np.arange(steps) < lengths[:, None]).reshape(-1)
    found = {EPISODE: np.repeat(np.arange(episodes), steps)[kept]}
    for name, values in arrays.items():
        if values.ndim > 1 and values.shape[0] == episodes and values.shape[1] in (steps, steps + 1):
            found[name] = values[:, :steps].reshape(episodes * steps, *values.shape[2:])[kept]
        elif name not in _LENGTHS:
            found[name] = _flags(name, values, np.minimum(lengths, steps))
    return found


def _from_ends(arrays: dict[str, np.ndarray], name: str, ends: np.ndarray) -> dict[str, np.ndarray]:
    others = {key: values for key, values in arrays.items() if key != name}
    counts = {len(values) for values in others.values()}
    for steps in sorted(counts):  # N, at which the last episode ends
        every = ends if ends[-1] == steps else np.append(ends, steps)
        if (np.diff(every) > 0).all() and len(every) != steps:
            lengths = np.diff(every, prepend=0)
            found = {EPISODE: np.repeat(np.arange(len(lengths)), lengths)}
            rows = np.arange(steps) + found[EPISODE]  # in an array with one more row an episode
            for key, values in others.items():
                found[key] = values[rows] if len(values) == steps + len(lengths) else _flags(key, values, lengths)
            return found
    return arrays


def _flags(name: str, values: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Flags of episodes as flags of their last steps; anything else as it is."""
    named = name in KNOWN["terminal"] + KNOWN["timeout"]
    is_flag = values.dtype.kind == "b" or (named and values.dtype.kind in "iuf" and np.isin(values, (0, 1)).all())
    if values.shape != lengths.shape or not is_flag:
        return values
    flags = np.zeros(int(lengths.sum()), bool)
    flags[np.cumsum(lengths) - 1] = values
    return flags
