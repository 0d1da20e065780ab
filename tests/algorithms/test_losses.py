"""Losses against numbers worked out by hand; whole updates are compared with a slow reference in ``test_reference``."""

import jax.numpy as jnp
import numpy as np
import pytest

from rvdt_jax.algorithms import losses

B, K, A = 6, 5, 3
MASK = (np.arange(K) < np.array([1, 2, 3, 4, 5, 5])[:, None]).astype(np.float64)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def single(*arrays):
    return [jnp.asarray(array, jnp.float32) for array in arrays]


def test_gaussian_nll_matches_the_density_times_its_scale(rng):
    mean, actions = rng.uniform(-1, 1, (2, B, K, A))
    log_std, sigma = rng.uniform(-2, 0, (B, K, A)), 0.3
    std = np.exp(log_std)
    density = np.exp(-0.5 * ((actions - mean) / std) ** 2) / (std * np.sqrt(2 * np.pi))
    expected = -np.log(density).sum(-1) * 2 * sigma**2 / A
    measured = losses.gaussian_nll(*single(mean, log_std, actions), sigma)
    np.testing.assert_allclose(measured, expected, rtol=2e-5, atol=1e-6)


def test_gaussian_kl_matches_numerical_integration(rng):
    mean, log_std, expert_mean = rng.uniform(-1, 1, (1, 1, 1)), np.full((1, 1, 1), -1.0), rng.uniform(-1, 1, (1, 1, 1))
    expert_std = 0.5
    x = np.linspace(-8, 8, 400_001)

    def log_density(centre, std):
        return -0.5 * ((x - centre) / std) ** 2 - np.log(std * np.sqrt(2 * np.pi))

    p, q = log_density(mean.item(), np.exp(-1.0)), log_density(expert_mean.item(), expert_std)
    expected = np.trapezoid(np.exp(p) * (p - q), x) * 2 * expert_std**2
    measured = losses.gaussian_kl(*single(mean, log_std, expert_mean), expert_std)
    np.testing.assert_allclose(measured.item(), expected, rtol=1e-4)


def test_explicit_kl_is_an_expectation_over_all_data(rng):
    kl, expert = rng.uniform(0, 1, (B, K)), np.array([1, 0, 1, 0, 0, 1.0])
    total = kl[expert == 1][MASK[expert == 1] == 1].sum()
    np.testing.assert_allclose(losses.explicit_kl(*single(kl, MASK, expert)), total / MASK.sum(), rtol=1e-6)


def test_expert_cloning_counts_expert_steps_only(rng):
    means, actions = rng.uniform(-1, 1, (2, B, K, A))
    expert = np.array([0, 1, 0, 0, 1, 0.0])
    expected = ((means - actions) ** 2)[expert == 1][MASK[expert == 1] == 1].mean()
    np.testing.assert_allclose(losses.expert_cloning(*single(means, actions, MASK, expert)), expected, rtol=1e-5)
    assert losses.expert_cloning(*single(means, actions, MASK, np.zeros(B))) == 0.0


def test_q_guidance_of_a_silent_critic_is_zero():
    loss, _ = losses.q_guidance(jnp.zeros((B, K)), jnp.zeros((B, K)), jnp.asarray(MASK, jnp.float32))
    assert loss == 0.0


def test_state_prediction_compares_with_the_next_valid_observation(rng):
    predicted, observations = rng.normal(size=(B, K - 1, 2)), rng.normal(size=(B, K, 2))
    expected = ((predicted - observations[:, 1:]) ** 2)[MASK[:, 1:] == 1].mean()
    np.testing.assert_allclose(losses.state_prediction(*single(predicted, observations, MASK)), expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("rewards", "terminal", "targets"),
    [
        ([0, 0, 1, 0], True, [0.25, 0.5, 1.0]),  # a reward at the terminal step alone reaches every step
        ([1, 1, 7, 7], False, [1 + 0.5 + 0.25 * 8, 1 + 0.5 * 8]),  # a time-out is bootstrapped through
    ],
)
def test_window_targets_by_hand(rewards, terminal, targets):
    rewards, mask = single([rewards], [[1, 1, 1, 0]])
    terminals = jnp.asarray([[False, False, terminal, terminal]])  # padding repeats the last step's flags
    found, trained = losses.window_targets(rewards, mask, terminals, jnp.asarray([8.0]), jnp.asarray(0.5))
    np.testing.assert_allclose(found[0, : len(targets)], targets)
    np.testing.assert_array_equal(trained, [[1, 1, terminal, 0]])
