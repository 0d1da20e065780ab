"""Acting with trained parameters: the window of the recent past, and one compiled choice of actions for all."""

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
from rvdt_jax.types import Array, Params

EVALUATION_STREAM, EPISODE_STREAM = 0x5C0E, 0xE615  # of random numbers; see ``action_keys``


@dataclasses.dataclass(frozen=True)
class Actor:
    """The static part of acting: hashable, so that every evaluation of a run shares one compiled function.

    Attributes:
        policy, critic: the modules; ``critic`` is used by the selection ``critic`` alone.
        context_length: K.
        selection: ``mean``; ``sample`` from the Gaussian; ``critic`` as QT does: every target is a candidate
            conditioning, and an action is drawn by softmax over the candidates' min-Q. QT draws 50 candidates spread
            evenly over the targets; one mean action per target has the same distribution under the softmax.
    """

    policy: TransformerPolicy
    critic: TwinCritic
    context_length: int
    selection: str


@chex.dataclass
class Windows:
    """What the policy remembers of F parallel episodes per seed: the last K steps, valid ones first (host arrays)."""

    observations: np.ndarray  # (R, F, K, S), normalised
    actions: np.ndarray  # (R, F, K, A)
    returns_to_go: np.ndarray  # (R, C, F, K), scaled; one row for each of C candidate conditionings
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
        params: ``{"policy": ..., "critic": ...}``, every leaf with a leading axis R of seeds.
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
        def one_candidate(candidate_returns: Array):
            times = jnp.broadcast_to(windows.timesteps, candidate_returns.shape)
            inputs = (observations, actions, candidate_returns, times)
            return actor.policy.apply({"params": params["policy"]}, *inputs, step=jnp.full(len(times), last))

        output = jax.vmap(one_candidate)(returns_to_go)
        mean, log_std = output.mean[:, :, 0], output.log_std[:, :, 0]  # (C, F, A)
        if actor.selection == "mean":
            return mean[0]
        if actor.selection == "sample":
            return sample_actions(mean[0], log_std[0], key)
        states = jnp.broadcast_to(observations[None, :, last], (*mean.shape[:2], observations.shape[-1]))
        values = actor.critic.apply({"params": params["critic"]}, states, mean).min(0)
        chosen = jax.random.categorical(key, values, axis=0)
        return jnp.take_along_axis(mean, chosen[None, :, None], axis=0)[0]

    keys = jax.vmap(jax.random.fold_in, in_axes=(0, None))(keys, step)
    return jax.vmap(one_seed)(params, windows.observations, windows.actions, windows.returns_to_go, keys)


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


def empty_windows(seeds: int, candidates: int, episodes: int, actor: Actor) -> Windows:
    """Windows before the first step."""
    length, policy = actor.context_length, actor.policy
    return Windows(
        observations=np.zeros((seeds, episodes, length, policy.observation_size), np.float32),
        actions=np.zeros((seeds, episodes, length, policy.action_size), np.float32),
        returns_to_go=np.zeros((seeds, candidates, episodes, length), np.float32),
        timesteps=np.arange(length, dtype=np.int32),
    )
