"""Bounds of actions from data; which rows make which episodes: test_kinds."""

import numpy as np
import pytest

from rvdt_jax.data.columns import action_bounds, count_beyond


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
