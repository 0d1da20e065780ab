"""What the algorithms on single transitions share: a batch of (s, a, r, s', a'), networks, and target copies."""

from __future__ import annotations

import dataclasses

import chex
import flax.linen as nn
import flax.struct
import jax
import jax.numpy as jnp

from rvdt_jax.algorithms import base
from rvdt_jax.algorithms.base import from_setting
from rvdt_jax.models.encoder import fourier_encoder
from rvdt_jax.models.mlp_policy import MLPPolicy
from rvdt_jax.types import Array, Learner, Params, Store, TrainState


@dataclasses.dataclass(frozen=True)
class Spec(base.Spec):
    """The networks."""

    value: nn.Module | None = None  # V(s), where the algorithm has one


@flax.struct.dataclass
class Coefficients(base.Coefficients):
    """The scalars that every algorithm here reads."""

    gamma: Array = from_setting("loss.gamma")  # discount of the TD target
    target_rate: Array = from_setting("loss.target_rate")  # Polyak rate of target networks
    critic_learning_rate: Array = from_setting("train.critic_learning_rate")  # of critic and value function


@flax.struct.dataclass
class Transitions:
    """B steps of the data with their successors."""

    observations: Array  # (B, S)
    actions: Array  # (B, A)
    rewards: Array  # (B,)
    next_observations: Array  # (B, S); of no meaning where the MDP ended
    next_actions: Array  # (B, A); likewise
    continues: Array  # (B,) float32, 0 where the MDP ended, else 1
    mask: Array  # (B,) float32, 0 where the recording was cut off after this step: what followed is unknown


def draw_transitions(key: Array, store: Store, spec: Spec) -> Transitions:
    """B transitions, any step of the data as likely as another; none crosses the end of an episode."""
    batch = base.draw_batch(key, store, spec, length=2)
    ends = batch.terminals[:, 0]
    return Transitions(
        observations=batch.observations[:, 0],
        actions=batch.actions[:, 0],
        rewards=batch.rewards[:, 0],
        next_observations=batch.observations[:, 1],
        next_actions=batch.actions[:, 1],
        continues=1.0 - ends,
        mask=jnp.maximum(batch.mask[:, 1], ends),
    )


def make_spec(
    config,
    observation_size: int,
    action_size: int,
    max_timestep: int,
    sharding: jax.sharding.NamedSharding | None = None,
    *,
    learn_std: bool = False,
    value: type[nn.Module] | None = None,
) -> Spec:
    """MLPs with ReLU of one width for all networks.

    Args:
        config, observation_size, action_size, max_timestep, sharding: as of ``base.Algorithm.make_spec``.
        learn_std: whether the policy is a Gaussian with a learned std.
        value: the class of V(s), made with the keywords of ``models.critic.ValueFunction``.
    """
    model = config.model
    sizes, policy_sees = base.mlp_sizes(model), fourier_encoder(model.policy_fourier_features, model.fourier_scale)
    return Spec(
        **base.shared_fields(config, sharding),
        policy=MLPPolicy(observation_size, action_size, learn_std=learn_std, encoder=policy_sees, **sizes),
        critic=base.make_critic(model, activation="relu"),
        value=value and value(**sizes, **base.critic_sees(model), activation="relu"),
    )


def init_learners(key: Array, spec: Spec, *, policy_target: bool = False) -> TrainState:
    """The state before the first update: policy, critic with its target, and the value function where there is one."""
    init_key, train_key = jax.random.split(key)
    policy_key, critic_key, value_key = jax.random.split(init_key, 3)
    observation, action = jnp.zeros((1, spec.policy.observation_size)), jnp.zeros((1, spec.policy.action_size))
    critic = spec.critic.init(critic_key, observation, action)["params"]
    learners = {
        "policy": base.new_learner(base.init_policy(policy_key, spec.policy), with_target=policy_target),
        "critic": base.new_learner(critic, with_target=True),
    }
    if spec.value is not None:
        learners["value"] = base.new_learner(spec.value.init(value_key, observation)["params"])
    return base.new_state(train_key, **learners)


def acting_params(state: TrainState) -> dict[str, Params | None]:
    """The policy acts, and the target critic scores candidates."""
    return {"policy": state.learners["policy"].params, "critic": state.learners["critic"].target}


def mean_over(values: Array, mask: Array) -> Array:
    """Mean of (B,) values over the transitions that count; 0 in a batch that has none."""
    chex.assert_equal_shape([values, mask])
    return (values * mask).sum() / jnp.maximum(mask.sum(), 1.0)


def td_error(values: Array, targets: Array, mask: Array) -> Array:
    """Squared error of (2, B) values from (B,) targets, summed over the two critics, a mean over transitions."""
    chex.assert_shape(values, (2, *targets.shape))
    return mean_over(jnp.square(values - jax.lax.stop_gradient(targets)).sum(0), mask)


def update_critic(
    learner: Learner, targets: Array, batch: Transitions, coefficients: Coefficients, spec: Spec, weight: float = 1.0
) -> tuple[Learner, base.Metrics]:
    """One step of both critics toward (B,) TD targets, at a constant learning rate; ``weight`` multiplies the loss."""

    def loss(params: Params) -> tuple[Array, base.Metrics]:
        values = spec.critic.apply({"params": params}, batch.observations, batch.actions)
        error = weight * td_error(values, targets, batch.mask)
        return error, {"critic/td_loss": error, "critic/value": mean_over(values[0], batch.mask)}

    optimizer = base.make_optimizer(coefficients, 0, peak=coefficients.critic_learning_rate)
    learner, metrics, norm = base.descend(learner, loss, optimizer)
    return learner, metrics | {"critic/grad_norm": norm}
