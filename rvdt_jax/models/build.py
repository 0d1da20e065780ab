"""Modules from settings: shared by training and by whoever loads a saved policy."""

from __future__ import annotations

import jax.numpy as jnp

from rvdt_jax.models.critic import ExpertPolicy, TwinCritic
from rvdt_jax.models.policy import TransformerPolicy


def make_policy(config, observation_size: int, action_size: int, max_timestep: int) -> TransformerPolicy:
    """The policy that ``config`` (a ``rvdt_jax.config.settings.Config``) describes.

    Args:
        config: the settings.
        observation_size, action_size: S and A.
        max_timestep: steps of the longest training episode; later timesteps share its last embedding.
    """
    return TransformerPolicy(
        observation_size=observation_size,
        action_size=action_size,
        max_timestep=max_timestep,
        width=config.model.width,
        layers=config.model.layers,
        heads=config.model.heads,
        dropout=config.model.dropout,
        condition_on_return=config.policy.condition_on_return,
        learn_std=config.policy.learn_std and config.policy.head == "gaussian",
        std=config.policy.std,
        predict_state=config.loss.state_prediction > 0,
        dtype=jnp.dtype(config.model.dtype),
        positions=config.model.positions,
        fourier_features=config.model.policy_fourier_features,
        fourier_scale=config.model.fourier_scale,
    )


def make_critic(config) -> TwinCritic:
    """The critic that ``config`` describes."""
    model = config.model
    return TwinCritic(
        model.critic_width,
        model.critic_layers,
        jnp.dtype(model.dtype),
        norm=model.critic_norm == "layer",
        fourier_features=model.critic_fourier_features,
        fourier_scale=model.fourier_scale,
    )


def make_expert(config, action_size: int) -> ExpertPolicy:
    """The cloned expert of ``kl_explicit``."""
    model = config.model
    return ExpertPolicy(action_size, model.critic_width, model.critic_layers, jnp.dtype(model.dtype))
