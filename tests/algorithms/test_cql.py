"""CQL: one whole update against float64, and its estimate of an integral."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from float64 import double
from transition_problems import SMALL, backup, check, check_critic, check_scalar, gaussian, mean, one_update, values

from rvdt_jax.algorithms import cql
from rvdt_jax.algorithms.transitions import Transitions
from rvdt_jax.models.mlp_policy import SquashedPolicy

N, ALPHA, TAU = 3, 0.7, 0.4


def sample(policy, observations, noise):
    """tanh(u) and its log-density, by the change of variables."""
    mu, log_std = gaussian(policy, observations)
    u = mu + np.exp(log_std) * noise
    normal = -0.5 * noise**2 - log_std - 0.5 * np.log(2 * np.pi)
    return np.tanh(u), (normal + 2 * np.log(np.cosh(u))).sum(-1)  # 1 - tanh^2 is 1 / cosh^2


def gaps(critic, batch, drawn):
    """(2, B) of log 1/(3N) sum exp(Q) / p - Q(s, a), action by action."""
    terms = [np.exp(values(critic, batch.observations, actions) - log_density) for actions, log_density in drawn]
    return np.log(np.mean(terms, 0)) - values(critic, batch.observations, batch.actions)


@pytest.mark.parametrize("lagrange", [False, True])
def test_a_whole_update_matches_the_reference(lagrange, small_config, store):
    settings = {"cql__actions": N, "cql__alpha": ALPHA, "cql__threshold": TAU, "cql__lagrange": lagrange}
    settings |= {"backup__smaller_weight": 0.6, "backup__actions": 2, "train__critic_learning_rate": 5e-4}
    config = small_config(variant="CQL", **SMALL, **settings)
    before, after, batch, metrics, keys = one_update(config, store, keys=4)
    policy, critic = before["policy"].params, before["critic"].params
    normal = double([jax.random.normal(key, (n, 256, 2)) for key, n in zip(keys[1:3], (1, 2), strict=True)])

    following = [sample(policy, batch.next_observations, noise)[0] for noise in normal[1]]
    targets = backup(before, batch, following)

    uniform_key, *sample_keys = jax.random.split(keys[3], 3)
    uniform = double(jax.random.uniform(uniform_key, (N, 256, 2), minval=-1.0))
    drawn = [(actions, np.full(256, np.log(0.25))) for actions in uniform]
    for key, observations in zip(sample_keys, (batch.observations, batch.next_observations), strict=True):
        drawn += [sample(policy, observations, noise) for noise in double(jax.random.normal(key, (N, 256, 2)))]
    multiplier = np.exp(before["multiplier"].params) if lagrange else 1.0

    def conservative(params):
        return multiplier * ALPHA * sum(mean(gap, batch) - TAU for gap in gaps(params, batch, drawn))

    np.testing.assert_allclose(metrics["critic/gap"], mean(gaps(critic, batch, drawn).mean(0), batch), rtol=1e-3)
    check_critic(before, after, targets, batch, metrics, added=conservative, rate=5e-4)
    if lagrange:
        check_scalar(before, after, "multiplier", metrics["critic/gap"] - TAU, rate=5e-4)
    assert ("multiplier" in before) == lagrange

    entropy = -mean(sample(before["policy"].params, batch.observations, normal[0][0])[1], batch)
    np.testing.assert_allclose(metrics["policy/entropy"], entropy, rtol=1e-4)
    check_scalar(before, after, "temperature", -(entropy + 2))
    temperature = np.exp(after["temperature"].params)

    def loss(policy):
        actions, log_density = sample(policy, batch.observations, normal[0][0])
        of_actions = values(before["critic"].params, batch.observations, actions).min(0)
        return mean(temperature * log_density - of_actions, batch)

    check(loss, before, after, metrics, "policy")


def test_the_logsumexp_estimates_the_integral_of_exp_q():
    """Q(s, a) = s + 3 a on one action dimension: the integral over [-1, 1] is exp(s) (e^3 - e^-3) / 3."""

    class Linear:
        def apply(self, variables, observations, actions):
            return jnp.stack([(observations + 3.0 * actions)[..., 0]] * 2)

    policy = SquashedPolicy(1, 1, width=4)
    spec = cql.Spec(policy, Linear(), batch_size=2, context_length=2, actions=100_000)
    states = jnp.array([[0.0], [1.0]])
    zeros, ones = jnp.zeros(2), jnp.ones(2)
    batch = Transitions(states, jnp.zeros((2, 1)), zeros, states, jnp.zeros((2, 1)), ones, ones)
    params = policy.init(jax.random.key(0), states)["params"]
    compared = cql.compared_actions(params, batch, jax.random.key(1), spec)
    gap = cql.conservative_gap(None, jnp.zeros((2, 2)), *compared, batch, spec)
    expected = np.log((np.exp(3.0) - np.exp(-3.0)) / 3.0) + 0.5
    np.testing.assert_allclose(gap, expected, atol=0.02)
