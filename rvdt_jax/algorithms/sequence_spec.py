"""What the RVDT family is made of: its networks, its coefficients, and its state before the first update."""

from __future__ import annotations

import dataclasses

import flax.struct
import jax
import jax.numpy as jnp

from rvdt_jax.algorithms import base
from rvdt_jax.algorithms.base import from_setting
from rvdt_jax.models.critic import ExpertPolicy
from rvdt_jax.models.encoder import Encoder, fourier_encoder
from rvdt_jax.models.policy import TransformerPolicy
from rvdt_jax.types import Array, Params, TrainState


@dataclasses.dataclass(frozen=True)
class Spec(base.Spec):
    """The switches of the family, besides what every ``base.Spec`` has."""

    expert: ExpertPolicy | None = None  # the cloned expert's mean
    gaussian: bool = False  # whether the policy is a Gaussian (else its mean is regressed)
    std: float = 0.1  # the fixed standard deviation, or the reference std when it is learned
    rebalancing: str = "none"  # or ``dup``, ``kl``, ``kl_explicit``
    q_guidance: bool = False  # whether critic, EMA and targets exist
    expert_only: bool = False  # %BC
    n_step: int | None = None  # steps that a TD target looks ahead; None: to the window's end
    guidance_return: str = "data"  # under which the guided action is drawn: ``data``, ``target`` or ``both``


@flax.struct.dataclass
class Coefficients(base.Coefficients):
    """The scalars of the objective."""

    eta: Array = from_setting("loss.eta")  # weight of Q-guidance, eq. (3)
    alpha: Array = from_setting("loss.alpha")  # weight of rebalancing, eqs. (1) and (2)
    gamma: Array = from_setting("loss.gamma")  # discount of the TD target
    eta_warmup: Array = from_setting("loss.eta_warmup", jnp.int32)  # updates in which eta rises from 0; 0: none
    critic_learning_rate: Array = from_setting("train.critic_learning_rate")  # peak learning rate of the critic
    weight_decay: Array = from_setting("train.weight_decay")  # L2 coefficient on the policy
    target_rate: Array = from_setting("loss.target_rate")  # Polyak rate of the target critic
    ema_decay: Array = from_setting("ema.decay")  # decay of the EMA policy
    ema_every: Array = from_setting("ema.every", jnp.int32)  # updates between two EMA updates
    ema_start: Array = from_setting("ema.start", jnp.int32)  # update until which the EMA is a copy
    state_prediction: Array = from_setting("loss.state_prediction")  # weight of QT's state-prediction loss
    targets: Array = None  # (C,) returns that inference will ask for, scaled as returns-to-go


def make_coefficients(config) -> Coefficients:
    """The traced scalars of a run."""
    targets = jnp.asarray(config.eval.targets, jnp.float32) / config.policy.return_scale
    return Coefficients.read(config, targets=targets)


def make_spec(
    config,
    observation_size: int,
    action_size: int,
    max_timestep: int,
    sharding: jax.sharding.NamedSharding | None = None,
    encoder: Encoder | None = None,
) -> Spec:
    """The static structure of a run.

    Args:
        config: a ``rvdt_jax.config.settings.Config``.
        observation_size, action_size: S and A.
        max_timestep: steps of the longest training episode; later timesteps share its last embedding.
        sharding: how a seed's batch is laid over devices; see ``train.parallel``.
        encoder: takes the place of the Fourier features in every network; see ``models.encoder``.
    """
    model = config.model
    return Spec(
        **base.shared_fields(config, sharding),
        policy=make_policy(config, observation_size, action_size, max_timestep, encoder),
        critic=base.make_critic(model, encoder),
        expert=ExpertPolicy(action_size, **base.mlp_sizes(model), encoder=encoder),
        gaussian=config.policy.head == "gaussian",
        std=config.policy.std,
        rebalancing=config.loss.rebalancing,
        q_guidance=config.loss.q_guidance,
        expert_only=config.expert.only,
        n_step=config.loss.n_step,
        guidance_return=config.loss.guidance_return,
    )


def make_policy(
    config, observation_size: int, action_size: int, max_timestep: int, encoder: Encoder | None = None
) -> TransformerPolicy:
    """The transformer policy; arguments as of ``make_spec``."""
    model = config.model
    return TransformerPolicy(
        observation_size=observation_size,
        action_size=action_size,
        max_timestep=max_timestep,
        width=model.width,
        layers=model.layers,
        heads=model.heads,
        dropout=model.dropout,
        condition_on_return=config.policy.condition_on_return,
        learn_std=config.policy.learn_std and config.policy.head == "gaussian",
        std=config.policy.std,
        predict_state=config.loss.state_prediction > 0,
        dtype=jnp.dtype(model.dtype),
        positions=model.positions,
        encoder=encoder or fourier_encoder(model.policy_fourier_features, model.fourier_scale),
    )


def init(key: Array, spec: Spec) -> TrainState:
    """The state before the first update: a policy, and whichever of critic and cloned expert the switches ask for."""
    init_key, train_key = jax.random.split(key)
    policy_key, critic_key, expert_key = jax.random.split(init_key, 3)
    policy = base.init_policy(policy_key, spec.policy)
    learners = {"policy": base.new_learner(policy, with_target=spec.q_guidance)}
    if spec.q_guidance:
        learners["critic"] = base.new_critic(critic_key, spec)
    if spec.rebalancing == "kl_explicit":
        observation, _ = base.examples(spec)
        learners["expert"] = base.new_learner(spec.expert.init(expert_key, observation)["params"])
    return base.new_state(train_key, **learners)


def acting_params(state: TrainState) -> dict[str, Params | None]:
    """The policy acts; the target critic scores candidates where there is one."""
    critic = state.learners.get("critic")
    return {"policy": state.learners["policy"].params, "critic": None if critic is None else critic.target}
