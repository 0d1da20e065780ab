"""QDT's returns-to-go (Yamagata et al. 2023): what was still to come, or what a value function promises on the way."""

from __future__ import annotations

import numpy as np

from rvdt_jax.data.episodes import Episodes


def raise_returns(episodes: Episodes, values: np.ndarray) -> np.ndarray:
    """(N,) float64 how far the returns-to-go of all steps are raised, at least 0.

    From the end of an episode backwards, R_t = r_t + max(R_{t+1}, V(s_{t+1})): the return from step t on if from the
    best later step on the value were earned. An action that leads to a bad state keeps its low return. With G the
    recorded return-to-go, R_t - G_t is the largest V(s_k) - G_k of the later steps k of the episode, or 0.

    Args:
        episodes: the data.
        values: (N,) V(s_t), in raw reward units.
    """
    above, raised = np.maximum(values - episodes.returns_to_go(), 0.0), np.zeros(values.size)
    for start, length in zip(episodes.starts, episodes.lengths, strict=True):
        later = above[start + 1 : start + length]
        raised[start : start + length - 1] = np.maximum.accumulate(later[::-1])[::-1]
    return raised
