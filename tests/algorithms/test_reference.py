"""One whole update against a slow reference in float64 NumPy that shares no code with the package.

Dropout is off and the policy's mean stands for its sample, so that both sides see the same numbers. The reference
knows the parameters by their names only: a renamed or forgotten one is noticed.
"""

import functools

import jax
import numpy as np
import pytest
from float64 import check_gradient, dense, double, layer_norm, mish, mlp

from rvdt_jax.algorithms import sequence as update_module
from rvdt_jax.algorithms.base import update_key
from rvdt_jax.algorithms.sequence import draw_batch, init, make_coefficients, make_spec, update

HEADS, LAYERS, STD, PERIOD = 2, 2, 0.1, 3
STEP = 4  # updates done before: a warm-up of 10 stands at .4
RATE = 3e-4 * 0.5 * (1 + np.cos(np.pi * STEP / 20))  # the schedule scales the step, not the gradient
SCALE = 10.0  # of the store's returns-to-go


def attention(p, x):
    size, out = x.shape[1] // HEADS, []
    query, key, value = (dense(p[name], x) for name in ("query", "key", "value"))
    for head in range(HEADS):
        part = slice(head * size, (head + 1) * size)
        weights = np.tril(np.exp(query[:, part] @ key[:, part].T / np.sqrt(size)))  # each token sees those up to it
        out.append(weights / weights.sum(1, keepdims=True) @ value[:, part])
    return dense(p["output"], np.concatenate(out, axis=1))


def features(p, x):
    """The observation, and its sines and cosines where there are any."""
    if "Fourier" not in p:
        return x
    angle = x @ p["Fourier"]["kernel"]
    return np.concatenate([x, np.sin(angle), np.cos(angle)])


def policy_means(p, batch, row):
    """(K, A) action means of one window, token by token."""
    tokens = []
    for k in range(batch.mask.shape[1]):
        time = p["timestep"]["embedding"][min(batch.timesteps[row, k], len(p["timestep"]["embedding"]) - 1)]
        tokens.append(dense(p["return_to_go"], batch.returns_to_go[row, k : k + 1]) + time)
        tokens.append(dense(p["observation"], features(p, batch.observations[row, k])) + time)
        tokens.append(dense(p["action"], batch.actions[row, k]) + time)
    x = layer_norm(p["embedding_norm"], np.array(tokens[:-1]))
    transformer = p["CausalTransformer_0"]
    for layer in range(LAYERS):
        block = transformer[f"Block_{layer}"]
        x = x + attention(block["CausalSelfAttention_0"], layer_norm(block["LayerNorm_0"], x))
        hidden = np.maximum(dense(block["Dense_0"], layer_norm(block["LayerNorm_1"], x)), 0.0)
        x = x + dense(block["Dense_1"], hidden)
    x = layer_norm(transformer["LayerNorm_0"], x)
    return np.tanh(dense(p["action_mean"], x[1::PERIOD]))


def critic_values(p, observation, action):
    """The two values of one state and action."""
    return [mlp(p[name], np.concatenate([features(p[name], observation), action]), mish)[0] for name in ("q1", "q2")]


def td_loss(critic, ema_policy, target_critic, batch, gamma, n_step=None):
    errors = []
    for b in range(len(batch.mask)):
        last = int(batch.mask[b].sum()) - 1
        ended = bool(batch.terminals[b, last])
        means = policy_means(ema_policy, batch, b)
        for t in range(last + ended):
            until = last if n_step is None else min(t + n_step, last)
            arrival = batch.rewards[b, until]
            if until < last or not ended:
                arrival = min(critic_values(target_critic, batch.observations[b, until], means[until]))
            y = sum(gamma ** (j - t) * batch.rewards[b, j] for j in range(t, until)) + gamma ** (until - t) * arrival
            values = critic_values(critic, batch.observations[b, t], batch.actions[b, t])
            errors.append(sum((q - y) ** 2 for q in values))
    return np.mean(errors)


def policy_loss(policy, critic, batch, guided, alpha, eta, swap, scale=None):
    """The loss and the scale of guidance, a constant to the gradient: pass it in to differentiate.

    ``guided`` is the batch under whose returns-to-go the guided actions are drawn.
    """
    rows = range(len(batch.mask))
    means, followed = ([policy_means(policy, each, b) for b in rows] for each in (batch, guided))
    nll, values = [], []
    for b, k in zip(*np.nonzero(batch.mask), strict=True):
        error = (means[b][k] - batch.actions[b, k]) / STD
        log_density = (-0.5 * error**2 - np.log(STD) - 0.5 * np.log(2 * np.pi)).sum()
        nll.append(-log_density * 2 * STD**2 / error.size * (1 + alpha * batch.expert[b]))
        values.append(critic_values(critic, batch.observations[b, k], followed[b][k]))
    first, second = np.array(values).T[::-1] if swap else np.array(values).T
    scale = np.abs(second).mean() if scale is None else scale
    return np.mean(nll) - eta * first.mean() / scale, scale


SWITCHES = {
    "as published": {},
    "LayerNorm": {"model__critic_norm": "layer"},
    "Fourier features": {"model__critic_fourier_features": 3, "model__policy_fourier_features": 2},
    "one step": {"loss__n_step": 1},
    "two steps": {"loss__n_step": 2},
    "asked for the target": {"loss__guidance_return": "target"},
    "asked for both": {"loss__guidance_return": "both"},
    "warming up": {"loss__eta_warmup": 10},
}
TIERS = [pytest.param(name, marks=pytest.mark.slow if switches else ()) for name, switches in SWITCHES.items()]
SETTINGS = {"variant": "RVDT", "loss__eta": 0.7, "loss__alpha": 1.5, "policy__std": STD, "eval__targets": (12.0,)}
SETTINGS |= {"model__dropout": 0.0, "model__layers": LAYERS, "model__critic_layers": 2, "ema__start": 1000}
SETTINGS |= {"train__batch_size": 16, "train__grad_clip_norm": 0.05, "train__lr_decay_steps": 20}


@pytest.mark.parametrize("name", TIERS)
def test_a_whole_update_matches_the_reference(name, small_config, store, monkeypatch):
    config = small_config(**SETTINGS | SWITCHES[name])
    monkeypatch.setattr(update_module, "act", lambda spec, mean, log_std, key: mean)
    spec, coefficients = make_spec(config, 4, 2, 30), make_coefficients(config)
    # Weights of a trained network's size: at the start attention is all but uniform and every mean all but 0.
    state = init(jax.random.key(0), spec)
    grown = {
        name: learner.replace(params=jax.tree.map(lambda leaf: 4.0 * leaf, learner.params))
        for name, learner in state.learners.items()
    }
    state = state.replace(learners=grown, step=state.step + STEP)
    keys = jax.random.split(update_key(state), 3)
    batch = draw_batch(keys[0], store, coefficients, spec)
    swap = bool(jax.random.bernoulli(jax.random.split(keys[2], 3)[2]))
    lengths = np.asarray(batch.mask.sum(1))
    assert len(set(lengths.tolist())) > 1  # the batch has every case in it
    assert 0 < np.asarray(batch.expert).sum() < len(lengths)
    with jax.default_matmul_precision("highest"):
        after, metrics = jax.jit(update, static_argnames="spec")(state, store, coefficients, spec=spec)
    before, after = (double(each.learners) for each in (state, after))
    policy, critic = before["policy"].params, before["critic"].params
    ema, target = before["policy"].target, before["critic"].target
    exact = double(batch).replace(timesteps=np.asarray(batch.timesteps), terminals=np.asarray(batch.terminals))

    def of_critic(params):
        return td_loss(params, ema, target, exact, 0.99, spec.n_step)

    np.testing.assert_allclose(metrics["critic/td_loss"], of_critic(critic), rtol=1e-4)
    check_gradient(of_critic, critic, metrics["critic/grad_norm"], after["critic"], 0.0, rate=RATE)

    trained_critic = after["critic"].params
    eta = 0.7 * (STEP / 10 if int(coefficients.eta_warmup) else 1.0)
    rows = {"data": 0, "target": len(exact.mask), "both": len(exact.mask) // 2}[spec.guidance_return]
    # As if the episodes of the first windows had begun with the target.
    shift = np.where(np.arange(len(exact.mask)) < rows, 12.0 / SCALE - exact.returns, 0.0)
    guided = exact.replace(returns_to_go=exact.returns_to_go + shift[:, None])
    how = {"guided": guided, "alpha": 1.5, "eta": eta, "swap": swap}
    loss, scale = policy_loss(policy, trained_critic, exact, **how)
    np.testing.assert_allclose(metrics["policy/loss"], loss, rtol=1e-4)

    def of_policy(params):
        return policy_loss(params, trained_critic, exact, scale=scale, **how)[0]

    check_gradient(of_policy, policy, metrics["policy/grad_norm"], after["policy"], 1e-4, rate=RATE)

    expected = jax.tree.map(lambda old, new: 0.995 * old + 0.005 * new, target, trained_critic)
    compare = functools.partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-6)
    jax.tree.map(compare, after["critic"].target, expected)
    jax.tree.map(np.testing.assert_array_equal, after["policy"].target, after["policy"].params)  # before ema.start
