"""What the algorithms on single transitions share: a batch of (s, a, r, s', a'), networks, and target copies."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import chex
import flax.linen as nn
import flax.struct
import jax
import jax.numpy as jnp

from rvdt_jax.algorithms import base
from rvdt_jax.algorithms.base import from_setting
from rvdt_jax.data.contract import check_rewards
from rvdt_jax.data.episodes import Episodes
from rvdt_jax.errors import UserError
from rvdt_jax.models.candidates import BestCandidate
from rvdt_jax.models.encoder import fourier_encoder
from rvdt_jax.models.mlp_policy import MLPPolicy
from rvdt_jax.types import Array, Learner, Params, Store, TrainState


@dataclasses.dataclass(frozen=True)
class Spec(base.Spec):
    """The networks."""

    value: nn.Module | None = None  # V(s), where the algorithm has one


@dataclasses.dataclass(frozen=True)
class SamplingSpec(Spec):
    """Of an algorithm that draws actions from its policy."""

    target_actions: int = 1  # for a TD target


@flax.struct.dataclass
class Coefficients(base.Coefficients):
    """The scalars that every algorithm here reads."""

    gamma: Array = from_setting("loss.gamma")  # discount of the TD target
    target_rate: Array = from_setting("loss.target_rate")  # Polyak rate of target networks
    critic_learning_rate: Array = from_setting("train.critic_learning_rate")  # of critic and value function


@flax.struct.dataclass
class BackupCoefficients(Coefficients):
    """Those of ``best_target``."""

    smaller_weight: Array = from_setting("backup.smaller_weight")  # w


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


def check_data(episodes: Episodes) -> None:
    """Refuses data without transitions, or without rewards that tell actions apart.

    Raises:
        UserError: every episode is cut off after one step; or as ``data.contract.check_rewards``.
    """
    if (~episodes.terminated & (episodes.lengths == 1)).all():
        raise UserError(
            f"{episodes.name}: every episode is cut off after one step, so there is no transition to learn from. Train "
            "BC or DT."
        )
    check_rewards(episodes, "this variant")


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
    dropout: float = 0.0,
    value: type[nn.Module] | None = None,
) -> Spec:
    """MLPs with ReLU of one width for all networks.

    Args:
        config, observation_size, action_size, max_timestep, sharding: as of ``base.Algorithm.make_spec``.
        learn_std: whether the policy is a Gaussian with a learned std.
        dropout: of the policy.
        value: the class of V(s), made with the keywords of ``models.critic.ValueFunction``.
    """
    model = config.model
    return Spec(
        **base.shared_fields(config, sharding),
        policy=MLPPolicy(observation_size, action_size, learn_std=learn_std, dropout=dropout, **policy_fields(model)),
        critic=base.make_critic(model, activation="relu"),
        value=value and value(**base.mlp_sizes(model), **base.critic_sees(model), activation="relu"),
    )


def sampling_spec(
    config,
    observation_size: int,
    generator: nn.Module,
    action_size: int,
    sharding=None,
    *,
    activation: str = "relu",
    kind: type[SamplingSpec] = SamplingSpec,
    **others,
) -> SamplingSpec:
    """A policy that takes the best of the actions that ``generator`` makes; see ``models.candidates``.

    ``activation`` is the critics'; ``others`` are further fields of the ``kind``.
    """
    critic = base.make_critic(config.model, activation=activation)
    policy = BestCandidate(observation_size, action_size, generator, critic, config.eval.candidates)
    shared = base.shared_fields(config, sharding)
    return kind(**shared, policy=policy, critic=critic, target_actions=config.backup.actions, **others)


def policy_fields(model) -> dict[str, Any]:
    """The fields of a policy that is an MLP, besides its sizes S and A, from the settings ``config.model``."""
    encoder = fourier_encoder(model.policy_fourier_features, model.fourier_scale)
    return base.mlp_sizes(model) | {"encoder": encoder}


def init_learners(key: Array, spec: Spec, *, policy_target: bool = False) -> TrainState:
    """The state before the first update: policy, critic with its target, and the value function where there is one."""
    init_key, train_key = jax.random.split(key)
    policy_key, critic_key, value_key = jax.random.split(init_key, 3)
    learners = {
        "policy": base.new_learner(base.init_policy(policy_key, spec.policy), with_target=policy_target),
        "critic": base.new_critic(critic_key, spec),
    }
    if spec.value is not None:
        observation, _ = base.examples(spec)
        learners["value"] = base.new_learner(spec.value.init(value_key, observation)["params"])
    return base.new_state(train_key, **learners)


def acting_params(state: TrainState) -> dict[str, Params | None]:
    """The policy acts, and the target critic scores candidates."""
    return {"policy": state.learners["policy"].params, "critic": state.learners["critic"].target}


def values_of(critic: nn.Module, params: Params, observations: Array, actions: Array) -> Array:
    """(2, N, B) values of (N, B, A) actions, N of them in each of (B, S) states."""
    observations = jnp.broadcast_to(observations, (*actions.shape[:-1], observations.shape[-1]))
    return critic.apply({"params": params}, observations, actions)


def best_target(
    critic: Params, actions: Array, batch: Transitions, coefficients: BackupCoefficients, spec: Spec
) -> Array:
    """(B,) TD targets with the best of the (N, B, A) next actions: r + gamma max_i (w min_k Q'_k + (1 - w) max_k Q'_k).

    ``critic`` are the target critics' parameters. BCQ's equation; with w = 1 and one action, clipped double Q-learning.
    """
    values = values_of(spec.critic, critic, batch.next_observations, actions)
    weight = coefficients.smaller_weight
    best = (weight * values.min(0) + (1.0 - weight) * values.max(0)).max(0)
    return batch.rewards + coefficients.gamma * batch.continues * best


def mean_over(values: Array, mask: Array) -> Array:
    """Mean of (B,) values over the transitions that count; 0 in a batch that has none, which windows never are."""
    chex.assert_equal_shape([values, mask])
    return (values * mask).sum() / jnp.maximum(mask.sum(), 1.0)


def td_error(values: Array, targets: Array, mask: Array) -> Array:
    """Squared error of (2, B) values from (B,) targets, summed over the two critics, a mean over transitions."""
    chex.assert_shape(values, (2, *targets.shape))
    return mean_over(jnp.square(values - jax.lax.stop_gradient(targets)).sum(0), mask)


Penalty = Callable[[Params, Array], tuple[Array, base.Metrics]]


def update_critic(
    learner: Learner,
    targets: Array,
    batch: Transitions,
    coefficients: Coefficients,
    spec: Spec,
    weight: float = 1.0,
    step: Array | int = 0,
    penalty: Penalty = lambda params, values: (0.0, {}),
) -> tuple[Learner, base.Metrics]:
    """One step of both critics toward (B,) TD targets, at a constant learning rate, or with ``step`` a falling one.

    ``weight`` multiplies the TD error; ``penalty``, a function of the parameters and the (2, B) values of the data's
    actions, is added to it.
    """

    def loss(params: Params) -> tuple[Array, base.Metrics]:
        values = spec.critic.apply({"params": params}, batch.observations, batch.actions)
        error = weight * td_error(values, targets, batch.mask)
        added, metrics = penalty(params, values)
        return error + added, metrics | {"critic/td_loss": error, "critic/value": mean_over(values[0], batch.mask)}

    optimizer = base.make_optimizer(coefficients, step, peak=coefficients.critic_learning_rate)
    learner, metrics, norm = base.descend(learner, loss, optimizer)
    return learner, metrics | {"critic/grad_norm": norm}
