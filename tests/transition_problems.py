"""For the algorithms on single transitions: networks and losses in float64 NumPy, one update, and problems whose answer
is known."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import toy_problems
from float64 import check_gradient, dense, double, layer_norm

from rvdt_jax.algorithms import transitions
from rvdt_jax.algorithms.base import get_algorithm, update_key
from rvdt_jax.data.episodes import Episodes
from rvdt_jax.data.rebalance import select_experts
from rvdt_jax.data.store import make_normalizer, make_store
from rvdt_jax.train.driver import init_states, train_chunk

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


def td_loss(critic, targets, batch, of=values):
    errors = (of(critic, batch.observations, batch.actions) - targets) ** 2
    return mean(errors.sum(0), batch)


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


def check_critic(before, after, targets, batch, metrics, factor, added=lambda params: 0.0, of=values, rate=3e-4):
    def loss(params):
        return factor * td_loss(params, targets, batch, of)

    np.testing.assert_allclose(metrics["critic/td_loss"], loss(before["critic"].params), rtol=1e-4)
    check(lambda params: loss(params) + added(params), before, after, metrics, "critic", rate)


def check(loss, before, after, metrics, name, rate=3e-4):
    check_gradient(loss, before[name].params, metrics[f"{name}/grad_norm"], after[name], 0.0, rate=rate)


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
