"""The fast layers compute flax's functions; dropout from a hash is as random as it needs to be."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rvdt_jax.models.critic import mish, plain_mish
from rvdt_jax.models.layers import Dense, LayerNorm, make_dropout

SIZE = (64, 64, 256)  # 2^20 elements
RATE = 0.1
PAIRS = {
    "Dense": (Dense(7, jnp.float32, nn.initializers.lecun_normal()), nn.Dense(7)),
    "Dense to one": (Dense(1, jnp.float32, nn.initializers.lecun_normal()), nn.Dense(1)),
    "LayerNorm": (LayerNorm(jnp.float32), nn.LayerNorm()),
}


@pytest.mark.parametrize("shape", [(6, 5), (3, 4, 5), (2, 3, 4, 5)])
@pytest.mark.parametrize("pair", PAIRS)
def test_the_fast_layers_are_flaxs_with_their_gradients(pair, shape):
    """They begin with the same parameters, and with any others their values and gradients agree."""
    x = 3.0 * jax.random.normal(jax.random.key(0), shape) + 1.0
    params, others = (layer.init(jax.random.key(1), x) for layer in PAIRS[pair])
    jax.tree.map(np.testing.assert_array_equal, params, others)
    params = jax.tree.map(lambda leaf: leaf + 0.3 * jnp.cos(jnp.arange(leaf.size)).reshape(leaf.shape), params)

    def differentiate(layer: nn.Module):
        def value(params, x):
            y = layer.apply(params, x)
            return (jnp.cos(jnp.arange(y.size)).reshape(y.shape) * jnp.sin(y)).sum()

        return jax.value_and_grad(value, argnums=(0, 1))(params, x)

    compare = functools.partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-5)
    jax.tree.map(compare, *(differentiate(layer) for layer in PAIRS[pair]))


def test_mish_is_its_definition_everywhere():
    x = jnp.concatenate([jnp.linspace(-100, 100, 4001), jnp.linspace(-3, 3, 1001)])
    exact = np.asarray(x, np.float64) * np.tanh(np.logaddexp(0, np.asarray(x, np.float64)))
    np.testing.assert_allclose(mish(x), exact, rtol=1e-6, atol=1e-30)
    slopes, plain_slopes = (jax.vmap(jax.grad(f))(x) for f in (mish, plain_mish))
    np.testing.assert_allclose(slopes, plain_slopes, rtol=1e-5, atol=2e-6)


def dropped(key: jax.Array, site: int = 0) -> np.ndarray:
    """The places dropped, as floats in a row."""
    return np.asarray(make_dropout(key, RATE)(jnp.ones(SIZE), site) == 0).ravel().astype(np.float64)


def assert_unrelated(one: np.ndarray, other: np.ndarray):
    """Their correlation is that of independent draws, within 5 standard errors."""
    assert abs(np.corrcoef(one, other)[0, 1]) < 5 / np.sqrt(one.size)


@pytest.mark.parametrize("rate", [0.01, 0.1, 0.5, 0.9])
@pytest.mark.parametrize("plain", [False, True])
def test_the_rate_of_dropout_and_its_scale(rate, plain):
    y = np.asarray(make_dropout(jax.random.key(3), rate, plain)(jnp.ones(SIZE), 1))
    assert abs((y == 0).mean() - rate) < 5 * np.sqrt(rate * (1 - rate) / y.size)
    np.testing.assert_allclose(np.unique(y), [0, 1 / (1 - rate)], rtol=1e-6)


def test_masks_are_independent_across_sites_steps_and_seeds():
    masks = [dropped(jax.random.fold_in(jax.random.key(0), step)) for step in (0, 1, 2)]
    masks += [dropped(jax.random.key(0), site) for site in (0, 1, 2, 12)]
    masks += [dropped(jax.random.key(seed)) for seed in (1, 2)]
    for index, mask in enumerate(masks):
        for other in masks[:index]:
            assert_unrelated(mask, other)
            for shift in (1, 256, 64 * 256):  # nor are they shifted copies
                assert_unrelated(mask[shift:], other[:-shift])


def test_the_places_of_a_mask_are_independent():
    mask = dropped(jax.random.key(5))
    for lag in (*range(1, 33), 64, 255, 256, 257, 4096, 64 * 256, 2**19):
        assert_unrelated(mask[lag:], mask[:-lag])
    for width in (4, 64, 256, 4096):  # neither more even than chance, nor more clustered
        counts = mask.reshape(-1, width).sum(1)
        dispersion = counts.var() / (width * RATE * (1 - RATE))
        assert abs(dispersion - 1) < 5 * np.sqrt(2 / len(counts) + 1 / (len(counts) * width * RATE))


def test_nothing_is_dropped_without_a_key_or_a_rate():
    x = jnp.arange(6.0)
    assert make_dropout(None, 0.5)(x, 0) is x
    assert make_dropout(jax.random.key(0), 0.0)(x, 0) is x
