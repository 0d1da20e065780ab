"""What is static about a run (``Spec``), and how a seed's ``TrainState`` begins."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import optax

from rvdt_jax.models.critic import ExpertPolicy, TwinCritic
from rvdt_jax.models.policy import TransformerPolicy
from rvdt_jax.types import Array, Coefficients, Params, TrainState


@dataclasses.dataclass(frozen=True)
class Spec:
    """The static structure of a run: hashable, so that equal specs share one compiled step.

    Attributes:
        policy, critic, expert: the modules; parameters live in the ``TrainState``.
        batch_size, context_length: B and K.
        gaussian: whether the policy is a Gaussian (else its mean is regressed).
        std: the fixed standard deviation, or the reference std when it is learned.
        rebalancing: ``none``, ``dup``, ``kl`` or ``kl_explicit``.
        q_guidance: whether critic, EMA and targets exist.
        expert_only: %BC.
        n_step: steps that a TD target looks ahead; None: to the window's end.
        guidance_return: the return-to-go under which the guided action is drawn: ``data``, ``target`` or ``both``.
        skip_nonfinite: whether an update that is not finite leaves the state as it was.
        batch_sharding: how a batch is laid over devices; None on one device.
    """

    policy: TransformerPolicy
    critic: TwinCritic
    expert: ExpertPolicy
    batch_size: int
    context_length: int
    gaussian: bool
    std: float
    rebalancing: str
    q_guidance: bool
    expert_only: bool
    n_step: int | None = None
    guidance_return: str = "data"
    skip_nonfinite: bool = False
    batch_sharding: jax.sharding.NamedSharding | None = None


def make_optimizer(
    coefficients: Coefficients, step: Array, weight_decay: Array | float, learning_rate: Array | None = None
) -> optax.GradientTransformation:
    """Adam as the sources use it: clip the global norm, add L2, normalise, and let the schedule scale the result.

    The coefficients may be traced; the optimiser's state does not depend on them.

    Args:
        coefficients: of the run.
        step: updates done.
        weight_decay: L2 coefficient.
        learning_rate: the peak; None: ``coefficients.learning_rate``.
    """
    phase = jnp.pi * jnp.minimum(step / coefficients.lr_decay_steps, 1.0)  # at 0 it stays there
    peak = coefficients.learning_rate if learning_rate is None else learning_rate
    learning_rate = peak * 0.5 * (1.0 + jnp.cos(phase))
    return optax.chain(
        optax.clip_by_global_norm(coefficients.grad_clip_norm),
        optax.add_decayed_weights(weight_decay),
        optax.scale_by_adam(),
        optax.scale(-learning_rate),
    )


def init_optimizer(params: Params):
    """The state of ``make_optimizer``'s chain for ``params``; it depends on no coefficient."""
    ones = Coefficients(**{field.name: 1.0 for field in dataclasses.fields(Coefficients)})
    return make_optimizer(ones, 0, 0.0).init(params)


def init_policy(key: Array, policy: TransformerPolicy) -> Params:
    """Fresh policy parameters."""
    observations = jnp.zeros((1, 2, policy.observation_size))
    actions = jnp.zeros((1, 2, policy.action_size))
    return policy.init(key, observations, actions, jnp.zeros((1, 2)), jnp.zeros((1, 2), jnp.int32))["params"]


def init_state(seed: Array, spec: Spec) -> TrainState:
    """The state before the first update. ``seed`` is () int32, so this maps over seeds."""
    init_key, train_key = jax.random.split(jax.random.key(seed))
    policy_key, critic_key, expert_key = jax.random.split(init_key, 3)
    observation, action = jnp.zeros((1, spec.policy.observation_size)), jnp.zeros((1, spec.policy.action_size))
    policy = init_policy(policy_key, spec.policy)
    critic = spec.critic.init(critic_key, observation, action)["params"] if spec.q_guidance else None
    explicit = spec.rebalancing == "kl_explicit"
    expert = spec.expert.init(expert_key, observation)["params"] if explicit else None
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        key=train_key,
        policy=policy,
        policy_optimizer=init_optimizer(policy),
        ema_policy=copy_params(policy) if spec.q_guidance else None,
        critic=critic,
        critic_optimizer=init_optimizer(critic) if spec.q_guidance else None,
        target_critic=copy_params(critic) if spec.q_guidance else None,
        expert=expert,
        expert_optimizer=init_optimizer(expert) if explicit else None,
    )


def copy_params(params: Params) -> Params:
    """The same values in buffers of their own: donated states must not alias."""
    return jax.tree.map(jnp.copy, params)
