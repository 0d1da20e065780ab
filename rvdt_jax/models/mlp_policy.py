"""A policy that sees one observation: the actor of TD3+BC, IQL and others."""

from __future__ import annotations

import chex
import flax.linen as nn
import jax.numpy as jnp

from rvdt_jax.models.critic import MLP
from rvdt_jax.models.encoder import Encoder, encode
from rvdt_jax.types import Array, PolicyOutput

LOG_STD_RANGE = (-20.0, 2.0)  # IQL's


class MLPPolicy(nn.Module):
    """pi(a | s): an MLP with ReLU whose output is squashed by tanh, called as ``TransformerPolicy`` is.

    It reads the observations of a window one by one; actions, returns-to-go and timesteps do not matter.
    """

    observation_size: int  # S
    action_size: int  # A
    width: int = 256
    layers: int = 2
    learn_std: bool = False  # True learns one log-std for each action dimension, the same in every state (IQL)
    dtype: jnp.dtype = jnp.float32  # of the hidden layers' arithmetic
    encoder: Encoder | None = None  # of observations
    condition_on_return: bool = False

    @nn.compact
    def __call__(
        self,
        observations: Array,
        actions: Array | None = None,
        returns_to_go: Array | None = None,
        timesteps: Array | None = None,
        deterministic: bool = True,
        step: Array | None = None,
    ) -> PolicyOutput:
        """Maps (..., S) observations to (..., A) means and log-stds; with ``step``, (B,), at that step alone, K = 1."""
        chex.assert_axis_dimension(observations, -1, self.observation_size)
        if step is not None:
            observations = jnp.take_along_axis(observations, step[:, None, None], axis=1)
        network = MLP(self.width, self.layers, self.action_size, self.dtype, activation="relu")
        mean = jnp.tanh(network(encode(self.encoder, observations)))
        log_std = jnp.zeros_like(mean)
        if self.learn_std:
            log_std += jnp.clip(
                self.param("log_std", nn.initializers.zeros_init(), (self.action_size,)), *LOG_STD_RANGE
            )
        return PolicyOutput(mean=mean, log_std=log_std)
