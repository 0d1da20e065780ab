"""TD3+BC, ReBRAC, IQL and one-step RL: one whole update against float64, and problems whose answer is known."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import toy_problems
from float64 import check_gradient, dense, double, layer_norm

from rvdt_jax.algorithms import transitions
from rvdt_jax.algorithms.base import get_algorithm, update_key
from rvdt_jax.data.episodes import Episodes
from rvdt_jax.data.rebalance import select_experts
from rvdt_jax.data.store import make_normalizer, make_store
from rvdt_jax.train.driver import init_states, train_chunk

NAMES = ("TD3+BC", "ReBRAC", "IQL", "O-RL")
SMALL = {"model__critic_width": 8, "train__batch_size": 256, "train__grad_clip_norm": 0.05}
GAMMA, RATE, SEEDS = 0.9, 0.1, 20


def mlp(p, x):
    layers = sum(name.startswith("Dense") for name in p)
    for layer in range(layers - 1):
        x = dense(p[f"Dense_{layer}"], x)
        x = np.maximum(layer_norm(p[f"LayerNorm_{layer}"], x) if f"LayerNorm_{layer}" in p else x, 0.0)
    return dense(p[f"Dense_{layers - 1}"], x)


def act(policy, observations):
    return np.tanh(mlp(policy["MLP_0"], observations))


def values(critic, observations, actions):
    return np.stack([mlp(critic[name], np.concatenate([observations, actions], -1))[:, 0] for name in ("q1", "q2")])


def mean(x, batch):
    return (x * batch.mask).sum() / batch.mask.sum()


def td_loss(critic, targets, batch):
    errors = (values(critic, batch.observations, batch.actions) - targets) ** 2
    return mean(errors.sum(0), batch)


def td3_targets(before, batch, penalty):
    actions = act(before["policy"].target, batch.next_observations)
    following = values(before["critic"].target, batch.next_observations, actions).min(0)
    following -= penalty * ((actions - batch.next_actions) ** 2).sum(-1)
    return batch.rewards + GAMMA * batch.continues * following


def td3_policy_loss(policy, critic, batch, eta, scale=None):
    actions = act(policy, batch.observations)
    followed = values(critic, batch.observations, actions)[0]
    scale = mean(np.abs(followed), batch) if scale is None else scale
    return mean(((actions - batch.actions) ** 2).mean(-1), batch) - eta * mean(followed, batch) / scale, scale


def state_value(value, observations):
    return mlp(value, observations)[:, 0]


def value_loss(value, of_data, batch, expectile):
    u = of_data - state_value(value, batch.observations)
    return mean(np.where(u < 0, 1 - expectile, expectile) * u**2, batch)


def iql_policy_loss(policy, weights, batch):
    std = np.exp(policy["log_std"])
    z = (batch.actions - act(policy, batch.observations)) / std
    return mean(weights * (0.5 * z**2 + np.log(std) + 0.5 * np.log(2 * np.pi)).sum(-1), batch)


@pytest.fixture(params=NAMES)
def case(request, small_config, store):
    """One update from parameters of a trained network's size: its pieces before and after, in float64."""
    settings = {"loss__gamma": GAMMA, "loss__target_rate": RATE, "td3__policy_every": 1, "td3__policy_noise": 0.0}
    penalty = {"td3__critic_penalty": 0.3, "loss__eta": 0.7} if request.param == "ReBRAC" else {}
    config = small_config(variant=request.param, **SMALL, **settings, **penalty)
    algorithm = get_algorithm(request.param)
    spec, coefficients = algorithm.make_spec(config, 4, 2, 30), algorithm.make_coefficients(config)
    state = algorithm.init(jax.random.key(0), spec)
    grown = {
        name: learner.replace(
            params=jax.tree.map(lambda leaf: 1.5 * leaf + 0.1, learner.params),
            target=learner.target and jax.tree.map(lambda leaf: 1.2 * leaf, learner.target),
        )
        for name, learner in state.learners.items()
    }
    state = state.replace(learners=grown)
    is_td3 = request.param in ("TD3+BC", "ReBRAC")
    key = jax.random.split(update_key(state))[0] if is_td3 else update_key(state)
    batch = transitions.draw_transitions(key, store, spec)
    with jax.default_matmul_precision("highest"):
        after, metrics = jax.jit(algorithm.update, static_argnames="spec")(state, store, coefficients, spec=spec)
    batch = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), batch)
    assert batch.mask.min() == 0  # some steps are cut off
    assert batch.continues.min() == 0  # and some end
    return config, double(state.learners), double(after.learners), batch, metrics


def test_a_whole_update_matches_the_reference(case):
    config, before, after, batch, metrics = case
    (of_td3 if config.variant in ("TD3+BC", "ReBRAC") else of_iql)(config, before, after, batch, metrics)
    follows = after["critic"].target, before["critic"].target, after["critic"].params
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-6), follows[0], moved(*follows[1:]))


def moved(target, params):
    return jax.tree.map(lambda old, new: (1 - RATE) * old + RATE * new, target, params)


def of_td3(config, before, after, batch, metrics):
    targets = td3_targets(before, batch, config.td3.critic_penalty)
    check_critic(before, after, targets, batch, metrics, 1.0)
    critic, eta = after["critic"].params, config.loss.eta
    loss, scale = td3_policy_loss(before["policy"].params, critic, batch, eta)
    np.testing.assert_allclose(metrics["policy/loss"], loss, rtol=1e-4)
    check(lambda p: td3_policy_loss(p, critic, batch, eta, scale)[0], before, after, metrics, "policy")
    jax.tree.map(
        functools.partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-6),
        after["policy"].target,
        moved(before["policy"].target, after["policy"].params),
    )


def of_iql(config, before, after, batch, metrics):
    of_data = values(before["critic"].target, batch.observations, batch.actions).min(0)
    expectile = {"IQL": 0.7, "O-RL": 0.5}[config.variant]
    loss = functools.partial(value_loss, of_data=of_data, batch=batch, expectile=expectile)
    np.testing.assert_allclose(metrics["value/loss"], loss(before["value"].params), rtol=1e-4)
    check(loss, before, after, metrics, "value")
    advantages = of_data - state_value(before["value"].params, batch.observations)
    weights = np.minimum(np.exp(3.0 * advantages), 100.0)
    loss = functools.partial(iql_policy_loss, weights=weights, batch=batch)
    np.testing.assert_allclose(metrics["policy/loss"], loss(before["policy"].params), rtol=1e-4)
    check(loss, before, after, metrics, "policy")
    following = state_value(after["value"].params, batch.next_observations)
    if config.variant == "O-RL":
        following = values(before["critic"].target, batch.next_observations, batch.next_actions).min(0)
    check_critic(before, after, batch.rewards + GAMMA * batch.continues * following, batch, metrics, 0.5)


def check_critic(before, after, targets, batch, metrics, factor):
    def loss(params):
        return factor * td_loss(params, targets, batch)

    np.testing.assert_allclose(metrics["critic/td_loss"], loss(before["critic"].params), rtol=1e-4)
    check(loss, before, after, metrics, "critic")


def check(loss, before, after, metrics, name):
    check_gradient(loss, before[name].params, metrics[f"{name}/grad_norm"], after[name], 0.0)


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


def bandit():
    """Right throws pay more on average, left ones rarely but highly; the throw must go to the right."""
    return toy_problems.bandit_trajectories(), lambda act: act(np.zeros((1, 1)))[:, 0, 0] > 0.3


def corridor():
    """No trajectory leads from the start to the goal; two of them, stitched, do. The policy must arrive."""

    def arrives(act):
        positions, arrived = np.full(SEEDS, toy_problems.START), np.zeros(SEEDS, bool)
        for _ in range(toy_problems.CORRIDOR_STEPS):
            actions = act(positions[:, None])[np.arange(SEEDS), np.arange(SEEDS), 0]
            positions, rewards = toy_problems.corridor_step(positions, actions)
            arrived |= rewards > 0
        return arrived

    return toy_problems.corridor_trajectories(), arrives


# One-step RL cannot pass the corridor: under the data's own policy, which turns back, going on is worth nothing.
KNOWN = [(name, bandit) for name in NAMES] + [(name, corridor) for name in ("TD3+BC", "IQL")]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "problem"), KNOWN)
def test_twenty_seeds_of_twenty_find_what_is_right(name, problem, small_config):
    """In either problem a high return misleads who only conditions on it."""
    data, is_right = problem()
    episodes = Episodes("toy", **data)
    normalizer, experts = make_normalizer(episodes), select_experts(episodes.returns, episodes.lengths)
    store = make_store(episodes, experts, normalizer, return_scale=1.0, reward_scale=5.0)
    settings = {"model__critic_width": 64, "train__batch_size": 64, "loss__target_rate": 0.05, "loss__gamma": 0.9}
    settings |= {"train__learning_rate": 3e-4, "train__critic_learning_rate": 1e-3, "train__lr_decay_steps": 4000}
    if problem is corridor:  # the data mostly go the other way: values must count for more
        settings |= {"loss__eta": 30.0, "iql__temperature": 30.0, "iql__expectile": 0.9}
    config = small_config(variant=name, **settings)
    algorithm = get_algorithm(name)
    spec = algorithm.make_spec(config, 1, 1, 30)
    states = init_states(jnp.arange(SEEDS), algorithm, spec)
    how = {"algorithm": algorithm, "spec": spec, "updates": 4000, "map_seeds": "vmap"}
    states, _ = train_chunk(states, store, algorithm.make_coefficients(config), **how)

    def act(observations):
        seen = normalizer(jnp.asarray(observations, jnp.float32))
        params = algorithm.acting_params(states)["policy"]
        return np.asarray(jax.vmap(lambda params: spec.policy.apply({"params": params}, seen).mean)(params))

    assert is_right(act).all()
