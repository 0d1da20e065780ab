"""Logged data of any source as one record; ``data.contract`` checks it. NumPy only.

An episode has T observations, actions and rewards, and a flag: it *terminated* (the MDP ended) or was *truncated* (a
time-out, or the recording stopped).
"""

from __future__ import annotations

import dataclasses
import hashlib
import logging
import os
from collections.abc import Mapping, Sequence

import numpy as np

from rvdt_jax.data.table import as_rows
from rvdt_jax.errors import UserError

log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Episodes:
    """E episodes of N steps in all, in flat arrays, one episode after the other.

    Attributes:
        name: their source, for error messages.
        observations: (N, S) float32.
        actions: (N, A) float32 in [-1, 1].
        rewards: (N,) float32.
        lengths: (E,) int64, steps of each episode.
        terminated: (E,) bool; False where the episode was truncated.
        action_low, action_high: (A,) float32, the environment's values for which -1 and 1 in ``actions`` stand; None if
            they are -1 and 1.
        action_shape: of one action in the environment; None: (A,).
        observation_offset: (S,) float64, what was taken off the observations before they were rounded to float32; None
            for nothing. See ``spaces.far_offset``.
        raised: (N,) float32, how far the returns-to-go that a policy is trained on lie above the recorded ones; None:
            they are the recorded ones. See ``data.relabel``.
    """

    name: str
    observations: np.ndarray
    actions: np.ndarray
    rewards: np.ndarray
    lengths: np.ndarray
    terminated: np.ndarray
    action_low: np.ndarray | None = None
    action_high: np.ndarray | None = None
    action_shape: tuple[int, ...] | None = None
    observation_offset: np.ndarray | None = None
    raised: np.ndarray | None = None

    @classmethod
    def from_columns(
        cls,
        columns: Mapping | str | os.PathLike,
        *,
        observations: str | Sequence[str] | None = None,
        actions: str | Sequence[str] | None = None,
        reward: str | None = None,
        episode: str | None = None,
        terminal: str | None = None,
        timeout: str | None = None,
        time: str | None = None,
        gap: float | None = None,
        action_low: float | Sequence[float] | None = None,
        action_high: float | Sequence[float] | None = None,
        name: str = "columns",
    ) -> Episodes:
        """A log as columns, one row per step: a pandas data frame, a dict of arrays, or a file.

        Roles that are not named are guessed by the names in use (``data.layouts.KNOWN``); "" says that there is none.
        T rows make an episode of T steps.

        Args:
            columns: name -> (N,) array, or (N, width) for columns of vectors; or the path of a CSV, Parquet,
                NPZ or HDF5 file.
            observations, actions: names, or globs such as ``temp_*``.
            reward: the column of rewards.
            episode, terminal, timeout, time, gap: what says where an episode ends; see ``data.columns.cut_episodes``.
            action_low, action_high: one bound for all actions or one for each; unset: from the data.
            name: for messages.

        Raises:
            UserError: a column is missing or holds no finite numbers, or nothing says where episodes end.
        """
        from rvdt_jax.data.importing import import_columns

        named = {"observations": observations, "actions": actions, "reward": reward, "episode": episode}
        named |= {"terminal": terminal, "timeout": timeout, "time": time}
        imported = import_columns(columns, name, named, gap=gap, low=action_low, high=action_high)
        for doubt in imported.doubts:
            log.warning("%s: %s.", name, doubt)
        if imported.beyond.any():
            log.warning("%s: %d action values beyond the bounds were moved to them.", name, imported.beyond.sum())
        return cls(name=name, **imported.arrays)

    @classmethod
    def from_arrays(
        cls,
        observations: np.ndarray,
        actions: np.ndarray,
        rewards: np.ndarray,
        *,
        episode: np.ndarray | None = None,
        terminals: np.ndarray | None = None,
        timeouts: np.ndarray | None = None,
        time: np.ndarray | None = None,
        gap: float | None = None,
        action_low: float | Sequence[float] | None = None,
        action_high: float | Sequence[float] | None = None,
        name: str = "arrays",
    ) -> Episodes:
        """A log as arrays of N rows, one per step; what the arrays are is said by the arguments, as ``from_columns``.

        Args:
            observations: (N, ...).
            actions: (N, ...), or (N,) for one action; ``act`` of a trained policy answers in that shape.
            rewards: (N,).
            episode, terminals, timeouts, time: (N,) each, at least one of the first three, or ``time`` with ``gap``.
            gap, action_low, action_high, name: as for ``from_columns``.

        Raises:
            UserError: as ``from_columns``.
        """
        given = {"observations": observations, "actions": actions, "rewards": rewards, "episode": episode}
        given |= {"terminal": terminals, "timeout": timeouts, "time": time}
        columns = {role: as_rows(role, values) for role, values in given.items() if values is not None}
        lengths = {role: len(values) for role, values in columns.items()}
        if len(set(lengths.values())) > 1:
            raise UserError(f"{name}: the arrays have different numbers of rows: {lengths}.")
        roles = {role: role if role in columns else "" for role in ("episode", "terminal", "timeout", "time")}
        roles |= {"observations": "observations", "actions": "actions", "reward": "rewards"}
        bounds = {"action_low": action_low, "action_high": action_high}
        episodes = cls.from_columns(columns, **roles, gap=gap, **bounds, name=name)
        shape = columns["actions"].shape[1:]
        return episodes if len(shape) == 1 else dataclasses.replace(episodes, action_shape=shape)

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

    @property
    def return_range(self) -> tuple[float, float]:
        """The smallest and the largest return-to-go of any step: the targets that a policy is trained on."""
        returns = self.returns_to_go() + (0.0 if self.raised is None else self.raised)
        return float(returns.min()), float(returns.max())

    def reachable_return(self, horizon: int) -> float | None:
        """The return of ``horizon`` rewarded steps if rewards are sparse; else None.

        Sparse: every reward is 0 or one positive value, most are 0, and some episode goes on after a reward.
        """
        paid = self.rewards[self.rewards != 0]
        if not paid.size or paid[0] <= 0 or (paid != paid[0]).any() or 2 * paid.size >= self.rewards.size:
            return None
        goes_on = np.ones(self.rewards.size, bool)
        goes_on[self.starts + self.lengths - 1] = False
        return float(horizon * paid[0]) if ((self.rewards != 0) & goes_on).any() else None

    def observation_statistics(self) -> tuple[np.ndarray, np.ndarray]:
        """(S,) float64 mean and std of the observations; the std of a dimension that has one value is 1."""
        mean = self.observations.mean(0, dtype=np.float64)
        std = self.observations.std(0, dtype=np.float64)
        return mean, np.where(self.observations.min(0) == self.observations.max(0), 1.0, std)

    def normalized_starts(self) -> np.ndarray:
        """(E, S) float64 first observation of each episode, normalised by the statistics of all observations."""
        mean, std = self.observation_statistics()
        return (self.observations[self.starts] - mean) / std

    def digest(self) -> str:
        """A digest of all arrays, in hexadecimal."""
        state = hashlib.blake2b(digest_size=16)
        for field in dataclasses.fields(self)[1:]:
            values = getattr(self, field.name)
            if values is None or field.name == "action_shape":  # how actions are handed out changes no training
                continue
            state.update(f"{field.name} {values.dtype.str} {values.shape}".encode())
            state.update(np.ascontiguousarray(values).tobytes())
        return state.hexdigest()


def keep_episodes(episodes: Episodes, kept: np.ndarray) -> Episodes:
    """The episodes that the (E,) bool array ``kept`` marks, in their order."""
    steps = np.repeat(kept, episodes.lengths)
    return dataclasses.replace(
        _keep_steps(episodes, steps), lengths=episodes.lengths[kept], terminated=episodes.terminated[kept]
    )


def _keep_steps(episodes: Episodes, kept: np.ndarray) -> Episodes:
    """The steps that the (N,) bool array ``kept`` marks; lengths and flags are left to the caller."""
    fields = ("observations", "actions", "rewards", *(() if episodes.raised is None else ("raised",)))
    return dataclasses.replace(episodes, **{field: getattr(episodes, field)[kept] for field in fields})


def draw_episodes(count: int, fraction: float, seed: int | np.random.SeedSequence) -> np.ndarray:
    """(E,) bool: a random share of ``count`` episodes, at least one; a smaller share of one seed lies in a larger."""
    order = np.random.Generator(np.random.Philox(seed)).permutation(count)
    kept = np.zeros(count, bool)
    kept[order[: max(1, round(fraction * count))]] = True
    return kept


def end_at_first_reward(episodes: Episodes) -> Episodes:
    """Cuts every episode after its first step with a positive reward, and marks that step as terminal.

    For data of a task that ends on success, recorded in an environment that goes on and rewards every later step.
    """
    steps = np.arange(episodes.rewards.size)
    first = np.minimum.reduceat(np.where(episodes.rewards > 0, steps, episodes.rewards.size), episodes.starts)
    ends = np.minimum(first, episodes.starts + episodes.lengths - 1)
    return dataclasses.replace(
        _keep_steps(episodes, steps <= np.repeat(ends, episodes.lengths)),
        lengths=ends - episodes.starts + 1,
        terminated=episodes.terminated | (first == ends),
    )
