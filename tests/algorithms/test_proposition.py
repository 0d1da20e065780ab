"""The proposition: for a factorised Gaussian of fixed std the explicit KL of eq. (1) is the weighted NLL of eq. (2)."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rvdt_jax.algorithms import losses
from rvdt_jax.algorithms.sequence import SEQUENCE, make_coefficients, make_spec
from rvdt_jax.data.episodes import Episodes
from rvdt_jax.data.rebalance import expert_weight, select_experts
from rvdt_jax.data.store import make_normalizer, make_store
from rvdt_jax.train.driver import init_states, train_chunk

STD, ALPHA = 0.3, 2.5


def test_the_gradients_are_equal_where_the_experts_mean_is_the_action_of_the_data():
    """Of a linear policy, on a batch of which half the windows are expert."""
    rng = np.random.default_rng(0)
    inputs, kernel = (jnp.asarray(rng.normal(size=shape), jnp.float32) for shape in ((8, 5, 3), (3, 2)))
    actions = jnp.asarray(rng.uniform(-1, 1, (8, 5, 2)), jnp.float32)
    mask = jnp.asarray(np.arange(5) < rng.integers(2, 6, 8)[:, None], jnp.float32)
    expert, log_std = jnp.asarray(np.arange(8) % 2, jnp.float32), jnp.full_like(actions, np.log(STD))

    def mean(kernel):
        return jnp.tanh(inputs @ kernel)

    def weighted(kernel, weights):
        """Eq. (2)."""
        return losses.weighted_nll(losses.gaussian_nll(mean(kernel), log_std, actions, STD), mask, weights)

    def explicit(kernel, expert_mean):
        """Eq. (1)."""
        kl = losses.gaussian_kl(mean(kernel), log_std, expert_mean, STD)
        return weighted(kernel, jnp.ones(8)) + ALPHA * losses.explicit_kl(kl, mask, expert)

    of_weighted = jax.grad(weighted)(kernel, expert_weight(expert, ALPHA))
    np.testing.assert_allclose(of_weighted, jax.grad(explicit)(kernel, actions), rtol=1e-5)
    assert not np.allclose(of_weighted, jax.grad(explicit)(kernel, mean(kernel)), rtol=0.1)  # the term counts


def crossing(count=400, length=3):
    """Every trajectory acts by one rule, with noise; those of return 1, a fifth, by .6 x and the others by -.6 x."""
    rng = np.random.default_rng(0)
    good = np.repeat(np.arange(count) % 5 == 0, length)[:, None]
    observations = rng.uniform(-1, 1, good.shape)
    actions = np.clip(np.where(good, 0.6, -0.6) * observations + 0.1 * rng.normal(size=good.shape), -1, 1)
    rewards = good[:, 0] * (np.arange(good.size) % length == length - 1)
    columns = (np.float32(column) for column in (observations, actions, rewards))
    return Episodes("crossing", *columns, np.full(count, length), np.ones(count, bool))


SETTINGS = {"policy__condition_on_return": False, "model__width": 16, "model__dropout": 0.0, "model__context_length": 2}
SETTINGS |= {"train__batch_size": 128, "train__learning_rate": 3e-3, "train__grad_clip_norm": 10.0}


@pytest.mark.slow
def test_both_ways_of_rebalancing_reach_the_same_policy(small_config):
    """A policy that sees no return must compromise: its slope is .6 (.2 (1 + alpha) - .8) / (.2 (1 + alpha) + .8)."""
    episodes, alpha = crossing(), 6.0
    experts = select_experts(episodes.returns, episodes.lengths, fraction=0.2)
    store = make_store(episodes, experts, make_normalizer(episodes), return_scale=1.0)
    points, slopes = np.linspace(-1, 1, 21), {}
    inputs = jnp.asarray(make_normalizer(episodes)(np.float32(points[:, None, None])))
    zeros = jnp.zeros((points.size, 1))
    for rebalancing in ("none", "kl", "kl_explicit"):
        config = small_config(variant="RDT", loss__rebalancing=rebalancing, loss__alpha=alpha, **SETTINGS)
        spec, coefficients = make_spec(config, 1, 1, 3), make_coefficients(config)
        static = {"algorithm": SEQUENCE, "spec": spec, "updates": 1500, "map_seeds": "loop"}
        states, _ = train_chunk(init_states(jnp.asarray([0]), SEQUENCE, spec), store, coefficients, **static)
        params = jax.tree.map(lambda leaf: leaf[0], states.learners["policy"].params)
        mean = spec.policy.apply({"params": params}, inputs, zeros[..., None], zeros, zeros.astype(int)).mean
        slopes[rebalancing] = np.polyfit(points, np.asarray(mean)[:, 0, 0], 1)[0]
    weight = 0.2 * (1 + alpha)
    assert slopes["none"] == pytest.approx(0.6 * (0.2 - 0.8), abs=0.05)
    assert slopes["kl"] == pytest.approx(0.6 * (weight - 0.8) / (weight + 0.8), abs=0.05)
    assert slopes["kl_explicit"] == pytest.approx(slopes["kl"], abs=0.05)
