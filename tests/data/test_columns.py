"""Bounds of actions from data, and logs in memory; which rows make which episodes: test_kinds."""

import numpy as np
import pytest

from rvdt_jax import Episodes
from rvdt_jax.data.columns import action_bounds, count_beyond
from rvdt_jax.errors import UserError


def test_bounds_are_the_extremes_without_glitches():
    rng = np.random.default_rng(0)
    actions = np.stack([rng.uniform(0, 100, 5000), rng.normal(size=5000), np.full(5000, 5.0)], axis=1)
    low, high = action_bounds(actions)
    assert np.array_equal([low, high], [actions.min(0), actions.max(0)])
    glitched = actions.copy()
    glitched[17] = 1e6, -1e9, 5.0
    low, high = action_bounds(glitched)
    assert high[0] == pytest.approx(100, abs=0.5)
    assert low[1] == pytest.approx(-3.2, abs=0.7)
    assert count_beyond(glitched, low, high)[0] >= 1
    assert action_bounds(np.array([[0.0]] * 39 + [[1e5]]))[1] == 0.0  # a short log, too
    assert action_bounds(np.array([[0.0], [1e5]]))[1] == 1e5  # of two values neither is a glitch


def test_columns_in_memory_become_episodes():
    pandas = pytest.importorskip("pandas")
    log = pandas.DataFrame(
        {
            "temp_a": [20.0, 21.0, 22.0, 19.0],
            "temp_b": np.array([1, 2, 3, 4], ">i2"),
            "valve": [0, 50, 100, 25],
            "reward": [True, False, True, True],
            "day": ["mon", "mon", "mon", "tue"],
            "remark": ["", "x", None, ""],
            "broken": [np.nan] * 4,
        }
    )
    episodes = Episodes.from_columns(log, observations="temp_*", actions="valve", episode="day", action_low=0)
    assert episodes.lengths.tolist() == [3, 1]
    assert episodes.observations.tolist() == [[20, 1], [21, 2], [22, 3], [19, 4]]
    assert np.allclose(episodes.actions[:, 0], [-1, 0, 1, -0.5])
    assert (episodes.action_low, episodes.action_high) == (0, 100)
    assert episodes.returns.tolist() == [2.0, 1.0]


def test_arrays_in_memory_become_episodes():
    rng = np.random.default_rng(0)
    observations, actions = rng.normal(size=(6, 2, 2)).astype(np.float16), rng.uniform(-3, 3, 6)
    episodes = Episodes.from_arrays(observations, actions, np.ones(6), terminals=np.array([0, 0, 1] * 2))
    assert episodes.observations.shape == (6, 4)
    assert episodes.actions.shape == (6, 1)
    assert episodes.terminated.all()
    with pytest.raises(UserError, match="different numbers of rows"):
        Episodes.from_arrays(observations, actions[:5], np.ones(6), terminals=np.zeros(6))
