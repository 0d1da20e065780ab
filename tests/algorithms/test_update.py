"""The fused update: every variant moves what it should and nothing else, and the scan is the loop."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from agreement import assert_trees_equal
from compilation import WITH_EMITTERS

from rvdt_jax.algorithms.sequence import SEQUENCE, init, make_coefficients, make_spec, shuffle_critics, update
from rvdt_jax.algorithms.variants import VARIANTS
from rvdt_jax.train.driver import init_states, train_chunk

EXTRAS = {
    "RVDT with kl_explicit": {"variant": "RVDT", "loss__rebalancing": "kl_explicit"},
    "QT with its state prediction": {"variant": "QT", "loss__state_prediction": 1.0},
    "RDT with learned std": {"variant": "RDT", "policy__learn_std": True},
}
FAMILY = [name for name, variant in VARIANTS.items() if variant.algorithm.endswith(":SEQUENCE")]
CASES = {name: {"variant": name} for name in FAMILY} | EXTRAS
FAST = ("BC", "QT", "RVDT", "RVDT with kl_explicit")


def prepare(config):
    return make_spec(config, 4, 2, 30), make_coefficients(config)


step_once = jax.jit(update, static_argnames="spec")


def train(store, coefficients, spec, updates, seeds=(0,), map_seeds="loop"):
    """The states and metrics after some updates."""
    static = {"algorithm": SEQUENCE, "spec": spec, "updates": updates, "map_seeds": map_seeds}
    return train_chunk(init_states(jnp.asarray(seeds), SEQUENCE, spec), store, coefficients, **static)


@pytest.mark.parametrize("case", [pytest.param(case, marks=() if case in FAST else pytest.mark.slow) for case in CASES])
def test_one_step_of_every_variant_is_finite_and_moves_its_learners(case, small_config, store):
    config = small_config(**CASES[case])
    spec, coefficients = prepare(config)
    before = init(jax.random.key(0), spec)
    after, metrics = step_once(before, store, coefficients, spec=spec)
    assert all(np.isfinite(value) for value in metrics.values())
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(after.learners))
    assert after.step == 1
    guided, clones = config.loss.q_guidance, config.loss.rebalancing == "kl_explicit"
    expected = ["policy"] + ["critic"] * guided + ["expert"] * clones
    assert sorted(after.learners) == sorted(expected)
    for name, learner in after.learners.items():
        moved = jax.tree.map(lambda a, b: bool((a != b).any()), before.learners[name].params, learner.params)
        assert any(jax.tree.leaves(moved))  # some biases begin at a stationary point
        assert (learner.target is not None) == (guided and name != "expert")
    assert ("policy/kl" in metrics) == clones
    assert ("policy/state_loss" in metrics) == (config.loss.state_prediction > 0)


NONE = {"loss__rebalancing": "none"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("one", "other", "rtol"),
    [
        ({"loss__rebalancing": "kl", "loss__alpha": 0.0}, NONE, 0.0),
        ({"loss__rebalancing": "dup", "loss__alpha": 0.0}, NONE, 0.0),
        ({"train__on_divergence": "skip"}, {"train__on_divergence": "stop"}, 1e-6),
    ],
)
def test_settings_that_change_nothing(one, other, rtol, small_config, store):
    """No rebalancing is that of alpha 0, bit for bit; skipping does nothing where all is finite."""
    results = []
    for settings in (one, other):
        spec, coefficients = prepare(small_config(variant="RVDT", **settings))
        inputs = init_states(jnp.zeros(1, jnp.int32), SEQUENCE, spec), store, coefficients
        static = {"algorithm": SEQUENCE, "spec": spec, "updates": 3, "map_seeds": "loop"}
        states, metrics = train_chunk.lower(*inputs, **static).compile(WITH_EMITTERS)(*inputs)  # as users compile
        metrics.pop("train/skipped", None)
        results.append((states.learners, metrics))
    assert_trees_equal(*results, rtol=rtol)


@pytest.mark.parametrize("map_seeds", ["loop", pytest.param("vmap", marks=pytest.mark.slow)])
def test_a_scan_over_several_seeds_is_single_updates_of_each(map_seeds, small_config, store):
    spec, coefficients = prepare(small_config(variant="RVDT"))
    alone = init(jax.random.key(7), spec)
    for _ in range(4):
        alone, _ = step_once(alone, store, coefficients, spec=spec)
    states, metrics = train(store, coefficients, spec, 4, (5, 7, 9), map_seeds)
    among = jax.tree.map(lambda leaf: leaf[1], states)
    assert_trees_equal(alone, among, rtol=2e-4, atol=1e-5)
    assert len(set(metrics["policy/nll"].tolist())) == 3  # seeds differ


def test_other_coefficients_and_seeds_compile_nothing(small_config, store):
    known = train_chunk._cache_size()
    for alpha, rate, seed in ((1.0, 1e-3, 0), (0.5, 1e-4, 5)):
        more = {"model__policy_fourier_features": 2, "train__learning_rate": rate}
        spec, coefficients = prepare(small_config(variant="RDT", loss__alpha=alpha, **more))
        train(store, coefficients, spec, 1, (seed,))
    assert train_chunk._cache_size() == known + 1


def test_targets_follow_their_rates(small_config, store):
    spec, coefficients = prepare(small_config(variant="QT"))
    state = init(jax.random.key(0), spec)

    def slow(learner, params):
        return jax.tree.map(lambda old, new: 0.995 * old + 0.005 * new, learner.target, params)

    for number in range(1, 7):
        before = state.learners
        state, _ = step_once(state, store, coefficients, spec=spec)
        policy, critic = state.learners["policy"], state.learners["critic"]
        assert_trees_equal(critic.target, slow(before["critic"], critic.params), rtol=1e-5, atol=1e-7)
        expected = before["policy"].target if number % 2 else slow(before["policy"], policy.params)  # ema.every is 2
        assert_trees_equal(policy.target, policy.params if number <= 2 else expected, rtol=1e-5, atol=1e-7)  # ema.start


def test_guidance_draws_both_orders_of_the_critics(small_config):
    critic = init(jax.random.key(0), prepare(small_config(variant="QT"))[0]).learners["critic"].params
    for swap, expected in ((False, ("q1", "q2")), (True, ("q2", "q1"))):
        for chosen, name in zip(shuffle_critics(critic, jnp.asarray(swap)), expected, strict=True):
            jax.tree.map(np.testing.assert_array_equal, chosen, critic[name])


@pytest.mark.parametrize("map_seeds", ["loop", pytest.param("vmap", marks=pytest.mark.slow)])
def test_updates_that_are_not_finite_are_skipped_and_counted(map_seeds, small_config, store):
    """One step of the data is NaN: batches that draw it would ruin everything, and the others are not held up."""
    poisoned = store.replace(actions=store.actions.at[7].set(jnp.nan))
    spec, coefficients = prepare(small_config(variant="DT", train__on_divergence="skip"))
    states, metrics = train(poisoned, coefficients, spec, 40, (0, 1), map_seeds)
    assert ((metrics["train/skipped"] > 0.0) & (metrics["train/skipped"] < 1.0)).all()
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves((states.learners, metrics)))
    assert (states.step == 40).all()
    # One that is skipped leaves the state as it was but for its step.
    bad = coefficients.replace(learning_rate=jnp.float32(jnp.nan))
    before = init_states(jnp.asarray([0, 1]), SEQUENCE, spec)
    after, metrics = train(store, bad, spec, 40, (0, 1), map_seeds)
    assert (metrics["train/skipped"] == 1.0).all()
    assert_trees_equal(before.learners, after.learners, rtol=0)
    stopping, _ = prepare(small_config(variant="DT"))
    _, metrics = train(poisoned, coefficients, stopping, 40, (0, 1), map_seeds)
    assert not np.isfinite(metrics["policy/nll"]).any()
    assert "train/skipped" not in metrics
