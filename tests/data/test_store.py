"""The device store against a slow loop over episodes and steps."""

import dataclasses

import jax
import numpy as np
import pytest

from rvdt_jax.data.episodes import Episodes
from rvdt_jax.data.rebalance import select_experts
from rvdt_jax.data.store import make_normalizer, make_store
from rvdt_jax.tasks import get_task

SCALE = 7.0


@pytest.fixture
def experts(episodes):
    return select_experts(episodes.returns, episodes.lengths, fraction=0.2)


@pytest.fixture
def made(episodes, experts):
    """The store of ``episodes``, returns divided by SCALE."""
    return make_store(episodes, experts, make_normalizer(episodes), return_scale=SCALE)


def test_every_field_matches_a_slow_loop(episodes, experts, made):
    made, start, expert_steps = jax.device_get(made), 0, []
    for number, length in enumerate(episodes.lengths):
        end = start + int(length)
        for step in range(start, end):
            np.testing.assert_array_equal(made.actions[step], episodes.actions[step])
            assert made.rewards[step] == episodes.rewards[step]
            to_go = sum(float(reward) for reward in episodes.rewards[step:end])
            assert made.returns_to_go[step] == pytest.approx(to_go / SCALE, rel=1e-6)
            assert made.timesteps[step] == step - start
            assert made.last_steps[step] == end - 1
            assert made.terminals[step] == (episodes.terminated[number] and step == end - 1)
            assert made.expert[step] == experts.mask[number]
            expert_steps += [step] if experts.mask[number] else []
        start = end
    assert len(made.rewards) == end
    assert 0 < made.terminals.sum() < episodes.lengths.size  # some end, some are cut
    assert 0 < len(expert_steps) == experts.steps
    np.testing.assert_array_equal(made.expert_steps, expert_steps)


def test_the_critic_learns_from_shifted_rewards_and_the_policy_from_raw_returns():
    """QT's 4 (r - 0.5) of antmaze-large-diverse: -2 without and 2 with success."""
    task = get_task("antmaze-large-diverse-v0")
    vectors, rewards = np.zeros((5, 1), np.float32), np.array([0, 0, 1, 0, 0], np.float32)
    episodes = Episodes("toy", vectors, vectors, rewards, np.array([3, 2]), np.array([True, False]))
    experts = select_experts(episodes.returns, episodes.lengths)
    scales = {"reward_scale": task.reward_scale, "reward_shift": task.reward_shift}
    store = make_store(episodes, experts, make_normalizer(episodes), return_scale=1.0, **scales)
    np.testing.assert_array_equal(store.rewards, [-2.0, -2.0, 2.0, -2.0, -2.0])
    np.testing.assert_array_equal(store.returns_to_go, [1.0, 1.0, 1.0, 0.0, 0.0])
    np.testing.assert_array_equal(store.terminals, [False, False, True, False, False])


def test_observations_are_normalised_and_can_be_recovered(episodes, made):
    normalizer = make_normalizer(episodes)
    values = np.asarray(made.observations, np.float64)
    np.testing.assert_allclose(values.mean(0), 0.0, atol=1e-5)
    np.testing.assert_allclose(values.std(0), 1.0, rtol=1e-5)
    recovered = values * np.asarray(normalizer.std) + np.asarray(normalizer.mean)
    np.testing.assert_allclose(recovered, episodes.observations, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("constant", [0.0, 1.0, 1000.1])
def test_a_dimension_that_never_changes_is_centred_and_keeps_its_scale(episodes, experts, constant):
    observations = episodes.observations.copy()
    observations[:, 2] = constant
    flat = dataclasses.replace(episodes, observations=observations)
    normalizer = make_normalizer(flat)
    assert float(normalizer.std[2]) == 1.0
    store = make_store(flat, experts, normalizer, return_scale=1.0)
    np.testing.assert_array_equal(store.observations[:, 2], 0.0)
    assert np.isfinite(store.observations).all()
