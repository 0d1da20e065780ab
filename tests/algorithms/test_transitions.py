"""TD3+BC, ReBRAC, IQL and one-step RL: one whole update against float64, and what they refuse."""

import contextlib
import dataclasses
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from float64 import double
from transition_problems import GAMMA, SMALL, act, check, check_critic, check_follows, mean, mlp, one_update, values

from rvdt_jax.algorithms.base import get_algorithm
from rvdt_jax.data.episodes import Episodes
from rvdt_jax.data.rebalance import select_experts
from rvdt_jax.data.store import make_normalizer, make_store
from rvdt_jax.errors import UserError
from rvdt_jax.runs.hooks import _of_seed
from rvdt_jax.train.driver import init_states, train_chunk

NAMES = ("TD3+BC", "ReBRAC", "IQL", "O-RL")


@pytest.mark.parametrize("name", NAMES)
def test_a_whole_update_matches_the_reference(name, small_config, store):
    penalty = {"td3__critic_penalty": 0.3, "loss__eta": 0.7} if name == "ReBRAC" else {}
    config = small_config(variant=name, **SMALL, td3__policy_every=1, td3__policy_noise=0.0, **penalty)
    is_td3 = name in ("TD3+BC", "ReBRAC")
    before, after, batch, metrics, _ = one_update(config, store, keys=2 if is_td3 else 1)
    (of_td3 if is_td3 else of_iql)(config, before, after, batch, metrics)


def of_td3(config, before, after, batch, metrics):
    actions = act(before["policy"].target, batch.next_observations)
    following = values(before["critic"].target, batch.next_observations, actions).min(0)
    following -= config.td3.critic_penalty * ((actions - batch.next_actions) ** 2).sum(-1)
    check_critic(before, after, batch.rewards + GAMMA * batch.continues * following, batch, metrics)
    critic, eta = after["critic"].params, config.loss.eta
    actions = act(before["policy"].params, batch.observations)
    scale = mean(np.abs(values(critic, batch.observations, actions)[0]), batch)

    def loss(policy):
        actions = act(policy, batch.observations)
        worth = mean(values(critic, batch.observations, actions)[0], batch)
        return mean(((actions - batch.actions) ** 2).mean(-1), batch) - eta * worth / scale

    check(loss, before, after, metrics, "policy")
    check_follows(before, after, "policy")


def of_iql(config, before, after, batch, metrics, drops=False):
    of_data = values(before["critic"].target, batch.observations, batch.actions).min(0)
    expectile = {"IQL": 0.7, "O-RL": 0.5}[config.variant]

    def value_loss(value):
        u = of_data - mlp(value, batch.observations)[:, 0]
        return mean(np.where(u < 0, 1 - expectile, expectile) * u**2, batch)

    check(value_loss, before, after, metrics, "value")
    advantages = of_data - mlp(before["value"].params, batch.observations)[:, 0]
    weights = np.minimum(np.exp(3.0 * advantages), 100.0)

    def policy_loss(policy):
        std = np.exp(policy["log_std"])
        z = (batch.actions - act(policy, batch.observations)) / std
        return mean(weights * (0.5 * z**2 + np.log(std) + 0.5 * np.log(2 * np.pi)).sum(-1), batch)

    with pytest.raises(AssertionError) if drops else contextlib.nullcontext():
        check(policy_loss, before, after, metrics, "policy")
    following = mlp(after["value"].params, batch.next_observations)[:, 0]
    if config.variant == "O-RL":
        following = values(before["critic"].target, batch.next_observations, batch.next_actions).min(0)
    check_critic(before, after, batch.rewards + GAMMA * batch.continues * following, batch, metrics, factor=0.5)


def test_the_policy_waits_for_its_turn(small_config, store):
    config = small_config(variant="TD3+BC", **SMALL, td3__policy_every=3)
    algorithm = get_algorithm("TD3+BC")
    how = {"algorithm": algorithm, "spec": algorithm.make_spec(config, 4, 2, 30), "map_seeds": "loop"}
    states, policies, logged = init_states(jnp.zeros(1, jnp.int32), algorithm, how["spec"]), [], []
    for _ in range(6):
        policies.append(double(states.learners["policy"].params))
        states, metrics = train_chunk(states, store, algorithm.make_coefficients(config), updates=1, **how)
        logged.append(float(metrics["policy/error"][0]))
    policies.append(double(states.learners["policy"].params))
    same = [all(jax.tree.leaves(jax.tree.map(np.array_equal, *pair))) for pair in itertools.pairwise(policies)]
    assert same == [True, True, False] * 2
    assert [value == 0 for value in logged] == same
    again = init_states(jnp.zeros(1, jnp.int32), algorithm, how["spec"])
    for updates, expected in ((1, 0.0), (4, logged[2]), (1, logged[5])):  # of five updates one moves the policy
        again, metrics = train_chunk(again, store, algorithm.make_coefficients(config), updates=updates, **how)
        assert float(metrics["policy/error"][0]) == pytest.approx(expected, rel=1e-5)


def test_in_training_iqls_policy_drops_units_where_that_is_set(small_config, store):
    config = small_config(variant="IQL", **SMALL, iql__dropout=0.5)
    before, after, batch, metrics, _ = one_update(config, store, keys=2)
    of_iql(config, before, after, batch, metrics, drops=True)
    policy = get_algorithm("IQL").make_spec(config, 4, 2, 30).policy
    params, states = {"params": after["policy"].params}, np.asarray(batch.observations, np.float32)
    whole = policy.apply(params, states, method="act").mean
    np.testing.assert_allclose(whole, act(after["policy"].params, batch.observations), rtol=1e-4, atol=1e-5)
    drawn = [
        policy.apply(params, states, False, method="act", rngs={"dropout": key}).mean
        for key in jax.random.split(jax.random.key(0), 2)
    ]
    assert (np.asarray(drawn[0]) != drawn[1]).any()


def test_a_line_of_the_log_in_which_the_policy_did_not_move_has_no_metrics_of_it():
    metrics = {"policy/updated": [0.0, 0.5], "policy/loss": [0.0, 2.0], "critic/td_loss": [1.0, 3.0]}
    assert _of_seed(metrics, 0) == {"critic/td_loss": 1.0}
    assert _of_seed(metrics, 1) == {"policy/loss": 2.0, "critic/td_loss": 3.0}


@pytest.mark.parametrize("name", ["TD3+BC", "D-QL"])
def test_a_batch_that_is_wholly_cut_off_moves_nothing(name, small_config, episodes):
    """Such a batch is a matter of chance; ``check_data`` refuses data that have no other."""
    count = episodes.rewards.size
    cut = dataclasses.replace(episodes, lengths=np.ones(count, int), terminated=np.zeros(count, bool))
    store = make_store(cut, select_experts(cut.returns, cut.lengths), make_normalizer(cut), return_scale=1.0)
    algorithm, config = get_algorithm(name), small_config(variant=name, **SMALL, td3__policy_every=1)
    spec, coefficients = algorithm.make_spec(config, 4, 2, 30), algorithm.make_coefficients(config)
    before = algorithm.init(jax.random.key(0), spec)
    after, metrics = jax.jit(algorithm.update, static_argnames="spec")(before, store, coefficients, spec=spec)
    metrics.pop("policy/updated", None)
    assert all(np.isfinite(value) and value == 0 for value in metrics.values()), metrics
    for name in ("policy", "critic"):
        jax.tree.map(np.testing.assert_array_equal, after.learners[name].params, before.learners[name].params)


@pytest.mark.parametrize("name", [*NAMES, "CQL", "BCQ", "BEAR", "D-QL"])
def test_data_without_transitions_are_refused(name):
    fields = {"observations": np.zeros((30, 4), np.float32), "actions": np.zeros((30, 2), np.float32)}
    fields |= {"rewards": np.ones(30, np.float32), "lengths": np.ones(30, int), "terminated": np.zeros(30, bool)}
    with pytest.raises(UserError, match="own: every episode is cut off after one step"):
        get_algorithm(name).check_data(Episodes("own", **fields))
