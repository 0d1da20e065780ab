"""BEAR (Kumar et al. 2019): a policy that seeks value inside the support of the data's actions.

    L_pi     = E_D[ lambda MMD(s) - min_k mean_i Q_k(s, tanh u_i) ],   u_i of pi(s)                 (eq. (1))
    L_lambda = - lambda (E_D MMD(s) - epsilon),   log lambda in [-5, 10]
    MMD^2    = mean k(u, u) + mean k(v, v) - 2 mean k(u, v),   v_i of the data's model             (section 4.1)

pi is SAC's tanh-Gaussian; u and v are actions before the tanh, N of each, with noise clipped to +-.5 as the data's
model has it. k is exp(-|d|_1 / 2 sigma) or exp(-|d|^2 / 2 sigma). VAE, critics and TD target are BCQ's, the latter with
actions of the target policy. In the first ``bear.start`` updates the policy follows no value. Acting is
``models.candidates.BestCandidate``, by the smaller critic, where the authors act by the first. Their code adds a term
for the critics' spread, which ours leaves out.
"""

from __future__ import annotations

import dataclasses

import flax.struct
import jax
import jax.numpy as jnp

from rvdt_jax.algorithms import base, bcq, transitions
from rvdt_jax.algorithms.base import Metrics, descend, follow, from_setting, make_optimizer
from rvdt_jax.algorithms.transitions import SamplingSpec, check_data, draw_transitions, mean_over, values_of
from rvdt_jax.models.candidates import ConditionalVAE
from rvdt_jax.models.mlp_policy import SquashedPolicy
from rvdt_jax.types import Array, Learner, Params, Store, TrainState

LOG_MULTIPLIER_RANGE = (-5.0, 10.0)  # the authors'


@dataclasses.dataclass(frozen=True)
class Spec(SamplingSpec):
    """The networks besides policy and critic, and how actions are compared."""

    vae: ConditionalVAE | None = None
    samples: int = 10  # N
    kernel: str = "laplacian"


@flax.struct.dataclass
class Coefficients(bcq.Coefficients):
    """The scalars of the objective."""

    threshold: Array = from_setting("bear.threshold")  # epsilon
    sigma: Array = from_setting("bear.sigma")
    start: Array = from_setting("bear.start", jnp.int32)


def make_spec(config, observation_size: int, action_size: int, max_timestep: int, sharding=None) -> Spec:
    """As ``base.Algorithm`` says."""
    generator = SquashedPolicy(observation_size, action_size, **transitions.policy_fields(config.model))
    compared = {"vae": bcq.make_vae(config, action_size), "samples": config.bear.samples, "kernel": config.bear.kernel}
    return transitions.sampling_spec(config, observation_size, generator, action_size, sharding, kind=Spec, **compared)


def init(key: Array, spec: Spec) -> TrainState:
    """Policy and critics with targets, the VAE, and the logarithm of lambda (``multiplier``)."""
    critic_key, vae_key, policy_key, train_key = jax.random.split(key, 4)
    observation, action = base.examples(spec)
    policy = spec.policy.generator.init(policy_key, observation)["params"]
    return base.new_state(
        train_key,
        critic=base.new_critic(critic_key, spec),
        vae=bcq.init_vae(vae_key, spec.vae, observation, action),
        policy=base.new_learner(policy, with_target=True),
        multiplier=base.new_learner(jnp.zeros(())),
    )


def update(state: TrainState, store: Store, coefficients: Coefficients, spec: Spec) -> tuple[TrainState, Metrics]:
    """One update of the VAE, the critics, the policy and lambda, in this order; then of the targets."""
    batch_key, vae_key, next_key, policy_key = jax.random.split(base.update_key(state), 4)
    batch, learners = draw_transitions(batch_key, store, spec), dict(state.learners)
    learners["vae"], metrics = bcq.update_vae(learners["vae"], batch, vae_key, coefficients, spec.vae)

    noise = jax.random.normal(next_key, (spec.target_actions, *batch.actions.shape))
    policy = {"params": learners["policy"].target}
    next_actions = spec.policy.generator.apply(policy, batch.next_observations, noise, method="decode")
    targets = transitions.best_target(learners["critic"].target, next_actions, batch, coefficients, spec)
    critic, of_critic = transitions.update_critic(learners["critic"], targets, batch, coefficients, spec)

    moved = learners | {"critic": critic}
    guided = state.step >= coefficients.start
    learners["policy"], of_policy = update_policy(moved, batch, guided, policy_key, coefficients, spec)
    learners["multiplier"] = update_multiplier(learners["multiplier"], of_policy["policy/mmd"], coefficients)
    learners["critic"] = follow(critic, coefficients.target_rate)
    learners["policy"] = follow(learners["policy"], coefficients.target_rate)
    return state.replace(step=state.step + 1, learners=learners), metrics | of_critic | of_policy


def update_policy(
    learners: dict[str, Learner],
    batch: transitions.Transitions,
    guided: Array,
    key: Array,
    coefficients: Coefficients,
    spec: Spec,
) -> tuple[Learner, Metrics]:
    """One step of the policy; ``guided``, () bool, says whether it follows the critics."""
    data_key, noise_key = jax.random.split(key)
    shape = (spec.samples, batch.actions.shape[0])
    latents = jax.random.normal(data_key, (*shape, *spec.vae.noise_shape))
    of_data = spec.vae.apply({"params": learners["vae"].params}, batch.observations, latents, method="raw")
    noise = jax.random.normal(noise_key, (*shape, batch.actions.shape[1]))
    noise = jnp.clip(noise, -spec.vae.largest, spec.vae.largest)
    multiplier, critic = jnp.exp(learners["multiplier"].params), learners["critic"].params

    def loss(params: Params) -> tuple[Array, Metrics]:
        mean, log_std = spec.policy.generator.apply({"params": params}, batch.observations, method="gaussian")
        drawn = mean + jnp.exp(log_std) * noise
        distance = mean_over(mmd(drawn, of_data, coefficients.sigma, spec.kernel), batch.mask)
        values = values_of(spec.critic, critic, batch.observations, jnp.tanh(drawn)).mean(1).min(0)
        value = mean_over(values, batch.mask)
        loss = multiplier * distance - guided * value
        metrics = {"policy/loss": loss, "policy/mmd": distance, "policy/value": value}
        return loss, metrics | {"policy/multiplier": multiplier}

    policy, metrics, norm = descend(learners["policy"], loss, make_optimizer(coefficients, 0))
    return policy, metrics | {"policy/grad_norm": norm}


def mmd(left: Array, right: Array, sigma: Array, kernel: str) -> Array:
    """(B,) maximum mean discrepancies between (N, B, A) samples, for each B."""

    def similarity(left: Array, right: Array) -> Array:
        apart = left[:, None] - right[None]
        apart = (jnp.abs(apart) if kernel == "laplacian" else jnp.square(apart)).sum(-1)
        return jnp.exp(-apart / (2.0 * sigma)).mean((0, 1))

    squared = similarity(left, left) + similarity(right, right) - 2.0 * similarity(left, right)
    return jnp.sqrt(jnp.maximum(squared, 0.0) + 1e-6)  # the root has no gradient at 0


def update_multiplier(learner: Learner, distance: Array, coefficients: Coefficients) -> Learner:
    """log lambda rises while the mean MMD is above epsilon."""

    def loss(log_multiplier: Array) -> tuple[Array, None]:
        return -jnp.exp(log_multiplier) * (distance - coefficients.threshold), None

    learner = descend(learner, loss, make_optimizer(coefficients, 0))[0]
    return learner.replace(params=jnp.clip(learner.params, *LOG_MULTIPLIER_RANGE))


def acting_params(state: TrainState) -> dict[str, Params]:
    """The policy with the critics that choose; the target critic scores other candidates."""
    policy, critic = state.learners["policy"].params, state.learners["critic"]
    return {"policy": {"generator": policy, "critic": critic.params}, "critic": critic.target}


BEAR = base.Algorithm(make_spec, update, init, Coefficients.read, acting_params, check_data=check_data)
