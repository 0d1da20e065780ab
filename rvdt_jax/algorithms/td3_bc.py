"""TD3+BC (Fujimoto and Gu 2021), with the switches of ReBRAC (Tarasov et al. 2023).

    y = r + gamma (min_k Q'_k(s', a~) - b |a~ - a'|^2),   a~ = clip(pi'(s') + clip(noise, -c, c), -1, 1)
    L_Q  = E_D sum_k (Q_k(s, a) - y)^2
    L_pi = E_D |pi(s) - a|^2 / A  -  eta E_D[Q_1(s, pi(s))] / E_D|Q_1(s, pi(s))|

TD3+BC has b = 0 and calls eta lambda's alpha. ReBRAC has b > 0, LayerNorm in the critics, and divides the policy's loss
by eta: its weight of |pi(s) - a|^2 is 1 / (eta A), and Adam does not see the factor. Where ReBRAC's policy follows the
smaller of both critics, TD3+BC's follows the first, as ours does. Policy and targets move at every
``td3.policy_every``-th update. The state is normalised for both; for ReBRAC the source does not.
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
from rvdt_jax.models.critic import QS
from rvdt_jax.types import Array, Learner, Params, Store, TrainState

Learners = dict[str, Learner]
_POLICY_METRICS = ("policy/loss", "policy/error", "policy/value", "policy/grad_norm")


@flax.struct.dataclass
class Coefficients(Shared):
    """The scalars of the objective."""

    eta: Array = from_setting("loss.eta")  # weight of the value beside the squared error
    policy_noise: Array = from_setting("td3.policy_noise")  # std of the noise on the target policy's action
    noise_clip: Array = from_setting("td3.noise_clip")  # c
    critic_penalty: Array = from_setting("td3.critic_penalty")  # b
    policy_every: Array = from_setting("td3.policy_every", jnp.int32)  # updates between two of the policy


def update(state: TrainState, store: Store, coefficients: Coefficients, spec: Spec) -> tuple[TrainState, Metrics]:
    """One update of the critics, and of the policy and the targets where it is due."""
    batch_key, noise_key = jax.random.split(base.update_key(state))
    batch = draw_transitions(batch_key, store, spec)
    learners, step = dict(state.learners), state.step + 1
    targets = td_targets(learners, batch, noise_key, coefficients, spec)
    learners["critic"], metrics = update_critic(learners["critic"], targets, batch, coefficients, spec)
    is_due = step % coefficients.policy_every == 0
    learners, of_policy = jax.lax.cond(
        is_due,
        lambda learners: update_policy_and_targets(learners, batch, coefficients, spec),
        lambda learners: (learners, dict.fromkeys(_POLICY_METRICS, 0.0)),
        learners,
    )
    of_policy |= {base.POLICY_UPDATED: is_due.astype(jnp.float32)}
    return state.replace(step=step, learners=learners), metrics | of_policy


def td_targets(learners: Learners, batch: Transitions, key: Array, coefficients: Coefficients, spec: Spec) -> Array:
    """(B,) y, with the smoothed target policy."""
    mean = spec.policy.apply({"params": learners["policy"].target}, batch.next_observations).mean
    noise = coefficients.policy_noise * jax.random.normal(key, mean.shape)
    noise = jnp.clip(noise, -coefficients.noise_clip, coefficients.noise_clip)
    actions = jnp.clip(mean + noise, -1.0, 1.0)
    values = spec.critic.apply({"params": learners["critic"].target}, batch.next_observations, actions).min(0)
    values -= coefficients.critic_penalty * jnp.square(actions - batch.next_actions).sum(-1)
    return batch.rewards + coefficients.gamma * batch.continues * values


def update_policy_and_targets(
    learners: Learners, batch: Transitions, coefficients: Coefficients, spec: Spec
) -> tuple[Learners, Metrics]:
    """One step of the policy, after which the targets of policy and critics follow."""

    def loss(params: Params) -> tuple[Array, Metrics]:
        return policy_loss(params, learners["critic"].params, batch, coefficients, spec)

    policy, metrics, norm = descend(learners["policy"], loss, make_optimizer(coefficients, 0))
    rate = coefficients.target_rate
    learners = learners | {"policy": follow(policy, rate), "critic": follow(learners["critic"], rate)}
    return learners, metrics | {"policy/grad_norm": norm}


def policy_loss(
    params: Params, critic: Params, batch: Transitions, coefficients: Coefficients, spec: Spec
) -> tuple[Array, Metrics]:
    """L_pi as a function of the policy's parameters ``params``."""
    actions = spec.policy.apply({"params": params}, batch.observations).mean
    error = mean_over(losses.squared_error(actions, batch.actions), batch.mask)
    values = spec.critic.single(critic[QS[0]], batch.observations, actions)
    guidance, value = losses.q_guidance(values, values, batch.mask, mean_over)
    loss = error + coefficients.eta * guidance
    return loss, {"policy/loss": loss, "policy/error": error, "policy/value": value}


_init = functools.partial(init_learners, policy_target=True)
TD3_BC = base.Algorithm(make_spec, update, _init, Coefficients.read, acting_params, check_data=check_data)
