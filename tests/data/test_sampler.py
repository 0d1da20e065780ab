"""Windows: aligned in every field, within one episode, reaching its last step, with the promised distribution."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rvdt_jax.data.episodes import Episodes
from rvdt_jax.data.rebalance import expert_mixture, sampling_probabilities, select_experts
from rvdt_jax.data.sampler import gather_windows, sample_starts
from rvdt_jax.data.store import make_store
from rvdt_jax.types import Normalizer

LENGTHS = np.array([3, 1, 7, 5])
K = 4


@pytest.fixture
def episodes():
    """The index of the step is encoded in every field."""
    index = np.arange(LENGTHS.sum(), dtype=np.float32)
    columns = np.stack([index, index], axis=1), index[:, None] / 100, index
    return Episodes("indexed", *columns, LENGTHS, np.array([True, False, True, False]))


@pytest.fixture
def experts(episodes):
    return select_experts(episodes.returns, episodes.lengths, fraction=0.25)


@pytest.fixture
def store(episodes, experts):
    return make_store(episodes, experts, Normalizer(mean=jnp.zeros(2), std=jnp.ones(2)), return_scale=2.0)


def test_every_start_gives_an_aligned_window_of_one_episode(store):
    starts = np.arange(LENGTHS.sum())
    batch = gather_windows(store, jnp.asarray(starts), K)
    episode_of, start_of, end_of = (np.repeat(each, LENGTHS) for each in (range(4), [0, 3, 4, 11], [3, 4, 11, 16]))
    for row, start in enumerate(starts):
        valid = int(batch.mask[row].sum())
        assert valid == min(K, end_of[start] - start)
        expected = np.arange(start, start + valid)
        assert (episode_of[expected] == episode_of[start]).all()
        np.testing.assert_array_equal(batch.mask[row], np.arange(K) < valid)
        np.testing.assert_array_equal(batch.observations[row, :valid, 0], expected)
        np.testing.assert_allclose(batch.actions[row, :valid, 0] * 100, expected, rtol=1e-5)
        np.testing.assert_array_equal(batch.rewards[row, :valid], expected)
        np.testing.assert_array_equal(batch.timesteps[row, :valid], expected - start_of[start])
        returns = [np.arange(step, end_of[start]).sum() / 2.0 for step in expected]
        np.testing.assert_allclose(batch.returns_to_go[row, :valid], returns)
        is_terminal = (expected == end_of[start] - 1) & (episode_of[start] in (0, 2))
        np.testing.assert_array_equal(batch.terminals[row, :valid], is_terminal)


def test_every_step_is_drawn_as_a_start_equally_often(store):
    starts = np.asarray(sample_starts(jax.random.key(0), store, 160_000, 0.0))
    counts = np.bincount(starts, minlength=LENGTHS.sum())
    expected = starts.size / LENGTHS.sum()
    # Each count is binomial: five standard deviations; the last step of every episode is among them.
    assert np.abs(counts - expected).max() < 5 * np.sqrt(expected)


@pytest.mark.parametrize("alpha", [0.0, 1.0, 3.5])
def test_dup_draws_as_the_plug_in_says(store, episodes, experts, alpha):
    probability = expert_mixture(jnp.asarray(alpha), LENGTHS.sum(), experts.steps)
    starts = np.asarray(sample_starts(jax.random.key(1), store, 200_000, probability))
    measured = np.bincount(np.repeat(np.arange(4), LENGTHS)[starts], minlength=4) / starts.size
    expected = sampling_probabilities(LENGTHS, experts.mask, alpha)
    assert np.abs(measured - expected).max() < 5 * np.sqrt(0.25 / starts.size)


def test_expert_only_draws_experts_only(store, experts):
    starts = np.asarray(sample_starts(jax.random.key(2), store, 10_000, 1.0))
    episodes_drawn = np.unique(np.repeat(np.arange(4), LENGTHS)[starts])
    np.testing.assert_array_equal(episodes_drawn, np.flatnonzero(experts.mask))
