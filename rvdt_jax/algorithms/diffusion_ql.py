"""D-QL (Wang et al. 2023): a diffusion model of the data's actions that also follows the critics.

    y    = r + gamma min_k Q'_k(s', a'),   a' of the policy's moving average
    L_Q  = E_D sum_k (Q_k(s, a) - y)^2
    L_pi = E_D |e - e_pi(sqrt(b_t) a + sqrt(1 - b_t) e, t, s)|^2 / A  -  eta E_D Q_i(s, a_0) / E_D |Q_j(s, a_0)|

e is normal noise, t a random step of T, b_t the schedule's alpha bar, and a_0 an action that the policy makes of noise
in T steps, through all of which the gradient goes; (i, j) is (1, 2) or (2, 1). Acting is
``models.candidates.BestCandidate``, where the authors draw among the candidates by a softmax over their values; for
antmaze, ``backup.actions`` takes the maximum over actions of the smaller value, where they take the smaller of both
critics' maxima. They standardise pen's rewards; ours are scaled as QT's. Before ``ema.start`` the average is a copy of
the policy here, and the first policy there.
"""

from __future__ import annotations

import flax.struct
import jax
import jax.numpy as jnp

from rvdt_jax.algorithms import base, losses, transitions
from rvdt_jax.algorithms.base import Metrics, descend, from_setting, make_optimizer
from rvdt_jax.algorithms.sequence import shuffle_critics, update_targets
from rvdt_jax.algorithms.transitions import SamplingSpec, Transitions, check_data, draw_transitions, mean_over
from rvdt_jax.models.diffusion import Diffusion
from rvdt_jax.types import Array, Params, Store, TrainState


@flax.struct.dataclass
class Coefficients(transitions.BackupCoefficients):
    """The scalars of the objective."""

    eta: Array = from_setting("loss.eta")  # weight of the value
    ema_decay: Array = from_setting("ema.decay")  # of the policy that bootstraps
    ema_every: Array = from_setting("ema.every", jnp.int32)
    ema_start: Array = from_setting("ema.start", jnp.int32)


def make_spec(config, observation_size: int, action_size: int, max_timestep: int, sharding=None) -> SamplingSpec:
    """As ``base.Algorithm`` says: all networks have Mish and one width."""
    generator = Diffusion(action_size, config.dql.steps, **base.mlp_sizes(config.model))
    return transitions.sampling_spec(config, observation_size, generator, action_size, sharding, activation="mish")


def init(key: Array, spec: SamplingSpec) -> TrainState:
    """Policy and critics, with targets."""
    critic_key, policy_key, train_key = jax.random.split(key, 3)
    policy = spec.policy.generator.init(policy_key, *base.examples(spec), jnp.zeros(1, jnp.int32))["params"]
    learners = {"policy": base.new_learner(policy, with_target=True), "critic": base.new_critic(critic_key, spec)}
    return base.new_state(train_key, **learners)


def update(
    state: TrainState, store: Store, coefficients: Coefficients, spec: SamplingSpec
) -> tuple[TrainState, Metrics]:
    """One update of the critics, the policy and the targets; the learning rates fall on a cosine."""
    batch_key, next_key, policy_key = jax.random.split(base.update_key(state), 3)
    batch, learners, step = draw_transitions(batch_key, store, spec), dict(state.learners), state.step
    ema = learners["policy"].target
    next_actions = draw_actions(ema, batch.next_observations, spec.target_actions, next_key, spec)
    targets = transitions.best_target(learners["critic"].target, next_actions, batch, coefficients, spec)
    learners["critic"], metrics = transitions.update_critic(
        learners["critic"], targets, batch, coefficients, spec, step=step
    )
    critic = learners["critic"].params

    def loss(params: Params) -> tuple[Array, Metrics]:
        return policy_loss(params, critic, batch, policy_key, coefficients, spec)

    learners["policy"], of_policy, norm = descend(learners["policy"], loss, make_optimizer(coefficients, step))
    learners = update_targets(learners, step + 1, coefficients)
    metrics |= of_policy | {"policy/grad_norm": norm}
    return state.replace(step=step + 1, learners=learners), metrics


def draw_actions(policy: Params, observations: Array, count: int, key: Array, spec: SamplingSpec) -> Array:
    """``count`` actions in each of (B, S) states, (N, B, A)."""
    generator = spec.policy.generator
    noise = jax.random.normal(key, (count, observations.shape[0], *generator.noise_shape))
    return generator.apply({"params": policy}, observations, noise, method="decode")


def policy_loss(
    params: Params, critic: Params, batch: Transitions, key: Array, coefficients: Coefficients, spec: SamplingSpec
) -> tuple[Array, Metrics]:
    """L_pi as a function of the policy's parameters ``params``."""
    step_key, noise_key, action_key, swap_key = jax.random.split(key, 4)
    generator = spec.policy.generator
    step = jax.random.randint(step_key, batch.actions.shape[:1], 0, generator.steps)
    noise = jax.random.normal(noise_key, batch.actions.shape)
    noisy = generator.noised(batch.actions, step, noise)
    found = generator.apply({"params": params}, batch.observations, noisy, step)
    error = mean_over(losses.squared_error(found, noise), batch.mask)

    actions = draw_actions(params, batch.observations, 1, action_key, spec)[0]
    guiding, scaling = shuffle_critics(critic, jax.random.bernoulli(swap_key))
    values = spec.critic.single(guiding, batch.observations, actions)
    scale_values = spec.critic.single(scaling, batch.observations, jax.lax.stop_gradient(actions))
    guidance, value = losses.q_guidance(values, scale_values, batch.mask, mean_over)
    loss = error + coefficients.eta * guidance
    return loss, {"policy/loss": loss, "policy/error": error, "policy/value": value}


def acting_params(state: TrainState) -> dict[str, Params]:
    """The policy with the target critics, which choose."""
    policy, critic = state.learners["policy"].params, state.learners["critic"].target
    return {"policy": {"generator": policy, "critic": critic}, "critic": critic}


D_QL = base.Algorithm(make_spec, update, init, Coefficients.read, acting_params, check_data=check_data)
