"""Between an environment's spaces and the policy's vectors: what it sees of an observation, what its actions stand for.

One flattening and one scaling, used by the readers of data, by evaluation and by saved policies alike, so that what
was trained on is what is acted with. NumPy only.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping

import numpy as np

from rvdt_jax.errors import UserError


def flatten_observations(observations, keys: tuple[str, ...]) -> np.ndarray:
    """Observations of T steps as (T, S) vectors, float32.

    Args:
        observations: (T, ...) array; or a dict of such arrays, as Minari and batched environments give for dict spaces.
        keys: the entries of the dict that are seen, in the order in which they are laid behind each other, each
            flattened row by row; ``a.b`` names entry b of a nested dict. () for an array.

    Raises:
        UserError: a key that is not there, a dict without keys, or keys for an array.
    """
    if not keys:
        if isinstance(observations, Mapping):
            raise UserError(
                f"observations are dicts with the entries {', '.join(leaf_keys(observations))}; name those that the "
                "policy sees, in order, with config.data.observation_keys."
            )
        return _rows(observations)
    return np.concatenate([_rows(_entry(observations, key)) for key in keys], axis=1)


def one_step(observation):
    """One observation, an array or a nested dict of arrays, as that of one step: every array (1, ...)."""
    if isinstance(observation, Mapping):
        return {name: one_step(part) for name, part in observation.items()}
    return np.asarray(observation)[None]


def leaf_keys(tree: Mapping, prefix: str = "") -> list[str]:
    """The dotted names of everything in a nested dict."""
    found = []
    for name, value in tree.items():
        found += leaf_keys(value, f"{prefix}{name}.") if isinstance(value, Mapping) else [f"{prefix}{name}"]
    return found


def scale_actions(actions: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """(..., A) actions between ``low`` and ``high`` as numbers in [-1, 1]; 0 where the two are equal."""
    span = np.where(high > low, high - low, 1.0)
    return np.where(high > low, 2.0 * (actions - low) / span - 1.0, 0.0).astype(np.float32)


def unscale_actions(actions: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """The inverse of ``scale_actions``, float32, never beyond the bounds."""
    return np.clip(low + 0.5 * (actions + 1.0) * (high - low), low, high).astype(np.float32)


def entry_of(tree: Mapping, key: str):
    """The entry of a nested dict with that dotted name; names may hold dots of their own.

    Raises:
        KeyError: there is none.
    """
    if key in tree:
        return tree[key]
    dots = [place for place, letter in enumerate(key) if letter == "."]
    for place in dots:
        part = tree.get(key[:place])
        if isinstance(part, Mapping):
            with contextlib.suppress(KeyError):
                return entry_of(part, key[place + 1 :])
    raise KeyError(key)


def _rows(values) -> np.ndarray:
    values = np.asarray(values)
    if values.dtype.kind not in "fiub":
        raise UserError(f"observations have type {values.dtype}; only real numbers can be read.")
    with np.errstate(over="ignore"):  # what is too large for float32 becomes inf, and the checker finds it
        return values.reshape(len(values), -1).astype(np.float32)


def _entry(observations, key: str):
    if isinstance(observations, Mapping):
        with contextlib.suppress(KeyError):
            return entry_of(observations, key)
    known = ", ".join(leaf_keys(observations)) if isinstance(observations, Mapping) else "none: they are arrays"
    raise UserError(f"config.data.observation_keys: observations have no entry {key!r}; there are {known}.")
