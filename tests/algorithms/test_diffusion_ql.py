"""D-QL: one whole update against float64, and the sampler on a known density."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import transition_problems
from float64 import dense, double, mish, mlp
from transition_problems import GAMMA, RATE, SMALL, check, check_critic, close, mean, one_update

from rvdt_jax.models.diffusion import Diffusion, schedule

T, ETA = 3, 0.7
KEPT = np.cumprod([np.exp(-0.1 / T - 0.5 * 9.9 * (2 * t - 1) / T**2) for t in range(1, T + 1)])  # alpha bars


values = functools.partial(transition_problems.values, activation=mish)


def find_noise(policy, observations, noisy, step):
    rates = 10000.0 ** (-np.arange(8) / 7)
    angles = np.broadcast_to(step, len(noisy))[:, None] * rates
    time = mish(dense(policy["time_in"], np.concatenate([np.sin(angles), np.cos(angles)], -1)))
    time = dense(policy["time_out"], time)
    return mlp(policy["noise"], np.concatenate([noisy, time, observations], -1), mish)


def generate(policy, observations, noise):
    """Noise is (T, B, A); every step draws from q(a_{t-1} | a_t, a_0), by Bayes' rule."""
    actions = noise[0]
    for step in reversed(range(T)):
        noiseless = actions - np.sqrt(1 - KEPT[step]) * find_noise(policy, observations, actions, step)
        clean = np.clip(noiseless / np.sqrt(KEPT[step]), -1, 1)
        if step == 0:
            return clean
        alpha, before = KEPT[step] / KEPT[step - 1], KEPT[step - 1]
        precision = alpha / (1 - alpha) + 1 / (1 - before)
        center = (np.sqrt(alpha) * actions / (1 - alpha) + np.sqrt(before) * clean / (1 - before)) / precision
        actions = center + noise[T - step] / np.sqrt(precision)


# Until update 2 the average is the policy; after it, it moves at every third update, and else stays.
@pytest.mark.parametrize(("at", "kept"), [(0, 0.0), (2, 1 - RATE), (3, 1.0)])
def test_a_whole_update_matches_the_reference(at, kept, small_config, store):
    settings = {"loss__eta": ETA, "dql__steps": T, "ema__start": 2, "ema__every": 3, "ema__decay": 1 - RATE}
    settings |= {"train__critic_learning_rate": 5e-4, "train__lr_decay_steps": 10}
    config = small_config(variant="D-QL", **SMALL, **settings)
    before, after, batch, metrics, keys = one_update(config, store, keys=3, step=at)

    def noise(key):
        return double(jax.random.normal(key, (1, 256, T, 2)))[0].swapaxes(0, 1)

    next_actions = generate(before["policy"].target, batch.next_observations, noise(keys[1]))
    following = values(before["critic"].target, batch.next_observations, next_actions).min(0)
    targets = batch.rewards + GAMMA * batch.continues * following
    fallen = 0.5 * (1 + np.cos(np.pi * at / 10))
    check_critic(before, after, targets, batch, metrics, of=values, rate=5e-4 * fallen)

    step_key, noise_key, action_key, swap_key = jax.random.split(keys[2], 4)
    step = np.asarray(jax.random.randint(step_key, (256,), 0, T))
    added = double(jax.random.normal(noise_key, (256, 2)))
    clean = KEPT[step][:, None]
    noisy = np.sqrt(clean) * batch.actions + np.sqrt(1 - clean) * added
    guiding, scaling = (1, 0) if jax.random.bernoulli(swap_key) else (0, 1)
    critic, drawn = after["critic"].params, noise(action_key)
    first = generate(before["policy"].params, batch.observations, drawn)
    scale = mean(np.abs(values(critic, batch.observations, first)[scaling]), batch)

    def loss(policy):
        error = (find_noise(policy, batch.observations, noisy, step) - added) ** 2
        worth = values(critic, batch.observations, generate(policy, batch.observations, drawn))[guiding]
        return mean(error.mean(-1), batch) - ETA * mean(worth, batch) / scale

    check(loss, before, after, metrics, "policy", 3e-4 * fallen, rtol=1e-3)
    old, new = before["policy"].target, after["policy"].params
    close(after["policy"].target, jax.tree.map(lambda old, new: kept * old + (1 - kept) * new, old, new))


def test_the_sampler_makes_what_the_best_network_knows():
    """For actions N(m, s^2) the best noise estimate is known in closed form; sampling with it gives m and s back."""
    center, std, steps = 0.2, 0.15, 300
    kept = schedule(steps)[1]

    class Best(Diffusion):
        def __call__(self, observations, noisy, step):
            share = jnp.asarray(kept)[step][..., None]
            return jnp.sqrt(1 - share) * (noisy - jnp.sqrt(share) * center) / (share * std**2 + 1 - share)

    noise = jax.random.normal(jax.random.key(0), (5000, steps, 1))
    made = Best(1, steps).apply({}, jnp.zeros((5000, 3)), noise, method="decode")
    np.testing.assert_allclose([made.mean(), made.std()], [center, std], atol=0.01)
