"""The fused update: every variant moves what it should and nothing else, and the scan is the loop."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from compilation import WITH_EMITTERS

from rvdt_jax.algorithms.build import make_coefficients, make_spec
from rvdt_jax.algorithms.sequence import policy_loss, shuffle_critics, update, update_policy
from rvdt_jax.algorithms.state import init_state
from rvdt_jax.algorithms.variants import VARIANTS
from rvdt_jax.data.sampler import sample_batch
from rvdt_jax.train import driver
from rvdt_jax.train.driver import init_states, train_chunk

EXTRAS = {
    "RVDT with kl_explicit": {"variant": "RVDT", "loss__rebalancing": "kl_explicit"},
    "QT with its state prediction": {"variant": "QT", "loss__state_prediction": 1.0},
    "RDT with learned std": {"variant": "RDT", "policy__learn_std": True},
}
CASES = {name: {"variant": name} for name in VARIANTS} | EXTRAS


def prepare(config):
    spec = make_spec(config, 4, 2, 30)
    return spec, make_coefficients(config)


def assert_trees_equal(left, right, **tolerance):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(raw(a), raw(b), **tolerance), left, right)


def raw(array):
    return jax.random.key_data(array) if jnp.issubdtype(array.dtype, jax.dtypes.prng_key) else array


def moved(before, after) -> bool:
    """Whether anything in the tree moved; some biases begin at a stationary point."""
    return any(bool((a != b).any()) for a, b in zip(jax.tree.leaves(before), jax.tree.leaves(after), strict=True))


def three_updates(store, coefficients, spec):
    """Compiled with the fusion emitters that users have: for what is promised to the last bits."""
    options = {"spec": spec, "updates": 3, "map_seeds": "loop"}
    states = init_states(jnp.asarray([0]), spec=spec)
    compiled = train_chunk.lower(states, store, coefficients, **options).compile(WITH_EMITTERS)
    return compiled(states, store, coefficients)


@pytest.mark.parametrize("case", CASES)
def test_one_step_of_every_variant_is_finite_and_moves_the_intended_parameters(case, small_config, store):
    config = small_config(**CASES[case])
    spec, coefficients = prepare(config)
    before = init_state(0, spec)
    after, metrics = jax.jit(update, static_argnames="spec")(before, store, coefficients, spec=spec)
    assert all(np.isfinite(value) for value in metrics.values())
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(after.replace(key=0)))
    assert moved(before.policy, after.policy)
    assert after.step == 1
    learns_critic = config.loss.q_guidance
    assert (after.critic is not None) == (after.ema_policy is not None) == learns_critic
    if learns_critic:
        assert moved(before.critic, after.critic)
        assert moved(before.target_critic, after.target_critic)
    clones = config.loss.rebalancing == "kl_explicit"
    assert (after.expert is not None) == clones
    if clones:
        assert "policy/kl" in metrics
    assert ("policy/state_loss" in metrics) == (config.loss.state_prediction > 0)


def test_the_policy_loss_of_a_plain_variant_is_its_nll(small_config, store):
    spec, coefficients = prepare(small_config(variant="RDT", model__dropout=0.0))
    state = init_state(0, spec)
    batch = sample_batch(jax.random.key(1), store, spec.batch_size, spec.context_length)
    loss, metrics = policy_loss(state.policy, state, batch, jax.random.key(2), coefficients, spec)
    weights = batch.mask * (1 + coefficients.alpha * batch.expert[:, None])
    output = spec.policy.apply(
        {"params": state.policy}, batch.observations, batch.actions, batch.returns_to_go, batch.timesteps
    )
    error = np.square(output.mean - batch.actions).mean(-1)
    constant = spec.std**2 * (2 * np.log(spec.std) + np.log(2 * np.pi))
    np.testing.assert_allclose(loss, ((error + constant) * weights).sum() / batch.mask.sum(), rtol=1e-4)
    assert metrics["policy/weighted_nll"] == loss


def test_q_guidance_gives_the_critic_no_gradient(small_config, store):
    spec, coefficients = prepare(small_config(variant="RVDT"))
    state = init_state(0, spec)
    batch = sample_batch(jax.random.key(1), store, spec.batch_size, spec.context_length)

    without, with_guidance = (
        jax.grad(
            lambda policy, eta=eta: policy_loss(
                policy, state, batch, jax.random.key(2), coefficients.replace(eta=jnp.float32(eta)), spec
            )[0]
        )(state.policy)
        for eta in (0.0, 1.0)
    )
    assert moved(without, with_guidance)
    after, _ = update_policy(state, batch, jax.random.key(2), coefficients, spec)
    assert moved(state.policy, after.policy)
    for part in ("critic", "target_critic", "critic_optimizer", "ema_policy"):
        assert_trees_equal(getattr(state, part), getattr(after, part), rtol=0, atol=0)


@pytest.mark.parametrize("rebalancing", ["kl", "dup"])
def test_alpha_zero_is_no_rebalancing_bit_for_bit(rebalancing, small_config, store):
    results = []
    for options in ({"loss__rebalancing": rebalancing, "loss__alpha": 0.0}, {"loss__rebalancing": "none"}):
        spec, coefficients = prepare(small_config(variant="RVDT", **options))
        states, _ = three_updates(store, coefficients, spec)
        results.append(states.policy)
    jax.tree.map(np.testing.assert_array_equal, *results)


def test_a_scan_of_five_equals_five_updates(small_config, store):
    spec, coefficients = prepare(small_config(variant="RVDT"))
    state = init_state(3, spec)
    for _ in range(5):
        state, _ = jax.jit(update, static_argnames="spec")(state, store, coefficients, spec=spec)
    scanned, _ = train_chunk(
        init_states(jnp.asarray([3]), spec=spec), store, coefficients, spec=spec, updates=5, map_seeds="vmap"
    )
    assert_trees_equal(state, jax.tree.map(lambda leaf: leaf[0], scanned), rtol=2e-4, atol=1e-5)


@pytest.mark.parametrize("map_seeds", ["vmap", "loop"])
def test_a_seed_among_others_equals_the_seed_alone(map_seeds, small_config, store):
    spec, coefficients = prepare(small_config(variant="RVDT"))

    def run(seeds, mapping):
        states = init_states(jnp.asarray(seeds), spec=spec)
        return train_chunk(states, store, coefficients, spec=spec, updates=4, map_seeds=mapping)[0]

    alone = jax.tree.map(lambda leaf: leaf[0], run([7], "loop"))
    among = jax.tree.map(lambda leaf: leaf[1], run([5, 7, 9], map_seeds))
    assert_trees_equal(alone, among, rtol=2e-4, atol=1e-5)


def test_seeds_differ(small_config, store):
    spec, coefficients = prepare(small_config(variant="DT"))
    states = init_states(jnp.asarray([0, 1]), spec=spec)
    states, metrics = train_chunk(states, store, coefficients, spec=spec, updates=1, map_seeds="loop")
    assert metrics["policy/nll"][0] != metrics["policy/nll"][1]


def test_other_coefficients_and_seeds_compile_nothing(small_config, store):
    driver.train_chunk.clear_cache()
    for eta, alpha, rate, seed in ((1.0, 1.0, 1e-3, 0), (2.0, 0.5, 1e-4, 5)):
        config = small_config(variant="RVDT", loss__eta=eta, loss__alpha=alpha, train__learning_rate=rate)
        spec, coefficients = prepare(config)
        train_chunk(
            init_states(jnp.asarray([seed]), spec=spec), store, coefficients, spec=spec, updates=1, map_seeds="loop"
        )
    assert driver.train_chunk._cache_size() == 1


def test_targets_follow_their_rates(small_config, store):
    spec, coefficients = prepare(small_config(variant="QT"))
    state = init_state(0, spec)
    step = jax.jit(update, static_argnames="spec")
    for number in range(1, 7):
        before = state
        state, _ = step(state, store, coefficients, spec=spec)
        expected_critic = jax.tree.map(lambda old, new: 0.995 * old + 0.005 * new, before.target_critic, state.critic)
        assert_trees_equal(state.target_critic, expected_critic, rtol=1e-5, atol=1e-7)
        if number <= 2:  # ema.start
            expected_policy = state.policy
        elif number % 2 == 0:  # ema.every
            expected_policy = jax.tree.map(lambda old, new: 0.995 * old + 0.005 * new, before.ema_policy, state.policy)
        else:
            expected_policy = before.ema_policy
        assert_trees_equal(state.ema_policy, expected_policy, rtol=1e-5, atol=1e-7)


def test_the_learning_rate_schedule_scales_the_step_not_the_gradient(small_config, store):
    # Adam is blind to the gradient's scale: at the end of the cosine nothing may move, weight decay included.
    config = small_config(variant="DT", train__lr_decay_steps=3)
    spec, coefficients = prepare(config)
    state = init_state(0, spec).replace(step=jnp.int32(3))
    after, _ = jax.jit(update, static_argnames="spec")(state, store, coefficients, spec=spec)
    assert_trees_equal(state.policy, after.policy, rtol=0, atol=1e-9)


FAMILY = ("BC", "RVDT with kl_explicit", "QT with its state prediction")


@pytest.mark.parametrize("case", FAMILY)
def test_the_fast_update_is_the_plain_one(case, small_config, store):
    """Twenty updates of the fast layers and of flax's, from the same parameters on the same batches."""
    options = CASES[case] | {"model__dropout": 0.0}

    def run(plain):
        spec, coefficients = prepare(small_config(**options))
        modules = {name: getattr(spec, name).clone(plain=plain) for name in ("policy", "critic", "expert")}
        spec = dataclasses.replace(spec, **modules)
        states = init_states(jnp.asarray([4]), spec=spec)
        return train_chunk(states, store, coefficients, spec=spec, updates=20, map_seeds="loop")

    (fast, fast_metrics), (plain, plain_metrics) = run(False), run(True)
    assert_trees_equal(fast_metrics, plain_metrics, rtol=1e-4, atol=1e-6)
    assert_trees_equal(fast.policy, plain.policy, rtol=1e-3, atol=2e-5)


def test_guidance_draws_both_orders_of_the_critics(small_config):
    spec, _ = prepare(small_config(variant="QT"))
    critic = init_state(0, spec).critic
    for swap, expected in ((False, ("q1", "q2")), (True, ("q2", "q1"))):
        for chosen, name in zip(shuffle_critics(critic, jnp.asarray(swap)), expected, strict=True):
            jax.tree.map(np.testing.assert_array_equal, chosen, critic[name])


@pytest.mark.parametrize("map_seeds", ["loop", "vmap"])
def test_updates_that_are_not_finite_are_skipped_and_counted(map_seeds, small_config, store):
    """One step of the data is NaN: batches that draw it would ruin everything, and the others are not held up."""
    poisoned = store.replace(rewards=store.rewards.at[7].set(jnp.nan))
    spec, coefficients = prepare(small_config(variant="QT", train__on_divergence="skip"))
    options = {"spec": spec, "updates": 40, "map_seeds": map_seeds}
    states, metrics = train_chunk(init_states(jnp.asarray([0, 1]), spec=spec), poisoned, coefficients, **options)
    assert ((metrics["train/skipped"] > 0.0) & (metrics["train/skipped"] < 1.0)).all()
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves((states.replace(key=0), metrics)))
    assert (states.step == 40).all()
    stopping, _ = prepare(small_config(variant="QT"))
    begun = init_states(jnp.asarray([0, 1]), spec=stopping)
    _, metrics = train_chunk(begun, poisoned, coefficients, **options | {"spec": stopping})
    assert not np.isfinite(metrics["critic/td_loss"]).any()
    assert "train/skipped" not in metrics


def test_skipping_changes_nothing_where_all_is_finite(small_config, store):
    results = []
    for mode in ("skip", "stop"):
        spec, coefficients = prepare(small_config(variant="RVDT", train__on_divergence=mode))
        states, metrics = three_updates(store, coefficients, spec)
        results.append((states.replace(key=0), {k: v for k, v in metrics.items() if k != "train/skipped"}))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), *results)


def test_a_skipped_update_leaves_the_state_but_for_its_step(small_config, store):
    spec, coefficients = prepare(small_config(variant="RVDT", train__on_divergence="skip"))
    before = init_state(0, spec)
    bad = coefficients.replace(learning_rate=jnp.float32(jnp.nan))
    after, metrics = jax.jit(update, static_argnames="spec")(before, store, bad, spec=spec)
    assert metrics["train/skipped"] == 1.0
    assert after.step == 1
    assert_trees_equal(before.replace(step=after.step), after, rtol=0, atol=0)
