"""The one contract for logged data, whatever its source, and the checker that every reader calls.

An episode has T observations, actions and rewards, and says whether it *terminated* (the MDP ended) or was
*truncated* (a time-out, or the recording stopped). No JAX here: readers run before any device is touched.
"""

from __future__ import annotations

import dataclasses
import hashlib

import numpy as np


@dataclasses.dataclass(frozen=True)
class Episodes:
    """E episodes, one behind the other, N steps in all.

    Attributes:
        name: where they come from, for error messages.
        observations: (N, S) float32.
        actions: (N, A) float32 in [-1, 1].
        rewards: (N,) float32.
        lengths: (E,) int64, steps of each episode.
        terminated: (E,) bool; False where the episode was truncated.
    """

    name: str
    observations: np.ndarray
    actions: np.ndarray
    rewards: np.ndarray
    lengths: np.ndarray
    terminated: np.ndarray

    @property
    def starts(self) -> np.ndarray:
        """(E,) index of each episode's first step."""
        return np.cumsum(self.lengths) - self.lengths

    @property
    def returns(self) -> np.ndarray:
        """(E,) float64 undiscounted return of each episode."""
        return np.add.reduceat(self.rewards.astype(np.float64), self.starts)

    def returns_to_go(self) -> np.ndarray:
        """(N,) float64 sum of the rewards from each step to the end of its episode."""
        total = np.concatenate([[0.0], np.cumsum(self.rewards, dtype=np.float64)])
        ends = np.repeat(self.starts + self.lengths, self.lengths)
        return total[ends] - total[:-1]

    def digest(self) -> str:
        """A digest of the content: other arrays are another digest."""
        state = hashlib.blake2b(digest_size=16)
        for field in dataclasses.fields(self)[1:]:
            values = getattr(self, field.name)
            state.update(f"{field.name} {values.dtype.str} {values.shape}".encode())
            state.update(np.ascontiguousarray(values).tobytes())
        return state.hexdigest()


def check_episodes(episodes: Episodes) -> Episodes:
    """Returns ``episodes``, in the contract's types, if they keep the contract.

    Raises:
        ValueError: naming the data set, the episode, the field and the remedy.
    """
    episodes = _in_types(episodes)
    name, steps = episodes.name, int(episodes.lengths.sum())
    if episodes.lengths.size == 0:
        raise ValueError(f"{name}: the data set has no episodes. Check its id, or collect it again.")
    if (episodes.lengths <= 0).any():
        empty = int(np.flatnonzero(episodes.lengths <= 0)[0])
        raise ValueError(f"{name}: episode {empty} has no steps. Remove it from the data set.")
    if episodes.terminated.shape != episodes.lengths.shape:
        raise ValueError(f"{name}: terminated has shape {episodes.terminated.shape}, not one flag per episode.")
    for field, dimensions in (("observations", 2), ("actions", 2), ("rewards", 1)):
        values = getattr(episodes, field)
        if values.ndim != dimensions or values.shape[0] != steps:
            raise ValueError(
                f"{name}: {field} have shape {values.shape}; expected {steps} steps of {dimensions}-d data."
            )
        if not np.isfinite(values).all():
            bad = np.argwhere(~np.isfinite(values))[0]
            episode = _episode_of(episodes, bad[0])
            raise ValueError(
                f"{name}: episode {episode}, {field}, step {int(bad[0] - episodes.starts[episode])}: found "
                f"{values[tuple(bad)]}. Every value must be finite; repair or drop that episode."
            )
    largest = np.abs(episodes.actions).max(1, initial=0.0)
    if largest.max() > 1.0 + 1e-6:
        worst = int(largest.argmax())
        raise ValueError(
            f"{name}: actions reach {largest[worst]:g} (episode {_episode_of(episodes, worst)}); the policy acts in "
            "[-1, 1]. Scale them when reading."
        )
    return episodes


def _episode_of(episodes: Episodes, step: int) -> int:
    return int(np.searchsorted(np.cumsum(episodes.lengths), step, side="right"))


_TYPES = {
    "observations": np.float32,
    "actions": np.float32,
    "rewards": np.float32,
    "lengths": np.int64,
    "terminated": np.bool_,
}


def _in_types(episodes: Episodes) -> Episodes:
    """Converts every field whose values allow it; a float32 overflow becomes inf and is found as such."""
    converted = {}
    for field, kind in _TYPES.items():
        values = np.asarray(getattr(episodes, field))
        fits = values.dtype.kind in "fiub"
        with np.errstate(over="ignore", invalid="ignore"):
            converted[field] = values.astype(kind, copy=False) if fits else values
        whole = kind is np.float32 or np.array_equal(converted[field], values)
        if not (fits and whole):
            raise ValueError(
                f"{episodes.name}: {field} have type {values.dtype}, with values that do not fit {kind.__name__}. "
                "Convert them when reading."
            )
    return dataclasses.replace(episodes, **converted)
