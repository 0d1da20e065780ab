"""Policies that draw actions from a generator and take the one that the critics like best: BCQ, BEAR, D-QL."""

from __future__ import annotations

import flax.linen as nn
import jax.numpy as jnp
import numpy as np

from rvdt_jax.models.critic import MLP, TwinCritic
from rvdt_jax.models.mlp_policy import StatePolicy
from rvdt_jax.types import Array, PolicyOutput


class BestCandidate(StatePolicy):
    """The action of largest min_k Q_k(s, a) among those that a generator makes of the same noise in every state.

    The noise is drawn once and for all, so that the policy is a function of the state: rollouts, a user's loop, an
    export and fitted Q evaluation act alike and need no key. The sources draw it anew at every step.

    The ``generator`` is a module with a property ``noise_shape`` and a method ``decode``, from (..., S) observations
    and (..., *noise_shape) standard normal noise to (..., A) actions. The policy answers the action as the mean.
    """

    generator: nn.Module
    critic: TwinCritic
    candidates: int

    @nn.compact
    def act(self, observations: Array) -> PolicyOutput:
        """As ``StatePolicy``."""
        shape = self.generator.noise_shape
        # NumPy's, since JAX's numbers depend on its flags, and a loaded policy must act as it was scored.
        noise = jnp.asarray(np.random.default_rng(0).standard_normal((self.candidates, *shape)), jnp.float32)
        noise = jnp.expand_dims(noise, range(1, observations.ndim))
        noise = jnp.broadcast_to(noise, (self.candidates, *observations.shape[:-1], *shape))
        observations = jnp.broadcast_to(observations, (self.candidates, *observations.shape))
        drawn = self.generator.decode(observations, noise)  # (C, ..., A)
        best = self.critic(observations, drawn).min(0).argmax(0)
        mean = jnp.take_along_axis(drawn, best[None, ..., None], axis=0)[0]
        return PolicyOutput(mean=mean, log_std=jnp.zeros_like(mean))


class ConditionalVAE(nn.Module):
    """A model of the data's actions (Fujimoto et al. 2019): q(z | s, a) and a = tanh(f(s, z)), with ReLU layers."""

    action_size: int  # A; z has 2 A dimensions
    width: int = 750
    layers: int = 2
    dtype: jnp.dtype = jnp.float32
    largest: float = 0.5  # bound of the latents that ``decode`` reads: rare ones decode to what the data do not hold

    def setup(self):
        """Both halves."""
        sizes = {"dtype": self.dtype, "activation": "relu"}
        self.encoder = MLP(self.width, self.layers, 4 * self.action_size, **sizes)
        self.decoder = MLP(self.width, self.layers, self.action_size, **sizes)

    @property
    def noise_shape(self) -> tuple[int]:
        """That of z."""
        return (2 * self.action_size,)

    def __call__(self, observations: Array, actions: Array, noise: Array) -> tuple[Array, Array, Array]:
        """The (..., A) reconstruction of actions with standard normal noise (..., 2 A), and q's mean and log-std."""
        mean, log_std = jnp.split(self.encoder(jnp.concatenate([observations, actions], -1)), 2, axis=-1)
        log_std = jnp.clip(log_std, -4.0, 15.0)
        return jnp.tanh(self._raw(observations, mean + jnp.exp(log_std) * noise)), mean, log_std

    def raw(self, observations: Array, noise: Array) -> Array:
        """Generated actions before the squashing, (..., A), of bounded standard normal noise (..., 2 A)."""
        return self._raw(observations, jnp.clip(noise, -self.largest, self.largest))

    def decode(self, observations: Array, noise: Array) -> Array:
        """Generated actions; see ``raw``."""
        return jnp.tanh(self.raw(observations, noise))

    def _raw(self, observations: Array, latents: Array) -> Array:
        observations = jnp.broadcast_to(observations, (*latents.shape[:-1], observations.shape[-1]))
        return self.decoder(jnp.concatenate([observations, latents], -1))


class PerturbedVAE(nn.Module):
    """BCQ's generator: the actions of a VAE, each moved by at most ``largest``."""

    vae: ConditionalVAE
    network: MLP  # its A outputs say where to
    largest: float = 0.05  # Phi

    @property
    def noise_shape(self) -> tuple[int]:
        """The VAE's."""
        return self.vae.noise_shape

    def decode(self, observations: Array, noise: Array) -> Array:
        """As ``ConditionalVAE.decode``."""
        actions = self.vae.decode(observations, noise)
        observations = jnp.broadcast_to(observations, (*actions.shape[:-1], observations.shape[-1]))
        moved = self.largest * jnp.tanh(self.network(jnp.concatenate([observations, actions], -1)))
        return jnp.clip(actions + moved, -1.0, 1.0)
