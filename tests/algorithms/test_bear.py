"""BEAR: one whole update, with its distance of samples, against float64."""

import jax
import numpy as np
import pytest
from float64 import double
from transition_problems import (
    SMALL,
    backup,
    check,
    check_critic,
    check_follows,
    check_scalar,
    gaussian,
    mean,
    mlp,
    one_update,
    values,
)

N, SIGMA, EPSILON = 4, 0.8, 0.3


def distances(left, right, kernel):
    """(B,) by the definition, pair by pair."""

    def similarity(left, right):
        pairs = [np.abs(u - v) if kernel == "laplacian" else (u - v) ** 2 for u in left for v in right]
        return np.mean([np.exp(-pair.sum(-1) / (2 * SIGMA)) for pair in pairs], 0)

    squared = similarity(left, left) + similarity(right, right) - 2 * similarity(left, right)
    return np.sqrt(squared + 1e-6)


@pytest.mark.parametrize(("kernel", "start"), [("laplacian", 0), ("gaussian", 0), ("laplacian", 1)])
def test_a_whole_update_matches_the_reference(kernel, start, small_config, store):
    settings = {"bear__kernel": kernel, "bear__sigma": SIGMA, "bear__samples": N, "bear__threshold": EPSILON}
    settings |= {"vae__width": 8, "bear__start": start, "backup__smaller_weight": 0.6, "backup__actions": 3}
    config = small_config(variant="BEAR", **SMALL, **settings)
    before, after, batch, metrics, keys = one_update(config, store, keys=4)

    mu, log_std = gaussian(before["policy"].target, batch.next_observations)
    drawn = np.tanh(mu + np.exp(log_std) * double(jax.random.normal(keys[2], (3, 256, 2))))
    check_critic(before, after, backup(before, batch, drawn), batch, metrics)

    data_key, noise_key = jax.random.split(keys[3])
    latents = double(jax.random.normal(data_key, (N, 256, 4))).clip(-0.5, 0.5)
    noise = double(jax.random.normal(noise_key, (N, 256, 2))).clip(-0.5, 0.5)
    decoder = after["vae"].params["decoder"]
    of_data = [mlp(decoder, np.concatenate([batch.observations, each], -1)) for each in latents]
    multiplier = np.exp(before["multiplier"].params)

    def loss(policy):
        mu, log_std = gaussian(policy, batch.observations)
        drawn = mu + np.exp(log_std) * noise
        distance = mean(distances(drawn, of_data, kernel), batch)
        each = [values(after["critic"].params, batch.observations, np.tanh(actions)) for actions in drawn]
        return multiplier * distance - (start == 0) * mean(np.mean(each, 0).min(0), batch)

    check(loss, before, after, metrics, "policy", rtol=1e-3)
    check_scalar(before, after, "multiplier", metrics["policy/mmd"] - EPSILON)
    check_follows(before, after, "policy")
