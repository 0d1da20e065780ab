"""What turns an observation into features, before a network does anything else with it.

Every network takes ``encoder``, a function without arguments that makes a module; None leaves observations as they are.
The module maps (..., S) normalised observations to (..., F) features: the policy embeds them as a token, the critics
join them with the action. Each network has an encoder of its own, which learns with it. An observation of another form
arrives flattened, a dict in the order of ``data.observation_keys``; an encoder for images begins with a reshape:

    class Pixels(nn.Module):
        @nn.compact
        def __call__(self, observations):
            images = observations.reshape(-1, 8, 8, 1)
            features = nn.relu(nn.Conv(16, (3, 3), strides=2)(images))
            return features.reshape(*observations.shape[:-1], -1)

A variant of the family with it is ``dataclasses.replace(SEQUENCE, make_spec=partial(make_spec, encoder=Pixels))``.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp

from rvdt_jax.types import Array

Encoder = Callable[[], nn.Module]


def encode(encoder: Encoder | None, observations: Array) -> Array:
    """The features of (..., S) observations; to be called inside a compact module."""
    return observations if encoder is None else encoder()(observations)


@functools.cache  # the same object for the same settings: a spec with it is equal to another
def fourier_encoder(features: int, scale: float) -> Encoder | None:
    """Makes ``FourierFeatures``; None where there are none."""
    return functools.partial(FourierFeatures, features, scale, name="Fourier") if features else None


class FourierFeatures(nn.Module):
    """[x, sin(W x), cos(W x)] with a learned W: a network of few updates resolves what changes abruptly with x.

    An MLP learns slowly what varies fast (Tancik et al. 2020); a value function does so across a wall. W begins as
    normal numbers of standard deviation ``scale`` and is learned (Li and Pathak 2021).
    """

    features: int
    scale: float

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Maps (..., inputs) to (..., inputs + 2 features)."""
        kernel = self.param("kernel", nn.initializers.normal(self.scale), (x.shape[-1], self.features))
        # In float32: an angle of several turns has no digits left in bfloat16.
        angle = jnp.matmul(x, kernel, precision=jax.lax.Precision.HIGHEST)
        return jnp.concatenate([x, jnp.sin(angle), jnp.cos(angle)], axis=-1)
