"""What a policy does at every step of logged data, in the window that acting would have there."""

from __future__ import annotations

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp

from rvdt_jax.data.sampler import gather_windows
from rvdt_jax.types import Array, Params, PolicyOutput, Store

_AT_ONCE = 512  # windows


@functools.partial(jax.jit, static_argnames=("policy", "context_length"))
def outputs_on_data(params: Params, store: Store, *, policy: nn.Module, context_length: int) -> PolicyOutput:
    """The policy at each of the N steps; it sees the last K steps of the episode, and the store's returns-to-go.

    Args:
        params: of the policy, every leaf with a leading axis R of seeds.
        store: the data.
        policy: as ``algorithms.base.Spec`` has it.
        context_length: K.

    Returns:
        Mean and log-std, (R, N, A).
    """
    count = store.timesteps.size
    chunks = -(-count // _AT_ONCE)
    steps = jnp.minimum(jnp.arange(chunks * _AT_ONCE), count - 1).reshape(chunks, _AT_ONCE)

    def chunk(params: Params, steps: Array) -> tuple[Array, Array]:
        before = jnp.minimum(store.timesteps[steps], context_length - 1)
        batch = gather_windows(store, steps - before, context_length)
        inputs = batch.observations, batch.actions, batch.returns_to_go, batch.timesteps
        output = policy.apply({"params": params}, *inputs, step=before)
        return output.mean[:, 0], output.log_std[:, 0]

    def one_seed(params: Params) -> PolicyOutput:
        whole = jax.lax.map(functools.partial(chunk, params), steps)
        return PolicyOutput(*(part.reshape(-1, part.shape[-1])[:count] for part in whole))

    return jax.lax.map(one_seed, params)
