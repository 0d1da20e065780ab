"""A diffusion model of actions (Ho et al. 2020, as Wang et al. 2023 use it)."""

from __future__ import annotations

import flax.linen as nn
import jax.numpy as jnp
import numpy as np

from rvdt_jax.models.critic import MLP, mish
from rvdt_jax.models.layers import dense
from rvdt_jax.types import Array

_TIME = 16  # features of a denoising step
_BETA = (0.1, 10.0)  # least and largest noise rate of the variance-preserving schedule


class Diffusion(nn.Module):
    """A network that finds the noise in a noisy action; in ``steps`` steps it turns noise into an action."""

    action_size: int  # A
    steps: int = 5  # T
    width: int = 256
    layers: int = 3
    dtype: jnp.dtype = jnp.float32  # of the hidden layers' arithmetic

    def setup(self):
        """The layers that see the step, and the network; with Mish."""
        init = nn.initializers.lecun_normal()
        self.time_in = dense(2 * _TIME, self.dtype, kernel_init=init)
        self.time_out = dense(_TIME, self.dtype, kernel_init=init)
        self.noise = MLP(self.width, self.layers, self.action_size, self.dtype)

    @property
    def noise_shape(self) -> tuple[int, int]:
        """The noise that an action begins as, and that of each step but the last."""
        return self.steps, self.action_size

    def __call__(self, observations: Array, noisy: Array, step: Array) -> Array:
        """The noise in (..., A) actions at steps (...) int32 of 0 .. T - 1, in states (..., S)."""
        rates = np.exp(-np.log(10000.0) * np.arange(_TIME // 2) / (_TIME // 2 - 1)).astype(np.float32)
        angles = step[..., None] * rates
        time = self.time_out(mish(self.time_in(jnp.concatenate([jnp.sin(angles), jnp.cos(angles)], -1))))
        return self.noise(jnp.concatenate([noisy, time, observations], -1))

    def decode(self, observations: Array, noise: Array) -> Array:
        """Generated (..., A) actions of (..., T, A) standard normal noise in states (..., S)."""
        observations = jnp.broadcast_to(observations, (*noise.shape[:-2], observations.shape[-1]))
        actions = noise[..., 0, :]
        for step in reversed(range(self.steps)):
            found = self(observations, actions, jnp.full(actions.shape[:-1], step))
            mean, std = self._posterior(actions, found, step)
            actions = mean + std * noise[..., self.steps - step, :] if step else mean
        return jnp.clip(actions, -1.0, 1.0)

    def _posterior(self, noisy: Array, noise: Array, step: int) -> tuple[Array, float]:
        """Mean and std of the action one step earlier; the clean action lies within the bounds."""
        betas, kept = schedule(self.steps)
        before = kept[step - 1] if step else 1.0  # alpha bar
        clean = jnp.clip((noisy - np.sqrt(1.0 - kept[step]) * noise) / np.sqrt(kept[step]), -1.0, 1.0)
        of_clean = betas[step] * np.sqrt(before) / (1.0 - kept[step])
        of_noisy = (1.0 - before) * np.sqrt(1.0 - betas[step]) / (1.0 - kept[step])
        std = np.sqrt(betas[step] * (1.0 - before) / (1.0 - kept[step]))
        return jnp.float32(of_clean) * clean + jnp.float32(of_noisy) * noisy, jnp.float32(std)

    def noised(self, actions: Array, step: Array, noise: Array) -> Array:
        """(..., A) actions with the noise that they have at steps (...)."""
        kept = jnp.asarray(schedule(self.steps)[1], jnp.float32)[step][..., None]
        return jnp.sqrt(kept) * actions + jnp.sqrt(1.0 - kept) * noise


def schedule(steps: int) -> tuple[np.ndarray, np.ndarray]:
    """(T,) betas and alpha bars of the variance-preserving schedule (Xiao et al. 2022)."""
    low, high = _BETA
    place = np.arange(1, steps + 1)
    betas = 1.0 - np.exp(-low / steps - 0.5 * (high - low) * (2 * place - 1) / steps**2)
    return betas, np.cumprod(1.0 - betas)
