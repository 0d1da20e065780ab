"""Flattens observations and scales actions, the same way for readers of data, evaluation and saved policies.

NumPy only.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping

import numpy as np

from rvdt_jax.errors import UserError, one_line

_FAR = 1e-3  # std over mean below which float32 loses too many digits


def flatten_observations(observations, keys: tuple[str, ...], offset: tuple[float, ...] = ()) -> np.ndarray:
    """Observations of T steps as (T, S) vectors, float32.

    Args:
        observations: (T, ...) array; or a dict of such arrays, as Minari and batched environments give for dict spaces.
        keys: the entries of the dict that are concatenated, in order, each flattened row by row; ``a.b`` names entry b
            of a nested dict. () for an array.
        offset: (S,) what is taken off before rounding to float32, see ``far_offset``; () for nothing.

    Raises:
        UserError: an unknown key, a dict without keys, or keys for an array.
    """
    rows = np.concatenate([_rows(values) for values in _entries(observations, keys).values()], axis=1)
    with np.errstate(over="ignore"):  # what is too large for float32 becomes inf, and the checker finds it
        return (rows - np.asarray(offset) if len(offset) == rows.shape[1] else rows).astype(np.float32, copy=False)


def far_offset(observations: np.ndarray) -> np.ndarray:
    """(S,) float64, what to take off (N, S) observations before they are rounded to float32.

    The mean of a column whose mean is over a thousand times its std and whose values float32 would round: a clock, a
    pressure in Pa. 0 for all others, of which float32 keeps enough.
    """
    offset = np.zeros(observations.shape[1])
    if np.can_cast(observations.dtype, np.float32):
        return offset
    with np.errstate(over="ignore", invalid="ignore"):
        for place, column in enumerate(observations.T):
            mean, std = column.mean(dtype=np.float64), column.std(dtype=np.float64)
            is_far = std < _FAR * abs(mean) and np.isfinite(np.float32(mean))
            if is_far and (column.astype(np.float32) != column).any():
                offset[place] = mean
    return offset


def observation_shapes(space, keys: tuple[str, ...]) -> dict[str | None, tuple[int, ...]]:
    """The shape of every entry that ``flatten_observations`` reads from the observations of a Gymnasium space.

    The key is None if observations are arrays.

    Raises:
        UserError: as ``flatten_observations``, or an entry is not a Box space.
    """
    from gymnasium.spaces import Box, Dict

    def tree(space):
        return {name: tree(part) for name, part in space.spaces.items()} if isinstance(space, Dict) else space

    entries = _entries(tree(space), keys)
    for key, part in entries.items():
        if not isinstance(part, Box):
            what = "observations" if key is None else f"observations.{key}"
            name = "" if key is None else "name other entries with config.data.observation_keys, or "
            raise UserError(
                f"{what} are {one_line(part)}; only Box spaces, or dicts of them, can be read: {name}"
                "choose another data set or environment, or one that gives them as arrays of numbers."
            )
    return {key: part.shape for key, part in entries.items()}


def one_step(observation):
    """Adds an axis of one step to an observation, an array or a nested dict of arrays: every array is (1, ...)."""
    if isinstance(observation, Mapping):
        return {name: one_step(part) for name, part in observation.items()}
    return np.asarray(observation)[None]


def leaf_keys(tree: Mapping, prefix: str = "") -> list[str]:
    """The dotted names of all leaves of a nested dict."""
    found = []
    for name, value in tree.items():
        found += leaf_keys(value, f"{prefix}{name}.") if isinstance(value, Mapping) else [f"{prefix}{name}"]
    return found


def scale_actions(actions: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Maps (..., A) actions from [low, high] to [-1, 1], float32; to 0 where the two bounds are equal."""
    span = np.where(high > low, high - low, 1.0)
    return np.where(high > low, 2.0 * (actions - low) / span - 1.0, 0.0).astype(np.float32)


def unscale_actions(actions: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """The inverse of ``scale_actions``, clipped to the bounds, float32."""
    return np.clip(low + 0.5 * (actions + 1.0) * (high - low), low, high).astype(np.float32)


def entry_of(tree: Mapping, key: str):
    """The entry of a nested dict with that dotted name; names may hold dots of their own.

    Raises:
        KeyError: there is none.
    """
    if key in tree:
        return tree[key]
    for place in (place for place, letter in enumerate(key) if letter == "."):
        part = tree.get(key[:place])
        if isinstance(part, Mapping):
            with contextlib.suppress(KeyError):
                return entry_of(part, key[place + 1 :])
    raise KeyError(key)


def _rows(values) -> np.ndarray:
    values = np.atleast_1d(np.asarray(values))
    if values.dtype.kind not in "fiub":
        raise UserError(f"observations have type {values.dtype}; only real numbers can be read.")
    return values.reshape(len(values), -1)


def _entries(observations, keys: tuple[str, ...]) -> dict:
    """The entries of observations by key; {None: observations} for an array."""
    known = ", ".join(leaf_keys(observations)) if isinstance(observations, Mapping) else None
    if known is None and not keys:
        return {None: observations}
    if not keys:
        raise UserError(
            f"observations are dicts with the entries {known}; name those that the policy sees, in order, with "
            "config.data.observation_keys."
        )
    found = {}
    for key in keys:
        if known is not None:
            with contextlib.suppress(KeyError):
                found[key] = entry_of(observations, key)
        if key not in found:
            hint = "none: they are arrays; leave it unset" if known is None else f"{known}. Name those that are read"
            raise UserError(f"config.data.observation_keys: observations have no entry {key!r}; there are {hint}.")
    return found
