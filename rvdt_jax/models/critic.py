"""The twin critic Q(s, a), and the cloned expert of ``kl_explicit``: plain MLPs."""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp

from rvdt_jax.models.encoder import Encoder, encode
from rvdt_jax.models.layers import dense, layer_norm
from rvdt_jax.types import Array, Params


def mish(x: Array) -> Array:
    """x tanh(softplus(x)) (Misra 2019), with one exponential: tanh(log(1 + e)) = n / (n + 2), where n = e (e + 2)."""
    exponential = jnp.exp(jnp.minimum(x, 20.0))  # beyond, the quotient is 1 to the last bit
    numerator = exponential * (exponential + 2.0)
    return x * (numerator / (numerator + 2.0))


def plain_mish(x: Array) -> Array:
    """The definition."""
    return x * jnp.tanh(jax.nn.softplus(x))


class MLP(nn.Module):
    """Hidden layers of one width, each followed by its activation; with ``norm`` LayerNorm stands before it.

    ``dropout`` follows the activations; it needs the rng of that name, and a call that is not deterministic.
    """

    width: int
    layers: int
    output_size: int
    dtype: jnp.dtype = jnp.float32
    plain: bool = False
    norm: bool = False
    activation: str = "mish"  # or ``relu``
    dropout: float = 0.0

    @nn.compact
    def __call__(self, x: Array, deterministic: bool = True) -> Array:
        """Maps (..., inputs) to (..., output_size)."""
        return self._layers(x, deterministic)

    def _layers(self, x: Array, deterministic: bool = True) -> Array:
        activation = nn.relu if self.activation == "relu" else plain_mish if self.plain else mish
        for index in range(self.layers):
            x = self._dense(self.width, self.dtype, index)(x)
            if self.norm:
                x = layer_norm(self.dtype, f"LayerNorm_{index}", self.plain)(x)
            x = nn.Dropout(self.dropout)(activation(x), deterministic=deterministic)
        # Always in float32: bfloat16 has steps of .5 at a value of 100, more than a TD error.
        return self._dense(self.output_size, jnp.float32, self.layers)(x)

    def _dense(self, features: int, dtype, index: int):
        return dense(features, dtype, f"Dense_{index}", nn.initializers.lecun_normal(), self.plain)


class QFunction(MLP):
    """One Q(s, a): an MLP on the encoded observation and the action."""

    encoder: Encoder | None = None

    @nn.compact
    def __call__(self, observations: Array, actions: Array) -> Array:
        """Maps (..., S) and (..., A) to (...) values."""
        return self._layers(jnp.concatenate([encode(self.encoder, observations), actions], axis=-1))[..., 0]


class ValueFunction(MLP):
    """One V(s): an MLP on the encoded observation."""

    output_size: int = 1
    encoder: Encoder | None = None

    @nn.compact
    def __call__(self, observations: Array) -> Array:
        """Maps (..., S) to (...) values."""
        return self._layers(encode(self.encoder, observations))[..., 0]


QS = ("q1", "q2")


class TwinCritic(nn.Module):
    """Two independent Q functions (clipped double Q-learning, Fujimoto et al. 2018); their parameters are ``QS``."""

    width: int = 256  # of each function's hidden layers
    layers: int = 3
    dtype: jnp.dtype = jnp.float32
    plain: bool = False  # use flax's layers, to check the fast version
    norm: bool = False  # whether LayerNorm stands before every activation
    encoder: Encoder | None = None  # of observations
    activation: str = "mish"  # or ``relu``

    @nn.compact
    def __call__(self, observations: Array, actions: Array) -> Array:
        """Maps (..., S) normalised observations and (..., A) actions to (2, ...) values."""
        return jnp.stack([self._q(name)(observations, actions) for name in QS])

    @nn.nowrap
    def single(self, params: Params, observations: Array, actions: Array) -> Array:
        """One Q function: as a call, with the parameters of one entry of ``QS``, to (...) values.

        A caller that needs the gradient of one of the two saves the backward pass of the other.
        """
        return self._q(None).apply({"params": params}, observations, actions)

    @nn.nowrap
    def _q(self, name: str | None) -> QFunction:
        shared = {"dtype": self.dtype, "plain": self.plain, "norm": self.norm, "activation": self.activation}
        place = {"name": name} if name else {"parent": None}
        return QFunction(self.width, self.layers, 1, encoder=self.encoder, **shared, **place)


class ExpertPolicy(nn.Module):
    """The mean of the cloned expert pi_e(a | s): a function of the state alone, eq. (1)."""

    action_size: int
    width: int = 256
    layers: int = 3
    dtype: jnp.dtype = jnp.float32
    plain: bool = False
    encoder: Encoder | None = None

    @nn.compact
    def __call__(self, observations: Array) -> Array:
        """Maps (..., S) normalised observations to (..., A) action means in (-1, 1)."""
        network = MLP(self.width, self.layers, self.action_size, self.dtype, self.plain)
        return jnp.tanh(network(encode(self.encoder, observations)))
