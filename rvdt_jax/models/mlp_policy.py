"""Policies that see one observation: the actors of TD3+BC, IQL and others, and the tanh-Gaussian one of SAC."""

from __future__ import annotations

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp

from rvdt_jax.models.critic import MLP
from rvdt_jax.models.encoder import Encoder, encode
from rvdt_jax.types import Array, PolicyOutput

IQL_LOG_STD_RANGE = (-5.0, 2.0)
SAC_LOG_STD_RANGE = (-20.0, 2.0)
LOG_2PI = 1.8378770664093453


class StatePolicy(nn.Module):
    """A policy that sees one observation, called as ``TransformerPolicy`` is; subclasses have ``act``.

    It reads the observations of a window one by one; actions, returns-to-go and timesteps do not matter.
    """

    observation_size: int  # S
    action_size: int  # A
    condition_on_return = False

    def __call__(
        self,
        observations: Array,
        actions: Array | None = None,
        returns_to_go: Array | None = None,
        timesteps: Array | None = None,
        deterministic: bool = True,
        step: Array | None = None,
    ) -> PolicyOutput:
        """As ``act``; of (B, K, S) windows with ``step``, (B,), at that step alone, K = 1."""
        if step is not None:
            observations = jnp.take_along_axis(observations, step[:, None, None], axis=1)
        return self.act(observations)

    def act(self, observations: Array) -> PolicyOutput:
        """Maps (..., S) observations to (..., A) means and log-stds, without dropout."""
        raise NotImplementedError


class MLPPolicy(StatePolicy):
    """pi(a | s): an MLP with ReLU whose output is squashed by tanh."""

    width: int = 256
    layers: int = 2
    learn_std: bool = False  # True learns one log-std for each action dimension, the same in every state (IQL)
    dtype: jnp.dtype = jnp.float32  # of the hidden layers' arithmetic
    encoder: Encoder | None = None  # of observations
    dropout: float = 0.0  # of the hidden layers

    @nn.compact
    def act(self, observations: Array, deterministic: bool = True) -> PolicyOutput:
        """As ``StatePolicy``; ``deterministic=False`` applies dropout and needs the rng ``dropout``."""
        chex.assert_axis_dimension(observations, -1, self.observation_size)
        network = MLP(self.width, self.layers, self.action_size, self.dtype, activation="relu", dropout=self.dropout)
        mean = jnp.tanh(network(encode(self.encoder, observations), deterministic))
        log_std = jnp.zeros_like(mean)
        if self.learn_std:
            log_std += jnp.clip(
                self.param("log_std", nn.initializers.zeros_init(), (self.action_size,)), *IQL_LOG_STD_RANGE
            )
        return PolicyOutput(mean=mean, log_std=log_std)


class SquashedPolicy(StatePolicy):
    """pi(a | s) of SAC (Haarnoja et al. 2018): a = tanh(u), u a Gaussian whose mean and std are an MLP's of s.

    It answers its mode before the squashing, tanh(mean of u): so SAC's authors act.
    """

    width: int = 256
    layers: int = 2
    dtype: jnp.dtype = jnp.float32  # of the hidden layers' arithmetic
    encoder: Encoder | None = None  # of observations

    @nn.compact
    def gaussian(self, observations: Array) -> tuple[Array, Array]:
        """Mean and log-std of u, (..., A) each, of (..., S) observations."""
        network = MLP(self.width, self.layers, 2 * self.action_size, self.dtype, activation="relu")
        mean, log_std = jnp.split(network(encode(self.encoder, observations)), 2, axis=-1)
        return mean, jnp.clip(log_std, *SAC_LOG_STD_RANGE)

    def act(self, observations: Array) -> PolicyOutput:
        """As ``StatePolicy``; the log-std is that of u."""
        mean, log_std = self.gaussian(observations)
        return PolicyOutput(mean=jnp.tanh(mean), log_std=log_std)

    def sample(self, observations: Array, noise: Array) -> tuple[Array, Array]:
        """Actions (N, B, A) for standard normal ``noise`` of that shape in (B, S) states, and log pi(a | s), (N, B)."""
        mean, log_std = self.gaussian(observations)
        before = mean + jnp.exp(log_std) * noise
        log_density = -(0.5 * jnp.square(noise) + log_std + 0.5 * LOG_2PI).sum(-1)
        # log(1 - tanh(u)^2) without the cancellation
        slope = 2.0 * (jnp.log(2.0) - before - jax.nn.softplus(-2.0 * before))
        return jnp.tanh(before), log_density - slope.sum(-1)

    @property
    def noise_shape(self) -> tuple[int]:
        """Of the noise of one action; for ``models.candidates``."""
        return (self.action_size,)

    def decode(self, observations: Array, noise: Array) -> Array:
        """The actions of ``sample`` alone."""
        return self.sample(observations, noise)[0]
