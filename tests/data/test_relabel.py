"""QDT's returns-to-go: by hand, against the paper's loop, and in windows."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest

from rvdt_jax.data.episodes import keep_episodes
from rvdt_jax.data.relabel import raise_returns
from rvdt_jax.data.sampler import gather_windows
from rvdt_jax.data.store import make_normalizer, make_store


def from_the_end(rewards, values):
    """R_t = r_t + max(R_{t+1}, V(s_{t+1})), of one episode."""
    returns, following = np.zeros(len(rewards)), 0.0
    for step in reversed(range(len(rewards))):
        returns[step] = rewards[step] + following
        following = max(returns[step], values[step])
    return returns


@pytest.fixture
def values(episodes):
    return np.random.default_rng(1).normal(2.0, 3.0, episodes.rewards.size)


def test_it_is_the_papers_loop(episodes, values):
    assert from_the_end([1.0, 0.0, 2.0], [9.0, 4.0, 1.0]).tolist() == [5.0, 2.0, 2.0]
    parts = [slice(start, start + length) for start, length in zip(episodes.starts, episodes.lengths, strict=True)]
    expected = np.concatenate([from_the_end(episodes.rewards[part].astype(float), values[part]) for part in parts])
    np.testing.assert_allclose(episodes.returns_to_go() + raise_returns(episodes, values), expected, atol=1e-12)


def test_windows_fall_by_their_rewards_to_the_label_of_their_last_step(episodes, values):
    raised = raise_returns(episodes, values).astype(np.float32)
    labelled = dataclasses.replace(episodes, raised=raised)
    assert labelled.return_range[1] > episodes.return_range[1]
    kept = np.arange(episodes.lengths.size) % 2 == 0
    assert keep_episodes(labelled, kept).raised.size == episodes.lengths[kept].sum()
    plain, store = (
        make_store(each, None, make_normalizer(episodes), return_scale=2.0) for each in (episodes, labelled)
    )
    starts = jnp.arange(episodes.rewards.size)
    before, after = gather_windows(plain, starts, 4), gather_windows(store, starts, 4)
    ends = np.minimum(np.arange(starts.size) + 3, np.asarray(store.last_steps))
    added = (raised[ends] / 2.0)[:, None]
    assert (added > 0).any()
    np.testing.assert_allclose(after.returns_to_go, before.returns_to_go + added, rtol=1e-6)
    np.testing.assert_allclose(after.returns, before.returns + added[:, 0], rtol=1e-6)
    np.testing.assert_array_equal(after.rewards, before.rewards)
