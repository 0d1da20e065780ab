"""The return-conditioned transformer policy: Decision Transformer's token layout (Chen et al. 2021)."""

from __future__ import annotations

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from rvdt_jax.models.encoder import Encoder, encode
from rvdt_jax.models.layers import dense, layer_norm, weight_init
from rvdt_jax.models.transformer import CausalTransformer
from rvdt_jax.types import Array, PolicyOutput

LOG_STD_RANGE = (-5.0, 0.5)  # a learned log-std is clipped to this; settings are checked against it


def sample_actions(mean: Array, log_std: Array, key: Array) -> Array:
    """A reparameterised sample of the factorised Gaussian, clipped to the action bounds: (..., A) to (..., A)."""
    return jnp.clip(mean + jnp.exp(log_std) * jax.random.normal(key, mean.shape), -1.0, 1.0)


class TransformerPolicy(nn.Module):
    """pi(a_t | history, g_t, s_t), read at the token of s_t.

    A window becomes the tokens g_1 s_1 a_1 ... g_K s_K (s_1 a_1 ... s_K without returns). The last action token is
    left out: every head reads a token before it, and attention is causal. Padding stands behind the valid
    steps, so causality alone hides it and no attention mask is needed.
    """

    observation_size: int  # S
    action_size: int  # A
    max_timestep: int  # rows of the timestep embedding; later timesteps share the last row
    width: int = 256
    layers: int = 4
    heads: int = 4
    dropout: float = 0.1
    condition_on_return: bool = True  # False drops the return tokens (behaviour cloning)
    learn_std: bool = False  # True learns a state-dependent log-std, clipped to ``LOG_STD_RANGE``
    std: float = 0.1  # the fixed standard deviation, and the starting point of a learned one
    predict_state: bool = False  # True adds QT's head for the next observation, read at the action token
    dtype: jnp.dtype = jnp.float32  # of the arithmetic; parameters are float32 always
    plain: bool = False  # True computes the same function with flax's layers, to check the fast version
    positions: str = "episode"  # embeds the timestep in the episode; ``window``: the place in the window alone
    encoder: Encoder | None = None  # of observations; see ``models.encoder``

    @nn.compact
    def __call__(
        self,
        observations: Array,
        actions: Array,
        returns_to_go: Array,
        timesteps: Array,
        deterministic: bool = True,
        step: Array | None = None,
    ) -> PolicyOutput:
        """Reads windows.

        Args:
            observations: (B, K, S), normalised.
            actions: (B, K, A); a_K is never read.
            returns_to_go: (B, K), scaled.
            timesteps: (B, K) int32.
            deterministic: False applies dropout and needs the rng ``dropout``.
            step: (B,) int32, the one step of each window that is wanted; None for all.

        Returns:
            The output at every step, or (with ``step``) at that one, K = 1, without ``next_observations``.
        """
        chex.assert_shape(observations, (*timesteps.shape, self.observation_size))
        chex.assert_shape(actions, (*timesteps.shape, self.action_size))
        chex.assert_equal_shape([returns_to_go, timesteps])
        tokens = self._embed(observations, actions, returns_to_go, timesteps)
        period, predict = 3 if self.condition_on_return else 2, self.predict_state and step is None
        if step is None:
            read = np.arange(period - 2, tokens.shape[1], period)  # the state tokens, then the action tokens
            read = np.concatenate([read, read[:-1] + 1]) if predict else read
        else:
            chex.assert_shape(step, timesteps.shape[:1])
            read = (period * step + period - 2)[:, None]
        trunk = CausalTransformer(self.layers, self.heads, self.dropout, self.dtype, self.plain)
        hidden = trunk(tokens, deterministic, read)
        steps = timesteps.shape[1] if step is None else 1
        at_state, at_action = hidden[:, :steps], hidden[:, steps:]

        # The heads compute in float32, whatever the trunk does: tanh in bfloat16 reaches 1.
        mean = jnp.tanh(dense(self.action_size, jnp.float32, "action_mean", plain=self.plain)(at_state))
        log_std = jnp.full_like(mean, jnp.log(self.std))
        if self.learn_std:
            offset = dense(self.action_size, jnp.float32, "action_log_std", plain=self.plain)(at_state)
            log_std = jnp.clip(log_std + offset, *LOG_STD_RANGE)
        output = PolicyOutput(mean=mean, log_std=log_std)
        if predict:
            head = dense(self.observation_size, jnp.float32, "next_observation", plain=self.plain)
            output = output.replace(next_observations=head(at_action))
        return output

    def _embed(self, observations: Array, actions: Array, returns_to_go: Array, timesteps: Array) -> Array:
        """The interleaved tokens, (B, period K - 1, width)."""
        # In float32, as many windows add to the gradient of one row: a sum in bfloat16 stops growing.
        table = nn.Embed(self.max_timestep, self.width, embedding_init=weight_init, name="timestep", dtype=jnp.float32)
        if self.positions == "window":
            timesteps = jnp.broadcast_to(jnp.arange(timesteps.shape[1]), timesteps.shape)
        time = table(jnp.minimum(timesteps, self.max_timestep - 1)).astype(self.dtype)
        features = encode(self.encoder, observations)

        def embed(name: str, values: Array) -> Array:
            return dense(self.width, self.dtype, name, plain=self.plain)(values) + time

        streams = [embed("observation", features), embed("action", actions)]
        if self.condition_on_return:
            streams.insert(0, embed("return_to_go", returns_to_go[..., None]))
        interleaved = jnp.stack(streams, axis=2).reshape(observations.shape[0], -1, self.width)
        return layer_norm(self.dtype, "embedding_norm", self.plain)(interleaved[:, :-1])
