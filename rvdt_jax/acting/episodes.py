"""Episodes in progress: one step function for rollouts and for a user's own loop."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import jax
import numpy as np

from rvdt_jax.acting.window import empty_windows

EVALUATION_STREAM, EPISODE_STREAM = 0x5C0E, 0xE615  # of random numbers; see ``action_keys``


@dataclasses.dataclass(frozen=True)
class Player:
    """A policy as ``Acting`` uses it: its compiled step with parameters, and the units of what goes in.

    Attributes:
        choose: ``choose_actions`` of ``acting.selection`` without its parameters and actor, or the exported one:
            (windows, last, keys, step) to (R, F, A) actions in [-1, 1].
        context_length, observation_size, action_size: K, S and A.
        asks_all: whether all targets together are one set of candidates.
        mean, std: (S,), the training data's observation statistics.
        return_scale: returns-to-go are divided by it, as in training.
        return_range: the smallest and the largest return-to-go of the data, raw.
    """

    choose: Callable[..., jax.Array]
    context_length: int
    observation_size: int
    action_size: int
    asks_all: bool
    mean: np.ndarray
    std: np.ndarray
    return_scale: float
    return_range: tuple[float, float]


class Acting:
    """The episodes in progress, F of each of R seeds: their windows, and the returns that remain of their targets.

    The conditioning is consistent, f(s) = f(s') + r: the target is lowered by each reward received.

    Args:
        player: what acts.
        keys: (R,) PRNG keys of these episodes.
        targets: (R, C, F) raw returns that are asked for at the first step; C > 1 for selection ``critic`` alone.
    """

    def __init__(self, player: Player, *, keys: jax.Array, targets: np.ndarray):
        self._player, self._keys, self._step = player, keys, 0
        self._remaining = np.array(targets, np.float64)
        seeds, conditionings, episodes = self._remaining.shape
        sizes = player.context_length, player.observation_size, player.action_size
        self._windows = empty_windows(seeds, conditionings + player.asks_all, episodes, *sizes)

    def act(self, observations: np.ndarray, rewards: np.ndarray | None) -> np.ndarray:
        """The next actions.

        Args:
            observations: (R, F, S), raw.
            rewards: (R, F), what the last actions earned; ignored at the first step.

        Returns:
            (R, F, A) in [-1, 1].
        """
        if self._step > 0:
            self._remaining -= rewards[:, None]
        player = self._player
        normalized = (observations - player.mean) / player.std
        last = self._windows.write(self._step, normalized, self._asked() / player.return_scale)
        actions = np.asarray(player.choose(self._windows, np.int32(last), self._keys, np.int32(self._step)))
        self._windows.actions[:, :, last] = actions
        self._step += 1
        return actions

    @property
    def is_outside(self) -> np.ndarray:
        """(R, F) bool: whether the first target's return-to-go lies outside what the data hold."""
        asked, (low, high) = self._remaining[:, 0], self._player.return_range
        return (asked < low) | (asked > high)

    def _asked(self) -> np.ndarray:
        """(R, C, F) raw returns-to-go; for ``critic`` one more, which never falls below the largest in the data."""
        if not self._player.asks_all:
            return self._remaining
        largest = np.maximum(self._remaining.max(1, keepdims=True), self._player.return_range[1])
        return np.concatenate([self._remaining, largest], axis=1)


def action_keys(seeds: Sequence[int], stream: int, number: int) -> jax.Array:
    """(R,) keys for the actions of one evaluation or episode, one per seed.

    Training splits a seed's key, which uses the folds 0 and 1; a ``stream`` is neither.

    Args:
        seeds: R training seeds.
        stream: ``EVALUATION_STREAM`` or ``EPISODE_STREAM``.
        number: of the evaluation or episode.
    """
    roots = jax.vmap(jax.random.key)(np.asarray(seeds, np.uint32))
    return jax.vmap(lambda key: jax.random.fold_in(jax.random.fold_in(key, stream), number))(roots)
