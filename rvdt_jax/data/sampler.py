"""Sampling windows from the store, inside the compiled step."""

from __future__ import annotations

import chex
import jax
import jax.numpy as jnp

from rvdt_jax.types import Array, Batch, Store


def sample_starts(key: Array, store: Store, batch_size: int, expert_probability: Array | float) -> Array:
    """(B,) first steps of windows: any step of the data, the last of an episode included, is as likely as another.

    Args:
        key: PRNG key.
        store: the data.
        batch_size: B.
        expert_probability: chance that a window is drawn from the expert steps alone; 0 is uniform, 1 is %BC.
    """
    coin_key, all_key, expert_key = jax.random.split(key, 3)
    starts = jax.random.randint(all_key, (batch_size,), 0, store.rewards.shape[0])
    picks = jax.random.randint(expert_key, (batch_size,), 0, store.expert_steps.shape[0])
    from_experts = jax.random.uniform(coin_key, (batch_size,)) < expert_probability
    return jnp.where(from_experts, store.expert_steps[picks], starts)


def gather_windows(store: Store, starts: Array, context_length: int) -> Batch:
    """The K-step windows that begin at ``starts`` (B,), cut at the end of their episode."""
    chex.assert_rank(starts, 1)
    steps = starts[:, None] + jnp.arange(context_length)
    last = store.last_steps[starts][:, None]
    index = jnp.minimum(steps, last)  # padding repeats the last step; ``mask`` keeps it out of every loss
    batch = Batch(
        observations=store.observations[index],
        actions=store.actions[index],
        rewards=store.rewards[index],
        returns_to_go=store.returns_to_go[index],
        timesteps=store.timesteps[index],
        terminals=store.terminals[index],
        mask=(steps <= last).astype(jnp.float32),
        expert=store.expert[starts].astype(jnp.float32),
        returns=store.returns_to_go[starts - store.timesteps[starts]],
    )
    if store.raised is None:
        return batch
    # Within a window they fall by the rewards, as when acting, so all of them rest on the label of its last step (QDT).
    raised = store.raised[index[:, -1]]
    return batch.replace(returns_to_go=batch.returns_to_go + raised[:, None], returns=batch.returns + raised)


def sample_batch(
    key: Array, store: Store, batch_size: int, context_length: int, expert_probability: Array | float = 0.0
) -> Batch:
    """Draws B windows of K steps; see ``sample_starts`` for their distribution."""
    return gather_windows(store, sample_starts(key, store, batch_size, expert_probability), context_length)
