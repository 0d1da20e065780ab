"""For the algorithms on single transitions: networks and losses in float64 NumPy, one update, and problems whose answer
is known."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import toy_problems
from float64 import check_gradient, double, mlp, relu

from rvdt_jax.algorithms import transitions
from rvdt_jax.algorithms.base import get_algorithm, update_key
from rvdt_jax.data.episodes import Episodes
from rvdt_jax.data.rebalance import select_experts
from rvdt_jax.data.store import make_normalizer, make_store
from rvdt_jax.train.driver import init_states, train_chunk

GAMMA, RATE, SEEDS = 0.9, 0.1, 20
SMALL = {"model__critic_width": 8, "train__batch_size": 256, "train__grad_clip_norm": 0.05}
SMALL |= {"loss__gamma": GAMMA, "loss__target_rate": RATE, "train__learning_rate": 3e-4}


def act(policy, observations):
    return np.tanh(mlp(policy["MLP_0"], observations))


def gaussian(policy, observations):
    """Mean and log-std of the action before the tanh."""
    mu, log_std = np.split(mlp(policy["MLP_0"], observations), 2, -1)
    return mu, np.clip(log_std, -20, 2)


def values(critic, observations, actions, activation=relu):
    seen = np.concatenate([observations, actions], -1)
    return np.stack([mlp(critic[name], seen, activation)[:, 0] for name in ("q1", "q2")])


def backup(before, batch, drawn, weight=0.6):
    """r + gamma times the best action's value, each between the smaller and the larger of the critics'."""
    each = np.stack([values(before["critic"].target, batch.next_observations, actions) for actions in drawn])
    return batch.rewards + GAMMA * batch.continues * (weight * each.min(1) + (1 - weight) * each.max(1)).max(0)


def mean(x, batch):
    return (x * batch.mask).sum() / batch.mask.sum()


def close(ours, expected):
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-6), ours, expected)


def check_follows(before, after, name):
    """The target has moved toward the parameters."""
    old, new = before[name].target, after[name].params
    close(after[name].target, jax.tree.map(lambda old, new: (1 - RATE) * old + RATE * new, old, new))


def one_update(config, store, keys=1, step=0):
    """One update number ``step`` from parameters of a trained network's size: its pieces before and after, in float64.

    The algorithm splits the update's key into ``keys``, the first of which draws the batch; all come back.
    """
    algorithm = get_algorithm(config.variant)
    spec, coefficients = algorithm.make_spec(config, 4, 2, 30), algorithm.make_coefficients(config)
    state = algorithm.init(jax.random.key(0), spec)
    grown = {
        name: learner.replace(
            params=jax.tree.map(lambda leaf: 1.5 * leaf + 0.1, learner.params),
            target=learner.target and jax.tree.map(lambda leaf: 1.2 * leaf, learner.target),
        )
        for name, learner in state.learners.items()
    }
    state = state.replace(learners=grown, step=jnp.int32(step))
    keys = [update_key(state)] if keys == 1 else jax.random.split(update_key(state), keys)
    batch = double(transitions.draw_transitions(keys[0], store, spec))
    with jax.default_matmul_precision("highest"):
        after, metrics = jax.jit(algorithm.update, static_argnames="spec")(state, store, coefficients, spec=spec)
    assert batch.mask.min() == 0  # some steps are cut off
    assert batch.continues.min() == 0  # and some end
    return double(state.learners), double(after.learners), batch, metrics, keys


def check_critic(before, after, targets, batch, metrics, factor=1.0, added=lambda params: 0.0, of=values, rate=3e-4):
    """The TD loss, the step down it and what is ``added`` to it, and the target after it."""

    def loss(params):
        errors = (of(params, batch.observations, batch.actions) - targets) ** 2
        return factor * mean(errors.sum(0), batch)

    np.testing.assert_allclose(metrics["critic/td_loss"], loss(before["critic"].params), rtol=1e-4)
    norm, learner = metrics["critic/grad_norm"], after["critic"]
    check_gradient(lambda params: loss(params) + added(params), before["critic"].params, norm, learner, 0.0, rate=rate)
    check_follows(before, after, "critic")


def check(loss, before, after, metrics, name, rate=3e-4, rtol=1e-4):
    """The loss, and the step down it."""
    np.testing.assert_allclose(metrics[f"{name}/loss"], loss(before[name].params), rtol=rtol)
    check_gradient(loss, before[name].params, metrics[f"{name}/grad_norm"], after[name], 0.0, rate=rate)


def check_scalar(before, after, name, direction, rate=3e-4):
    """Adam's first step of one number is as long as the learning rate."""
    np.testing.assert_allclose(after[name].params - before[name].params, rate * np.sign(direction), rtol=1e-3)


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


def twenty_seeds(config, problem, options=None):
    """Which of 20 seeds do what is right after all updates; in either problem a high return misleads who only
    conditions on it. ``options`` are the compiler's."""
    data, is_right = problem()
    episodes = Episodes("toy", **data)
    normalizer, experts = make_normalizer(episodes), select_experts(episodes.returns, episodes.lengths)
    store = make_store(episodes, experts, normalizer, return_scale=1.0, reward_scale=5.0)
    algorithm = get_algorithm(config.variant)
    spec = algorithm.make_spec(config, 1, 1, 30)
    states = init_states(jnp.arange(SEEDS), algorithm, spec)
    how = {"algorithm": algorithm, "spec": spec, "updates": config.train.steps, "map_seeds": "vmap"}
    inputs = states, store, algorithm.make_coefficients(config)
    states, _ = train_chunk.lower(*inputs, **how).compile(compiler_options=options or {})(*inputs)

    def act(observations):
        seen = normalizer(jnp.asarray(observations, jnp.float32))
        params = algorithm.acting_params(states)["policy"]
        return np.asarray(jax.vmap(lambda params: spec.policy.apply({"params": params}, seen).mean)(params))

    return is_right(act)
