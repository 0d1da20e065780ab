"""CQL (Kumar et al. 2020): SAC whose critics are low wherever the data have no actions.

    y    = r + gamma min_k Q'_k(s', a'),   a' ~ pi(s')                                  (no entropy, as the authors)
    G_k  = E_D[ log 1/(3N) sum_i exp(Q_k(s, a_i)) / p(a_i)  -  Q_k(s, a) ]              (the term of eq. (4))
    L_Q  = sum_k E_D (Q_k(s, a) - y)^2  +  lambda alpha sum_k (G_k - tau)
    L_pi = E_D[ beta log pi(a | s) - min_k Q_k(s, a) ],   a ~ pi(s)                     (SAC, Haarnoja et al. 2018)

The 3N actions a_i are N uniform ones, N of pi(s) and N of pi(s'), and p is the density that each was drawn from:
log E exp(Q) / p estimates the log of the integral of exp(Q). beta holds the policy's entropy at -A. With
``cql.lagrange``, lambda holds the mean G at tau (appendix F); else it is 1, and tau has no effect. CORL leaves out
1/(3N), so that its tau is log(3N) larger. The authors' code clones the data at first; ours does not.
"""

from __future__ import annotations

import dataclasses
import functools

import flax.struct
import jax
import jax.numpy as jnp

from rvdt_jax.algorithms import base, transitions
from rvdt_jax.algorithms.base import Metrics, descend, follow, from_setting, make_optimizer
from rvdt_jax.algorithms.transitions import (
    Transitions,
    acting_params,
    check_data,
    draw_transitions,
    mean_over,
    values_of,
)
from rvdt_jax.models.mlp_policy import SquashedPolicy
from rvdt_jax.types import Array, Learner, Params, Store, TrainState

Learners = dict[str, Learner]


@dataclasses.dataclass(frozen=True)
class Spec(transitions.SamplingSpec):
    """The networks, and how many actions are drawn."""

    actions: int = 10  # N
    lagrange: bool = False


@flax.struct.dataclass
class Coefficients(transitions.BackupCoefficients):
    """The scalars of the objective."""

    alpha: Array = from_setting("cql.alpha")
    threshold: Array = from_setting("cql.threshold")  # tau


def make_spec(config, observation_size: int, action_size: int, max_timestep: int, sharding=None) -> Spec:
    """As ``base.Algorithm`` says: MLPs with ReLU of one width."""
    return Spec(
        **base.shared_fields(config, sharding),
        policy=SquashedPolicy(observation_size, action_size, **transitions.policy_fields(config.model)),
        critic=base.make_critic(config.model, activation="relu"),
        target_actions=config.backup.actions,
        actions=config.cql.actions,
        lagrange=config.cql.lagrange,
    )


def init(key: Array, spec: Spec) -> TrainState:
    """Policy and critics, the logarithm of beta (``temperature``), and that of lambda (``multiplier``)."""
    state = transitions.init_learners(key, spec)
    names = ("temperature", "multiplier") if spec.lagrange else ("temperature",)
    return state.replace(learners=state.learners | {name: base.new_learner(jnp.zeros(())) for name in names})


def update(state: TrainState, store: Store, coefficients: Coefficients, spec: Spec) -> tuple[TrainState, Metrics]:
    """One update of everything, from the parameters before it; the policy's step alone sees the new beta."""
    batch_key, policy_key, target_key, other_key = jax.random.split(base.update_key(state), 4)
    batch = draw_transitions(batch_key, store, spec)
    learners, before = dict(state.learners), state.learners
    policy = before["policy"].params
    next_actions, _ = draw_actions(policy, batch.next_observations, spec.target_actions, target_key, spec)
    targets = transitions.best_target(before["critic"].target, next_actions, batch, coefficients, spec)
    compared = compared_actions(policy, batch, other_key, spec)
    multiplier = jnp.exp(before["multiplier"].params) if spec.lagrange else 1.0

    def penalty(params: Params, values: Array) -> tuple[Array, Metrics]:
        gap = conservative_gap(params, values, *compared, batch, spec)
        excess = gap - coefficients.threshold
        return 2.0 * multiplier * coefficients.alpha * excess, {"critic/gap": gap}

    critic, metrics = transitions.update_critic(before["critic"], targets, batch, coefficients, spec, penalty=penalty)
    learners["critic"] = follow(critic, coefficients.target_rate)
    if spec.lagrange:
        learners["multiplier"] = update_multiplier(before["multiplier"], metrics["critic/gap"], coefficients)
        metrics["critic/multiplier"] = multiplier
    learners["temperature"], learners["policy"], of_policy = update_policy(
        before, batch, policy_key, coefficients, spec
    )
    return state.replace(step=state.step + 1, learners=learners), metrics | of_policy


def draw_actions(policy: Params, observations: Array, count: int, key: Array, spec: Spec) -> tuple[Array, Array]:
    """``count`` actions in each of (B, S) states, (N, B, A), and their log-densities, (N, B)."""
    noise = jax.random.normal(key, (count, observations.shape[0], spec.policy.action_size))
    return spec.policy.apply({"params": policy}, observations, noise, method="sample")


def compared_actions(policy: Params, batch: Transitions, key: Array, spec: Spec) -> tuple[Array, Array]:
    """The actions a_i, (3N, B, A), and log p(a_i), (3N, B)."""
    uniform_key, here_key, next_key = jax.random.split(key, 3)
    uniform = jax.random.uniform(uniform_key, (spec.actions, *batch.actions.shape), minval=-1.0)
    here = draw_actions(policy, batch.observations, spec.actions, here_key, spec)
    following = draw_actions(policy, batch.next_observations, spec.actions, next_key, spec)
    log_uniform = jnp.full(uniform.shape[:2], -batch.actions.shape[-1] * jnp.log(2.0))
    return jnp.concatenate([uniform, here[0], following[0]]), jnp.concatenate([log_uniform, here[1], following[1]])


def conservative_gap(
    critic: Params, of_data: Array, actions: Array, log_densities: Array, batch: Transitions, spec: Spec
) -> Array:
    """The mean of both critics' G, as a function of their parameters ``critic`` and (2, B) values of the data."""
    values = values_of(spec.critic, critic, batch.observations, actions)
    soft = jax.nn.logsumexp(values - log_densities, axis=1) - jnp.log(actions.shape[0])
    return mean_over((soft - of_data).mean(0), batch.mask)


def update_multiplier(learner: Learner, gap: Array, coefficients: Coefficients) -> Learner:
    """log lambda rises while the gap is above tau."""

    def loss(log_multiplier: Array) -> tuple[Array, None]:
        return -jnp.exp(log_multiplier) * coefficients.alpha * (gap - coefficients.threshold), None

    return descend(learner, loss, make_optimizer(coefficients, 0, peak=coefficients.critic_learning_rate))[0]


def update_policy(
    learners: Learners, batch: Transitions, key: Array, coefficients: Coefficients, spec: Spec
) -> tuple[Learner, Learner, Metrics]:
    """One step of log beta toward an entropy of -A, then one of the policy."""
    optimizer, critic = make_optimizer(coefficients, 0), learners["critic"].params

    _, log_densities = draw_actions(learners["policy"].params, batch.observations, 1, key, spec)
    entropy = -mean_over(log_densities[0], batch.mask)

    def policy_loss(params: Params, temperature: Array) -> tuple[Array, Metrics]:
        actions, log_densities = draw_actions(params, batch.observations, 1, key, spec)
        values = values_of(spec.critic, critic, batch.observations, actions).min(0)
        loss = mean_over((temperature * log_densities - values)[0], batch.mask)
        return loss, {"policy/loss": loss, "policy/entropy": entropy, "policy/temperature": temperature}

    def temperature_loss(log_temperature: Array) -> tuple[Array, None]:
        return log_temperature * (entropy + spec.policy.action_size), None

    temperature = descend(learners["temperature"], temperature_loss, optimizer)[0]
    fixed = functools.partial(policy_loss, temperature=jnp.exp(temperature.params))
    policy, metrics, norm = descend(learners["policy"], fixed, optimizer)
    return temperature, policy, metrics | {"policy/grad_norm": norm}


CQL = base.Algorithm(make_spec, update, init, Coefficients.read, acting_params, check_data=check_data)
