"""IQL (Kostrikov et al. 2021) and one-step RL (Brandfonbrener et al. 2021): policies drawn out of the data.

    L_V  = E_D |tau - 1[u < 0]| u^2,  u = min_k Q'_k(s, a) - V(s)                     (IQL, eq. (5))
    L_Q  = E_D sum_k (Q_k(s, a) - r - gamma V(s'))^2 / 2                              (eq. (6))
    L_pi = - E_D min(exp(beta (min_k Q'_k(s, a) - V(s))), 100) log pi(a | s)          (eq. (7))

In one-step RL the critics evaluate the data's own policy: Q'(s', a') stands for V(s') (SARSA), and V is its mean
(tau = 1/2). Of the three policies that the paper compares, this is the exponentially weighted one. On adroit and
kitchen IQL's policy learns with dropout, as in its authors' code.
"""

from __future__ import annotations

import functools

import flax.struct
import jax
import jax.numpy as jnp

from rvdt_jax.algorithms import base, losses
from rvdt_jax.algorithms.base import Metrics, descend, follow, from_setting, make_optimizer
from rvdt_jax.algorithms.transitions import Coefficients as Shared
from rvdt_jax.algorithms.transitions import (
    Spec,
    Transitions,
    acting_params,
    check_data,
    draw_transitions,
    init_learners,
    make_spec,
    mean_over,
    update_critic,
)
from rvdt_jax.models.critic import ValueFunction
from rvdt_jax.types import Array, Learner, Params, Store, TrainState

LARGEST_WEIGHT = 100.0  # IQL's bound of exp(beta u)
Learners = dict[str, Learner]


@flax.struct.dataclass
class Coefficients(Shared):
    """The scalars of the objective."""

    expectile: Array = from_setting("iql.expectile")  # tau
    temperature: Array = from_setting("iql.temperature")  # beta: 0 clones the data, a large one maximises the value


def update(
    state: TrainState, store: Store, coefficients: Coefficients, spec: Spec, *, sarsa: bool
) -> tuple[TrainState, Metrics]:
    """One update of V, the policy and the critics, in the order of IQL's Algorithm 1; ``sarsa`` for one-step RL."""
    batch_key, dropout_key = base.update_key(state), None
    if spec.policy.dropout > 0.0:
        batch_key, dropout_key = jax.random.split(batch_key)
    batch = draw_transitions(batch_key, store, spec)
    learners, step = dict(state.learners), state.step
    target = {"params": learners["critic"].target}
    values = spec.critic.apply(target, batch.observations, batch.actions).min(0)
    learners["value"], advantages, metrics = update_value(learners["value"], values, batch, coefficients, spec)
    learners["policy"], of_policy = update_policy(
        learners["policy"], step, advantages, batch, coefficients, spec, dropout_key
    )
    if sarsa:
        following = spec.critic.apply(target, batch.next_observations, batch.next_actions).min(0)
    else:
        following = spec.value.apply({"params": learners["value"].params}, batch.next_observations)
    targets = batch.rewards + coefficients.gamma * batch.continues * following
    critic, of_critic = update_critic(learners["critic"], targets, batch, coefficients, spec, weight=0.5)
    learners["critic"] = follow(critic, coefficients.target_rate)
    return state.replace(step=step + 1, learners=learners), metrics | of_policy | of_critic


def update_value(
    learner: Learner, values: Array, batch: Transitions, coefficients: Coefficients, spec: Spec
) -> tuple[Learner, Array, Metrics]:
    """Expectile regression of V on the (B,) ``values`` of the data's actions; also the advantages, (B,)."""

    def loss(params: Params) -> tuple[Array, tuple[Array, Metrics]]:
        advantages = values - spec.value.apply({"params": params}, batch.observations)
        loss = mean_over(expectile_loss(advantages, coefficients.expectile), batch.mask)
        return loss, (advantages, {"value/loss": loss, "value/advantage": mean_over(advantages, batch.mask)})

    optimizer = make_optimizer(coefficients, 0, peak=coefficients.critic_learning_rate)  # a constant rate
    learner, (advantages, metrics), norm = descend(learner, loss, optimizer)
    return learner, advantages, metrics | {"value/grad_norm": norm}


def expectile_loss(differences: Array, expectile: Array) -> Array:
    """|tau - 1[u < 0]| u^2, elementwise; eq. (5)."""
    return jnp.abs(expectile - (differences < 0)) * jnp.square(differences)


def update_policy(
    learner: Learner,
    step: Array,
    advantages: Array,
    batch: Transitions,
    coefficients: Coefficients,
    spec: Spec,
    dropout_key: Array | None,
) -> tuple[Learner, Metrics]:
    """Advantage-weighted cloning, with dropout where a key is given; its learning rate falls on a cosine."""
    how = {} if dropout_key is None else {"deterministic": False, "rngs": {"dropout": dropout_key}}
    weights = jnp.minimum(jnp.exp(coefficients.temperature * advantages), LARGEST_WEIGHT)

    def loss(params: Params) -> tuple[Array, Metrics]:
        output = spec.policy.apply({"params": params}, batch.observations, method="act", **how)
        loss = mean_over(
            weights * losses.negative_log_likelihood(output.mean, output.log_std, batch.actions), batch.mask
        )
        return loss, {"policy/loss": loss, "policy/weight": mean_over(weights, batch.mask)}

    learner, metrics, norm = descend(learner, loss, make_optimizer(coefficients, step))
    return learner, metrics | {"policy/grad_norm": norm}


def _make_spec(config, *sizes, **how) -> Spec:
    return make_spec(config, *sizes, **how, learn_std=True, value=ValueFunction, dropout=config.iql.dropout)


_update_iql, _update_one_step = functools.partial(update, sarsa=False), functools.partial(update, sarsa=True)
_acts = {"acting_params": acting_params, "check_data": check_data}
IQL = base.Algorithm(_make_spec, _update_iql, init_learners, Coefficients.read, **_acts)
ONE_STEP = base.Algorithm(_make_spec, _update_one_step, init_learners, Coefficients.read, **_acts)
