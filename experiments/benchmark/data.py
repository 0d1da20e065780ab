"""Flat data like maze2d-umaze's, made in memory: what a benchmark trains on needs the right shapes, not a simulator."""

from __future__ import annotations

import numpy as np

from rvdt_jax.data.episodes import Episodes

STEPS = 1_000_000  # as the data set of maze2d-umaze
LONGEST = 300  # no episode is longer


def make_episodes(steps: int = STEPS, seed: int = 0) -> Episodes:
    """Episodes of 80 +- 55 steps with S = 4 and A = 2; a quarter of them reach the goal and are paid to their end.

    Args:
        steps: about how many, in all.
        seed: equal seeds give equal data.
    """
    rng = np.random.default_rng(seed)
    count = max(2, round(steps / 80))
    lengths = np.clip(np.rint(rng.gamma((80 / 55) ** 2, 55**2 / 80, count)), 2, LONGEST).astype(np.int64)
    total = int(lengths.sum())
    starts = np.cumsum(lengths) - lengths
    paid = np.where(rng.random(count) < 0.27, rng.random(count), 1.0)  # share of an episode before its first reward
    position = (np.arange(total) - np.repeat(starts, lengths)) / np.repeat(lengths, lengths)
    return Episodes(
        name="synthetic, like maze2d-umaze",
        observations=rng.normal(size=(total, 4)).astype(np.float32),
        actions=rng.uniform(-1.0, 1.0, (total, 2)).astype(np.float32),
        rewards=(position >= np.repeat(paid, lengths)).astype(np.float32),
        lengths=lengths,
        terminated=np.zeros(count, bool),  # maze2d's episodes time out
    )
