"""Layers built for throughput: flax's ``Dense`` and ``Dropout``, cheaper to differentiate and to draw.

Parameters are named, shaped and initialised as flax's, so a policy trained with one kind of layer runs with the other.
"""

from __future__ import annotations

from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from rvdt_jax.types import Array

weight_init: Callable = nn.initializers.normal(0.02)  # GPT-2's, for every matrix and embedding


def dense(features: int, dtype, name: str | None = None, kernel_init: Callable = weight_init, plain: bool = False):
    """A layer x W + b of that many outputs; parameters float32, arithmetic in ``dtype``. ``plain``: flax's own."""
    return (nn.Dense if plain else Dense)(features, dtype=dtype, kernel_init=kernel_init, name=name)


class Dense(nn.Module):
    """``flax.linen.Dense`` with ``linear`` as its function."""

    features: int
    dtype: jnp.dtype
    kernel_init: Callable = weight_init

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Maps (..., inputs) to (..., features)."""
        kernel = self.param("kernel", self.kernel_init, (x.shape[-1], self.features))
        bias = self.param("bias", nn.initializers.zeros_init(), (self.features,))
        return linear(x.astype(self.dtype), kernel.astype(self.dtype), bias.astype(self.dtype))


@jax.custom_vjp
def linear(x: Array, kernel: Array, bias: Array) -> Array:
    """x W + b over the last axis: (..., I), (I, O) and (O,) to (..., O).

    Its gradient is two products of matrices, with all leading axes as one, of an upstream gradient that is computed
    once: left to itself the compiler computes it again for each product.
    """
    return _rows(x) @ kernel + bias if x.ndim == 2 else (_rows(x) @ kernel + bias).reshape(*x.shape[:-1], -1)


def _rows(x: Array) -> Array:
    return x.reshape(-1, x.shape[-1])


def _linear_forward(x: Array, kernel: Array, bias: Array):
    return linear(x, kernel, bias), (x, kernel)


def _linear_backward(saved, upstream: Array):
    x, kernel = saved
    upstream = jax.lax.optimization_barrier(_rows(upstream))
    into_x = (upstream @ kernel.T).reshape(x.shape)
    if kernel.shape[1] == 1:
        return into_x, (_rows(x) * upstream).sum(0)[:, None], upstream.sum(0)
    return into_x, _rows(x).T @ upstream, upstream.sum(0)


linear.defvjp(_linear_forward, _linear_backward)


def layer_norm(dtype, name: str | None = None, plain: bool = False):
    """Layer normalisation over the last axis with scale and bias (Ba et al. 2016); statistics are float32."""
    return (nn.LayerNorm if plain else LayerNorm)(dtype=dtype, name=name)


class LayerNorm(nn.Module):
    """``flax.linen.LayerNorm`` with ``normalise`` as its function."""

    dtype: jnp.dtype

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Maps (..., width) to the same shape."""
        scale = self.param("scale", nn.initializers.ones_init(), (x.shape[-1],))
        bias = self.param("bias", nn.initializers.zeros_init(), (x.shape[-1],))
        return normalise(x, scale, bias).astype(self.dtype)


@jax.custom_vjp
def normalise(x: Array, scale: Array, bias: Array) -> Array:
    """(x - mean) / std * scale + bias over the last axis, in float32: (..., I), (I,) and (I,) to (..., I).

    For its gradient it keeps ``x`` and a mean and a deviation per row; left to itself the compiler keeps and reads
    arrays as large as ``x``.
    """
    return _normalise_forward(x, scale, bias)[0]


def _normalise_forward(x: Array, scale: Array, bias: Array):
    wide = x.astype(jnp.float32)
    mean = wide.mean(-1, keepdims=True)
    variance = jnp.maximum(jnp.square(wide).mean(-1, keepdims=True) - jnp.square(mean), 0.0)
    inverse = jax.lax.rsqrt(variance + 1e-6)
    return (wide - mean) * (inverse * scale) + bias, (x, mean, inverse, scale)


def _normalise_backward(saved, upstream: Array):
    x, mean, inverse, scale = saved
    normal, into_normal = (x.astype(jnp.float32) - mean) * inverse, upstream * scale
    along = (into_normal * normal).mean(-1, keepdims=True)
    into_x = inverse * (into_normal - into_normal.mean(-1, keepdims=True) - normal * along)
    into_scale = _rows(upstream * normal).sum(0)
    return into_x.astype(x.dtype), into_scale, _rows(upstream).sum(0)


normalise.defvjp(_normalise_forward, _normalise_backward)


def make_dropout(key: Array | None, rate: float, plain: bool = False) -> Callable[[Array, int], Array]:
    """The function (x, site) -> x with elements zeroed with probability ``rate``, the others scaled by 1 / (1 - rate).

    Masks are a hash of (key, site, position): none is stored or read back, for the hash is computed anew wherever it
    is needed, and they do not depend on how ``x`` is laid over devices.

    Args:
        key: PRNG key of one forward pass; None drops nothing.
        rate: in [0, 1), held to multiples of 2^-32.
        plain: draw the masks with ``jax.random`` instead.

    Returns:
        A function of an array of fewer than 2^32 elements and the number of a place in the network; each place needs
        a number of its own.
    """
    if key is None or rate == 0.0:
        return lambda x, site: x
    seed = None if plain else jax.random.bits(key, (2,))

    def drop(x: Array, site: int) -> Array:
        if plain:
            keep = jax.random.bernoulli(jax.random.fold_in(key, site), 1.0 - rate, x.shape)
        else:
            keep = uniform_bits(seed, site, x.shape) >= np.uint32(round(rate * 2**32))
        return jnp.where(keep, x / np.asarray(1.0 - rate, x.dtype), 0)

    return drop


def uniform_bits(seed: Array, site: int, shape: tuple[int, ...]) -> Array:
    """uint32 hashes of (seed, site, position): a multiply-xorshift mixer (two rounds), keyed before and between.

    ``seed`` is (2,) uint32; positions count in row-major order.
    """
    first, second = _mix(seed[0] ^ _mix(np.uint32(2 * site + 1))), _mix(seed[1] ^ _mix(np.uint32(2 * site + 2)))
    x = jax.lax.iota(jnp.uint32, int(np.prod(shape))).reshape(shape)
    x = (x ^ first) * np.uint32(0x9E3779B1)
    x = ((x ^ (x >> 16)) + second) * np.uint32(0x21F0AAAD)
    x = (x ^ (x >> 15)) * np.uint32(0x735A2D97)
    return x ^ (x >> 15)


def _mix(x):
    """A bijection of uint32 in which every input bit moves every output bit (Wellons' triple-free mixer)."""
    with np.errstate(over="ignore"):
        x = (x ^ (x >> np.uint32(16))) * np.uint32(0x21F0AAAD)
        x = (x ^ (x >> np.uint32(15))) * np.uint32(0x735A2D97)
        return x ^ (x >> np.uint32(15))
