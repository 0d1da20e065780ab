"""A causal pre-LayerNorm transformer after GPT-2 (Radford et al. 2019), with Decision Transformer's ReLU MLP."""

from __future__ import annotations

from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp

from rvdt_jax.types import Array

weight_init: Callable = nn.initializers.normal(0.02)  # GPT-2's, for every matrix and embedding


def dense(features: int, dtype, name: str | None = None) -> nn.Dense:
    """A Dense layer with GPT-2's initialisation; parameters float32, arithmetic in ``dtype``."""
    return nn.Dense(features, dtype=dtype, kernel_init=weight_init, name=name)


class CausalSelfAttention(nn.Module):
    """Multi-head attention of each token to itself and the tokens before it."""

    heads: int
    dropout: float
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, x: Array, deterministic: bool) -> Array:
        """Maps (B, L, width) to (B, L, width)."""
        batch, length, width = x.shape
        split = (batch, length, self.heads, width // self.heads)
        query, key, value = (dense(width, self.dtype, name)(x).reshape(split) for name in ("query", "key", "value"))
        logits = jnp.einsum("bqhd,bkhd->bhqk", query, key) / jnp.sqrt(split[-1]).astype(self.dtype)
        causal = jnp.tril(jnp.ones((length, length), dtype=bool))
        logits = jnp.where(causal, logits.astype(jnp.float32), jnp.finfo(jnp.float32).min)
        weights = jax.nn.softmax(logits).astype(self.dtype)
        weights = nn.Dropout(self.dropout)(weights, deterministic=deterministic)
        mixed = jnp.einsum("bhqk,bkhd->bqhd", weights, value).reshape(batch, length, width)
        return dense(width, self.dtype, "output")(mixed)


class Block(nn.Module):
    """One pre-LayerNorm transformer block."""

    heads: int
    dropout: float
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, x: Array, deterministic: bool) -> Array:
        """Maps (B, L, width) to (B, L, width)."""
        drop = nn.Dropout(self.dropout)
        attended = CausalSelfAttention(self.heads, self.dropout, self.dtype)(
            nn.LayerNorm(dtype=self.dtype)(x), deterministic
        )
        x = x + drop(attended, deterministic=deterministic)
        hidden = nn.relu(dense(4 * x.shape[-1], self.dtype)(nn.LayerNorm(dtype=self.dtype)(x)))
        return x + drop(dense(x.shape[-1], self.dtype)(hidden), deterministic=deterministic)


class CausalTransformer(nn.Module):
    """A stack of blocks with a final LayerNorm."""

    layers: int
    heads: int
    dropout: float
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, x: Array, deterministic: bool) -> Array:
        """Maps (B, L, width) to (B, L, width)."""
        x = nn.Dropout(self.dropout)(x, deterministic=deterministic)
        for _ in range(self.layers):
            x = Block(self.heads, self.dropout, self.dtype)(x, deterministic)
        return nn.LayerNorm(dtype=self.dtype)(x)
