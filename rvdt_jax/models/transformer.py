"""A causal pre-LayerNorm transformer after GPT-2 (Radford et al. 2019), with Decision Transformer's ReLU MLP.

Pass ``read`` to compute the last block only at those positions: its keys and values take every token, its queries and
everything behind them only the tokens read.
"""

from __future__ import annotations

from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from rvdt_jax.models.layers import dense, layer_norm, make_dropout
from rvdt_jax.types import Array

Drop = Callable[[Array, int], Array]  # dropout at a numbered place of the network


def take_tokens(x: Array, read: np.ndarray | Array | None) -> Array:
    """(B, L, ...) to (B, R, ...): all tokens (None), the same ones of every row (R,), or each row's own (B, R)."""
    if read is None:
        return x
    if read.ndim == 1:
        return x[:, read]
    return jnp.take_along_axis(x, read[..., None], axis=1)


class CausalSelfAttention(nn.Module):
    """Multi-head attention of the tokens read to themselves and the tokens before them."""

    heads: int
    dtype: jnp.dtype
    plain: bool

    @nn.compact
    def __call__(self, x: Array, read: np.ndarray | Array | None, drop: Drop, site: int) -> Array:
        """Maps (B, L, width) to (B, R, width)."""
        width, length = x.shape[-1], x.shape[1]

        def project(name: str, inputs: Array) -> Array:
            projected = dense(width, self.dtype, name, plain=self.plain)(inputs)
            return projected.reshape(*inputs.shape[:2], self.heads, -1).swapaxes(1, 2)  # (B, heads, tokens, D)

        query, key, value = project("query", take_tokens(x, read)), project("key", x), project("value", x)
        logits = jnp.einsum("bhqd,bhkd->bhqk", query, key) / np.sqrt(query.shape[-1]).astype(self.dtype)
        positions = np.arange(length) if read is None else read
        causal = jnp.arange(length) <= jnp.asarray(positions)[..., None]  # (R, L) or (B, R, L)
        causal = causal if causal.ndim == 2 else causal[:, None]
        logits = jnp.where(causal, logits.astype(jnp.float32), jnp.finfo(jnp.float32).min)
        weights = drop(jax.nn.softmax(logits).astype(self.dtype), site)
        mixed = jnp.einsum("bhqk,bhkd->bhqd", weights, value).swapaxes(1, 2)
        return dense(width, self.dtype, "output", plain=self.plain)(mixed.reshape(*mixed.shape[:2], width))


class Block(nn.Module):
    """One pre-LayerNorm transformer block."""

    heads: int
    dtype: jnp.dtype
    plain: bool

    @nn.compact
    def __call__(self, x: Array, read: np.ndarray | Array | None, drop: Drop, site: int) -> Array:
        """Maps (B, L, width) to (B, R, width); drops at the places ``site`` to ``site + 2``."""
        width = x.shape[-1]
        attend = CausalSelfAttention(self.heads, self.dtype, self.plain)
        attended = attend(layer_norm(self.dtype, "LayerNorm_0", self.plain)(x), read, drop, site)
        x = take_tokens(x, read) + drop(attended, site + 1)
        hidden = layer_norm(self.dtype, "LayerNorm_1", self.plain)(x)
        hidden = nn.relu(dense(4 * width, self.dtype, "Dense_0", plain=self.plain)(hidden))
        hidden = dense(width, self.dtype, "Dense_1", plain=self.plain)(hidden)
        return x + drop(hidden, site + 2)


class CausalTransformer(nn.Module):
    """A stack of blocks with a final LayerNorm."""

    layers: int
    heads: int
    dropout: float
    dtype: jnp.dtype
    plain: bool = False  # flax's layers, with every token taken through every block, to check the fast version

    @nn.compact
    def __call__(self, x: Array, deterministic: bool, read: np.ndarray | Array | None = None) -> Array:
        """Maps (B, L, width) to (B, R, width).

        Args:
            x: the tokens.
            deterministic: False applies dropout and needs the rng ``dropout``.
            read: positions of the tokens wanted: (R,), (B, R), or None for all.
        """
        key = None if deterministic or not self.dropout else self.make_rng("dropout")
        drop = make_dropout(key, self.dropout, self.plain)
        x = drop(x, 0)
        for layer in range(self.layers):
            wanted = read if layer == self.layers - 1 and not self.plain else None
            x = Block(self.heads, self.dtype, self.plain)(x, wanted, drop, 1 + 3 * layer)
        if self.plain:
            x = take_tokens(x, read)
        return layer_norm(self.dtype, "LayerNorm_0", self.plain)(x)
