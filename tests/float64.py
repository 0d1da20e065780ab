"""Layers and gradients in float64 NumPy, for references that share no code with the package."""

import jax
import numpy as np


def double(tree):
    return jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), tree)


def dense(p, x):
    return x @ p["kernel"] + p["bias"]


def mish(x):
    return x * np.tanh(np.log1p(np.exp(x)))


def relu(x):
    return np.maximum(x, 0.0)


def mlp(p, x, activation=relu):
    layers = sum(name.startswith("Dense") for name in p)
    for layer in range(layers - 1):
        x = dense(p[f"Dense_{layer}"], x)
        x = activation(layer_norm(p[f"LayerNorm_{layer}"], x) if f"LayerNorm_{layer}" in p else x)
    return dense(p[f"Dense_{layers - 1}"], x)


def layer_norm(p, x):
    centred = x - x.mean(-1, keepdims=True)
    return centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-6) * p["scale"] + p["bias"]


def adam_step(params, gradients, learning_rate, clip, decay):
    """The first step of Adam from zero moments, after clipping and L2."""
    factor = min(1.0, clip / np.sqrt(inner(gradients, gradients)))
    decayed = jax.tree.map(lambda p, g: factor * g + decay * p, params, gradients)
    return jax.tree.map(lambda p, g: p - learning_rate * g / (np.abs(g) + 1e-8), params, decayed)


def directional(loss, params, seed, size=1e-6):
    """A random direction, and the derivative of the loss along it."""
    rng = np.random.default_rng(seed)
    direction = jax.tree.map(lambda leaf: rng.normal(size=leaf.shape), params)
    ahead, behind = (jax.tree.map(lambda p, d, s=s: p + s * d, params, direction) for s in (size, -size))
    return direction, (loss(ahead) - loss(behind)) / (2 * size)


def inner(left, right):
    return sum((a * b).sum() for a, b in zip(jax.tree.leaves(left), jax.tree.leaves(right), strict=True))


def check_gradient(loss, params, norm, learner, decay, clip=0.05, rate=3e-4):
    """From zero moments Adam's first momentum is a tenth of the clipped gradient: there the gradient is read."""
    momentum = next(part.mu for part in learner.optimizer if hasattr(part, "mu"))
    clipped = jax.tree.map(lambda m, p: 10.0 * m - decay * p, momentum, params)
    gradient = jax.tree.map(lambda g: g * max(1.0, float(norm) / clip), clipped)
    assert float(norm) > clip  # the clip is in effect
    length = np.sqrt(inner(gradient, gradient))
    np.testing.assert_allclose(length, norm, rtol=1e-3)
    for seed in range(3):
        direction, slope = directional(loss, params, seed)
        assert abs(inner(gradient, direction) - slope) < 2e-3 * length
    moved = jax.tree.map(lambda e, p: e - p, adam_step(params, gradient, rate, clip, decay), params)
    measured = jax.tree.map(lambda t, p: t - p, learner.params, params)
    difference = jax.tree.map(lambda a, b: a - b, moved, measured)
    assert np.sqrt(inner(difference, difference)) < 2e-2 * np.sqrt(inner(moved, moved))
