"""The twin critic Q(s, a), and the cloned expert of ``kl_explicit``: plain MLPs."""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp

from rvdt_jax.types import Array


def mish(x: Array) -> Array:
    """x tanh(softplus(x)) (Misra 2019)."""
    return x * jnp.tanh(jax.nn.softplus(x))


class MLP(nn.Module):
    """Hidden layers of one width with Mish between them."""

    width: int
    layers: int
    output_size: int
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Maps (..., inputs) to (..., output_size)."""
        for _ in range(self.layers):
            x = mish(nn.Dense(self.width, dtype=self.dtype)(x))
        # Always in float32: bfloat16 has steps of .5 at a value of 100, more than a TD error.
        return nn.Dense(self.output_size, dtype=jnp.float32)(x)


class TwinCritic(nn.Module):
    """Two independent Q functions (clipped double Q-learning, Fujimoto et al. 2018)."""

    width: int = 256
    layers: int = 3
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, observations: Array, actions: Array) -> Array:
        """Maps (..., S) normalised observations and (..., A) actions to (2, ...) values."""
        inputs = jnp.concatenate([observations, actions], axis=-1)
        values = [MLP(self.width, self.layers, 1, self.dtype, name=f"q{index}")(inputs) for index in (1, 2)]
        return jnp.stack(values)[..., 0]


class ExpertPolicy(nn.Module):
    """The mean of the cloned expert pi_e(a | s): a function of the state alone, eq. (1)."""

    action_size: int
    width: int = 256
    layers: int = 3
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, observations: Array) -> Array:
        """Maps (..., S) normalised observations to (..., A) action means in (-1, 1)."""
        return jnp.tanh(MLP(self.width, self.layers, self.action_size, self.dtype)(observations))
