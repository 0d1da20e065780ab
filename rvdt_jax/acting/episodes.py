"""Episodes in progress: one step function for rollouts and for a user's own loop."""

from __future__ import annotations

from collections.abc import Sequence

import jax
import numpy as np

from rvdt_jax.acting.selection import Actor, choose_actions
from rvdt_jax.acting.window import empty_windows
from rvdt_jax.types import Array, Normalizer, Params

EVALUATION_STREAM, EPISODE_STREAM = 0x5C0E, 0xE615  # of random numbers; see ``action_keys``


class Acting:
    """The episodes in progress, F of each of R seeds: their windows, and the returns that remain of their targets.

    The conditioning is consistent, f(s) = f(s') + r: the target is lowered by each reward received.

    Args:
        actor: the static part.
        params: see ``choose_actions``.
        normalizer: the training data's observation statistics.
        return_scale: returns-to-go are divided by it, as in training.
        return_range: the smallest and the largest return-to-go of the data, raw.
        keys: (R,) PRNG keys of these episodes.
        targets: (R, C, F) raw returns that are asked for at the first step; C > 1 for selection ``critic`` alone.
    """

    def __init__(
        self,
        actor: Actor,
        params: Params,
        normalizer: Normalizer,
        *,
        return_scale: float,
        return_range: tuple[float, float],
        keys: Array,
        targets: np.ndarray,
    ):
        self._actor, self._params, self._keys = actor, params, keys
        self._mean, self._std = np.asarray(normalizer.mean), np.asarray(normalizer.std)
        self._scale, (self._low, self._high) = return_scale, return_range
        self._remaining = np.array(targets, np.float64)
        seeds, conditionings, episodes = self._remaining.shape
        policy, conditionings = actor.policy, conditionings + actor.asks_all
        sizes = actor.context_length, policy.observation_size, policy.action_size
        self._windows = empty_windows(seeds, conditionings, episodes, *sizes)
        self._step = 0

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
        normalized = (observations - self._mean) / self._std
        last = self._windows.write(self._step, normalized, self._asked() / self._scale)
        chosen = choose_actions(self._params, self._windows, last, self._keys, self._step, actor=self._actor)
        actions = np.asarray(chosen)
        self._windows.actions[:, :, last] = actions
        self._step += 1
        return actions

    @property
    def is_outside(self) -> np.ndarray:
        """(R, F) bool: whether the first target's return-to-go lies outside what the data hold."""
        asked = self._remaining[:, 0]
        return (asked < self._low) | (asked > self._high)

    def _asked(self) -> np.ndarray:
        """(R, C, F) raw returns-to-go; for ``critic`` one more, which never falls below the largest in the data."""
        if not self._actor.asks_all:
            return self._remaining
        return np.concatenate([self._remaining, np.maximum(self._remaining.max(1, keepdims=True), self._high)], axis=1)


def action_keys(seeds: Sequence[int], stream: int, number: int) -> Array:
    """(R,) keys for the actions of one evaluation or episode, one per seed.

    Training splits a seed's key, which uses the folds 0 and 1; a ``stream`` is neither.

    Args:
        seeds: R training seeds.
        stream: ``EVALUATION_STREAM`` or ``EPISODE_STREAM``.
        number: of the evaluation or episode.
    """
    roots = jax.vmap(jax.random.key)(np.asarray(seeds, np.uint32))
    return jax.vmap(lambda key: jax.random.fold_in(jax.random.fold_in(key, stream), number))(roots)
