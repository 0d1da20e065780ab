"""Episodes -> the device-resident store that the sampler gathers from."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np

from rvdt_jax.data.episodes import Episodes
from rvdt_jax.data.rebalance import ExpertSet
from rvdt_jax.types import Normalizer, Store


def make_normalizer(episodes: Episodes) -> Normalizer:
    """Mean and std of the observations; a dimension that never changes keeps its scale."""
    mean, std = episodes.observation_statistics()
    return Normalizer(mean=jnp.asarray(mean, jnp.float32), std=jnp.asarray(std, jnp.float32))


def make_store(
    episodes: Episodes,
    experts: ExpertSet | None,
    normalizer: Normalizer,
    *,
    return_scale: float,
    reward_scale: float = 1.0,
    reward_shift: float = 0.0,
) -> Store:
    """Puts the data on the device, normalised, with everything precomputed that does not depend on the batch.

    Args:
        episodes: the checked data.
        experts: the expert episodes; None: there are none, in data that nothing trains on.
        normalizer: observation statistics.
        return_scale: returns-to-go, sums of raw rewards, are divided by it.
        reward_scale, reward_shift: the critic learns from reward_scale * (r + reward_shift). (QT transforms the
            returns-to-go of training too, but not those of evaluation; here both stay in raw units.)
    """
    lengths = episodes.lengths
    steps = np.arange(int(lengths.sum()))
    first = np.repeat(episodes.starts, lengths)
    last = np.repeat(episodes.starts + lengths - 1, lengths)
    expert = np.zeros(steps.size, bool) if experts is None else np.repeat(experts.mask, lengths)
    mean, std = np.asarray(normalizer.mean), np.asarray(normalizer.std)
    return Store(
        observations=jnp.asarray((episodes.observations - mean) / std, jnp.float32),
        actions=jnp.asarray(episodes.actions, jnp.float32),
        rewards=jnp.asarray(reward_scale * (episodes.rewards + reward_shift), jnp.float32),
        returns_to_go=jnp.asarray(episodes.returns_to_go() / return_scale, jnp.float32),
        timesteps=jnp.asarray(steps - first, jnp.int32),
        last_steps=jnp.asarray(last, jnp.int32),
        terminals=jnp.asarray(np.repeat(episodes.terminated, lengths) & (steps == last)),
        expert=jnp.asarray(expert),
        expert_steps=jnp.asarray(np.flatnonzero(expert), jnp.int32),
        raised=None if episodes.raised is None else jnp.asarray(episodes.raised / return_scale, jnp.float32),
    )
