"""The same networks in PyTorch, as Decision Transformer's and QT's public code bases write them.

GPT-2's blocks with one projection for query, key and value, a causal mask in a buffer, a mask for padding added to the
attention scores, and ``nn.Dropout``. Every token goes through every layer whole, the last action token too.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_EPSILON = 1e-6  # of every LayerNorm, as Flax has it
_MASKED = -1e4  # GPT-2's score of what must not be seen


class SelfAttention(nn.Module):
    """Causal multi-head attention; ``fused`` leaves scores, mask, softmax and dropout to one call of PyTorch's."""

    def __init__(self, width: int, heads: int, dropout: float, length: int, fused: bool):
        super().__init__()
        self.heads, self.fused = heads, fused
        self.projection, self.output = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.dropout = nn.Dropout(dropout)
        self.register_buffer("causal", torch.tril(torch.ones(length, length, dtype=torch.bool)), persistent=False)

    def forward(self, x: Tensor, padding: Tensor | None) -> Tensor:
        """Maps (B, L, width) to (B, L, width); ``padding`` (B, 1, 1, L) is added to the scores."""
        batch, length, width = x.shape
        query, key, value = (
            part.view(batch, length, self.heads, width // self.heads).transpose(1, 2)
            for part in self.projection(x).split(width, dim=2)
        )
        if self.fused:
            rate = self.dropout.p if self.training else 0.0
            mixed = F.scaled_dot_product_attention(query, key, value, dropout_p=rate, is_causal=True)
        else:
            scores = query @ key.transpose(-1, -2) / math.sqrt(query.shape[-1])
            scores = torch.where(self.causal, scores, torch.full((), _MASKED, dtype=scores.dtype, device=x.device))
            if padding is not None:
                scores = scores + padding
            mixed = self.dropout(scores.softmax(-1)) @ value
        return self.output(mixed.transpose(1, 2).reshape(batch, length, width))


class Block(nn.Module):
    """One pre-LayerNorm block with a ReLU MLP of four times the width."""

    def __init__(self, width: int, heads: int, dropout: float, length: int, fused: bool):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width, _EPSILON), nn.LayerNorm(width, _EPSILON)
        self.attention = SelfAttention(width, heads, dropout, length, fused)
        self.inner, self.outer = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, padding: Tensor | None) -> Tensor:
        """Maps (B, L, width) to (B, L, width)."""
        x = x + self.dropout(self.attention(self.norm1(x), padding))
        return x + self.dropout(self.outer(F.relu(self.inner(self.norm2(x)))))


class PeerPolicy(nn.Module):
    """The mean of pi(a_t | history, g_t, s_t), read at the token of s_t; the std is fixed, the return always seen.

    Args:
        observation_size, action_size: S and A.
        max_timestep: rows of the timestep embedding.
        model: ``config.ModelConfig``.
        fused: see ``SelfAttention``; then padding is left to causality, which hides it, for it stands behind.
    """

    def __init__(self, observation_size: int, action_size: int, max_timestep: int, model, fused: bool):
        super().__init__()
        width, length = model.width, 3 * model.context_length
        self.fused = fused
        self.return_to_go, self.observation = nn.Linear(1, width), nn.Linear(observation_size, width)
        self.action, self.timestep = nn.Linear(action_size, width), nn.Embedding(max_timestep, width)
        self.embedding_norm, self.dropout = nn.LayerNorm(width, _EPSILON), nn.Dropout(model.dropout)
        self.blocks = nn.ModuleList(
            Block(width, model.heads, model.dropout, length, fused) for _ in range(model.layers)
        )
        self.norm, self.mean = nn.LayerNorm(width, _EPSILON), nn.Linear(width, action_size)

    def forward(
        self, observations: Tensor, actions: Tensor, returns_to_go: Tensor, timesteps: Tensor, mask: Tensor
    ) -> Tensor:
        """Maps (B, K, S), (B, K, A), (B, K), (B, K) int64 and the mask (B, K) of valid steps to (B, K, A) means."""
        batch, steps = timesteps.shape
        time = self.timestep(timesteps)
        streams = (
            self.return_to_go(returns_to_go[..., None]) + time,
            self.observation(observations) + time,
            self.action(actions) + time,
        )
        tokens = torch.stack(streams, dim=1).permute(0, 2, 1, 3).reshape(batch, 3 * steps, -1)
        padding = None
        if not self.fused:
            seen = torch.stack((mask, mask, mask), dim=1).permute(0, 2, 1).reshape(batch, 3 * steps)
            padding = (1.0 - seen[:, None, None, :]) * _MASKED
        x = self.dropout(self.embedding_norm(tokens))
        for block in self.blocks:
            x = block(x, padding)
        x = self.norm(x).reshape(batch, steps, 3, -1).permute(0, 2, 1, 3)
        with torch.autocast(x.device.type, enabled=False):  # the heads compute in float32, as ours do
            return torch.tanh(self.mean(x[:, 1].float()))


class PeerCritic(nn.Module):
    """Twin MLPs with Mish between their layers."""

    def __init__(self, observation_size: int, action_size: int, width: int, layers: int):
        super().__init__()
        self.q1, self.q2 = (_mlp(observation_size + action_size, width, layers) for _ in range(2))

    def forward(self, observations: Tensor, actions: Tensor) -> tuple[Tensor, Tensor]:
        """Maps (..., S) and (..., A) to the two critics' values, (...) each."""
        x = torch.cat([observations, actions], dim=-1)
        return self._value(self.q1, x), self._value(self.q2, x)

    @staticmethod
    def _value(network: nn.Sequential, x: Tensor) -> Tensor:
        hidden = network[:-1](x)
        with torch.autocast(x.device.type, enabled=False):  # the last layer in float32, as ours
            return network[-1](hidden.float())[..., 0]


def _mlp(inputs: int, width: int, layers: int) -> nn.Sequential:
    parts: list[nn.Module] = []
    for _ in range(layers):
        parts += [nn.Linear(inputs, width), nn.Mish()]
        inputs = width
    return nn.Sequential(*parts, nn.Linear(inputs, 1))
