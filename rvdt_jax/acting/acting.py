"""Acting with trained parameters: what a rollout and a user's own loop share.

``Acting`` remembers the episodes in progress and what is asked of them; ``choose_actions`` is the one compiled choice.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence

import chex
import jax
import jax.numpy as jnp
import numpy as np

from rvdt_jax.models.critic import TwinCritic
from rvdt_jax.models.policy import TransformerPolicy, sample_actions
from rvdt_jax.types import Array, Normalizer, Params

EVALUATION_STREAM, EPISODE_STREAM = 0x5C0E, 0xE615  # of random numbers; see ``action_keys``
CRITIC_SELECTIONS = ("critic", "best_of")
_RETURN_NOISE = 0.1  # QT's, on the last return-to-go of a candidate, in scaled units


@dataclasses.dataclass(frozen=True)
class Actor:
    """The static part of acting: hashable, so that every evaluation of a run shares one compiled function.

    Attributes:
        policy, critic: the modules; the critic is used by the selections ``critic`` and ``best_of``.
        context_length: K.
        selection: how an action is chosen.
            ``mean``: the policy's mean at the first target.
            ``sample``: a sample of its Gaussian.
            ``critic``: as QT. Candidates are the means under several returns-to-go: every target, with N(0, .1) on the
            last return-to-go of all but one candidate a target, and one return-to-go that never falls below the
            largest in the data. One is drawn by softmax over the smaller of the target critics' values.
            ``best_of``: candidates are the mean and Gaussian draws around it; the one of the largest such value is
            taken.
        candidates: how many there are to choose from.
        std: of the draws of ``best_of``, in action units.
    """

    policy: TransformerPolicy
    critic: TwinCritic
    context_length: int
    selection: str
    candidates: int = 1
    std: float = 0.1

    @property
    def asks_all(self) -> bool:
        """Whether all targets together are one set of candidates."""
        return self.selection == "critic"


@chex.dataclass
class Windows:
    """What the policy remembers of F parallel episodes per seed: the last K steps, valid ones first (host arrays)."""

    observations: np.ndarray  # (R, F, K, S), normalised
    actions: np.ndarray  # (R, F, K, A)
    returns_to_go: np.ndarray  # (R, C, F, K), scaled; one row for each of C conditionings
    timesteps: np.ndarray  # (K,) int32

    def write(self, step: int, observations: np.ndarray, returns_to_go: np.ndarray) -> int:
        """Enters the current observation and conditioning; returns its index in the window."""
        length = self.timesteps.shape[0]
        if step >= length:
            self.observations = np.roll(self.observations, -1, axis=2)
            self.actions = np.roll(self.actions, -1, axis=2)
            self.returns_to_go = np.roll(self.returns_to_go, -1, axis=3)
            self.timesteps = self.timesteps + 1
        last = min(step, length - 1)
        self.observations[:, :, last] = observations
        self.returns_to_go[..., last] = returns_to_go
        return last


@functools.partial(jax.jit, static_argnames=("actor",))
def choose_actions(params: Params, windows: Windows, last: Array, keys: Array, step: Array, *, actor: Actor) -> Array:
    """The actions of all episodes at one time step; parameters are arguments, so new ones compile nothing.

    Args:
        params: ``{"policy": ..., "critic": ...}``, every leaf with a leading axis R of seeds; the critic is the target
            critic, and may be None where the selection needs none.
        windows: the recent past; see ``Windows``.
        last: () int32, the index of the current step in the windows.
        keys: (R,) PRNG keys of this evaluation.
        step: () int32 time step, folded into the keys.
        actor: static.

    Returns:
        (R, F, A) in [-1, 1].
    """
    (seeds, _, episodes, length), policy = windows.returns_to_go.shape, actor.policy
    chex.assert_shape(windows.observations, (seeds, episodes, length, policy.observation_size))
    chex.assert_shape(windows.actions, (seeds, episodes, length, policy.action_size))
    chex.assert_shape(keys, (seeds,))

    def one_seed(params: Params, observations: Array, actions: Array, returns_to_go: Array, key: Array) -> Array:
        def one_conditioning(returns_to_go: Array):
            times = jnp.broadcast_to(windows.timesteps, returns_to_go.shape)
            inputs = (observations, actions, returns_to_go, times)
            return policy.apply({"params": params["policy"]}, *inputs, step=jnp.full(len(times), last))

        draw_key, choice_key = jax.random.split(key)
        if actor.selection == "critic":
            returns_to_go = spread_returns(returns_to_go, last, actor.candidates, draw_key)
        output = jax.vmap(one_conditioning)(returns_to_go)
        mean, log_std = output.mean[:, :, 0], output.log_std[:, :, 0]  # (C, F, A)
        if actor.selection == "mean":
            return mean[0]
        if actor.selection == "sample":
            return sample_actions(mean[0], log_std[0], key)
        if actor.selection == "best_of":
            mean = spread_actions(mean[0], actor.candidates, actor.std, draw_key)
        states = jnp.broadcast_to(observations[None, :, last], (*mean.shape[:2], observations.shape[-1]))
        values = actor.critic.apply({"params": params["critic"]}, states, mean).min(0)
        if actor.selection == "best_of":
            chosen = values.argmax(0)
        else:
            chosen = jax.random.categorical(choice_key, values, axis=0)
        return jnp.take_along_axis(mean, chosen[None, :, None], axis=0)[0]

    keys = jax.vmap(jax.random.fold_in, in_axes=(0, None))(keys, step)
    return jax.vmap(one_seed)(params, windows.observations, windows.actions, windows.returns_to_go, keys)


def spread_returns(returns_to_go: Array, last: Array, candidates: int, key: Array) -> Array:
    """Candidates around (C, F, K) conditionings, as QT spreads them: at least ``candidates``, a multiple of C.

    Each conditioning occurs equally often, once as it is and else with N(0, .1) on its last return-to-go.
    """
    conditionings = returns_to_go.shape[0]
    copies = -(-candidates // conditionings)
    noise = _RETURN_NOISE * jax.random.normal(key, (copies, *returns_to_go.shape[:2])).at[0].set(0.0)
    spread = jnp.broadcast_to(returns_to_go, (copies, *returns_to_go.shape))
    is_last = jnp.arange(returns_to_go.shape[-1]) == last
    return (spread + noise[..., None] * is_last).reshape(-1, *returns_to_go.shape[1:])


def spread_actions(mean: Array, candidates: int, std: float, key: Array) -> Array:
    """(C, F, A) candidates: the (F, A) mean, and C - 1 Gaussian draws around it, clipped to the action bounds."""
    noise = std * jax.random.normal(key, (candidates, *mean.shape)).at[0].set(0.0)
    return jnp.clip(mean + noise, -1.0, 1.0)


def make_actor(config, policy: TransformerPolicy, critic: TwinCritic) -> Actor:
    """What acts as ``config`` says."""
    return Actor(
        policy=policy,
        critic=critic,
        context_length=config.model.context_length,
        selection=config.eval.action_selection,
        candidates=config.eval.candidates,
        std=config.policy.std,
    )


class Acting:
    """F episodes a seed in progress, of R seeds: their windows, and what is still asked of them.

    The conditioning is consistent, f(s) = f(s') + r: what is asked is lowered by each reward received.

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
        self._windows = empty_windows(seeds, conditionings + actor.asks_all, episodes, actor)
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


def empty_windows(seeds: int, conditionings: int, episodes: int, actor: Actor) -> Windows:
    """Windows before the first step."""
    length, policy = actor.context_length, actor.policy
    return Windows(
        observations=np.zeros((seeds, episodes, length, policy.observation_size), np.float32),
        actions=np.zeros((seeds, episodes, length, policy.action_size), np.float32),
        returns_to_go=np.zeros((seeds, conditionings, episodes, length), np.float32),
        timesteps=np.arange(length, dtype=np.int32),
    )
