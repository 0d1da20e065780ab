"""From resolved settings to what the compiled step takes: its static ``Spec`` and its traced ``Coefficients``."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from rvdt_jax.algorithms.state import Spec
from rvdt_jax.models.build import make_critic, make_expert, make_policy
from rvdt_jax.types import Coefficients


def make_spec(config, observation_size: int, action_size: int, max_timestep: int, sharding=None) -> Spec:
    """The static structure of a run.

    Args:
        config: a ``rvdt_jax.config.settings.Config``.
        observation_size, action_size: S and A.
        max_timestep: steps of the longest training episode.
        sharding: how a seed's batch is laid over devices; see ``train.parallel``.
    """
    return Spec(
        policy=make_policy(config, observation_size, action_size, max_timestep),
        critic=make_critic(config),
        expert=make_expert(config, action_size),
        batch_size=config.train.batch_size,
        context_length=config.model.context_length,
        gaussian=config.policy.head == "gaussian",
        std=config.policy.std,
        rebalancing=config.loss.rebalancing,
        q_guidance=config.loss.q_guidance,
        expert_only=config.expert.only,
        n_step=config.loss.n_step,
        guidance_return=config.loss.guidance_return,
        skip_nonfinite=config.train.on_divergence == "skip",
        batch_sharding=sharding,
    )


def make_coefficients(config) -> Coefficients:
    """The traced scalars of a run."""
    values = {
        "eta": config.loss.eta,
        "alpha": config.loss.alpha,
        "gamma": config.loss.gamma,
        "learning_rate": config.train.learning_rate,
        "critic_learning_rate": config.train.critic_learning_rate,
        "lr_decay_steps": config.train.lr_decay_steps,
        "grad_clip_norm": config.train.grad_clip_norm,
        "weight_decay": config.train.weight_decay,
        "target_rate": config.loss.target_rate,
        "ema_decay": config.ema.decay,
        "state_prediction": config.loss.state_prediction,
    }
    counts = {"eta_warmup": config.loss.eta_warmup, "ema_every": config.ema.every, "ema_start": config.ema.start}
    return Coefficients(
        **{name: jnp.asarray(value, jnp.float32) for name, value in values.items()},
        **{name: jnp.asarray(value, jnp.int32) for name, value in counts.items()},
        targets=jnp.asarray(config.eval.targets, jnp.float32) / config.policy.return_scale,
    )


def seed_mapping(config, mesh: Mesh | None = None) -> str:
    """``parallel.seeds``; ``auto`` is a loop on CPU, where one seed fills the cores, and a vmap elsewhere.

    Seeds that are spread over devices are always a vmap: in a loop all but one group of devices would wait.
    """
    if mesh is not None and mesh.shape["seed"] > 1:
        return "vmap"
    if config.parallel.seeds != "auto":
        return config.parallel.seeds
    return "loop" if jax.default_backend() == "cpu" else "vmap"
