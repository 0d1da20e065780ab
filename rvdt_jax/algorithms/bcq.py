"""BCQ (Fujimoto et al. 2019): actions come from a model of the data, and a critic says which.

    L_vae = E_D |a - D(s, z)|^2 / A + c KL(q(z | s, a) || N(0, 1)) / 2A,   z ~ q(z | s, a)          (eq. (28))
    y     = r + gamma max_i [w min_k Q'_k(s', a'_i) + (1 - w) max_k Q'_k(s', a'_i)]                 (eq. (13))
    L_Q   = E_D sum_k (Q_k(s, a) - y)^2
    L_pi  = - E_D Q_1(s, a_0)                                                                       (eq. (12))

An action a_i is D(s, z_i) + xi(s, D(s, z_i)) with z_i ~ clip(N(0, 1), +-.5) and |xi| <= Phi; for the target, xi is the
perturbation's target network. Acting: ``models.candidates.BestCandidate``.
"""

from __future__ import annotations

import flax.struct
import jax
import jax.numpy as jnp

from rvdt_jax.algorithms import base, transitions
from rvdt_jax.algorithms.base import Metrics, descend, follow, from_setting, make_optimizer
from rvdt_jax.algorithms.transitions import SamplingSpec, Transitions, check_data, draw_transitions, mean_over
from rvdt_jax.models.candidates import ConditionalVAE, PerturbedVAE
from rvdt_jax.models.critic import MLP, QS
from rvdt_jax.types import Array, Learner, Params, Store, TrainState


@flax.struct.dataclass
class Coefficients(transitions.BackupCoefficients):
    """The scalars of the objective."""

    kl_weight: Array = from_setting("vae.kl_weight")  # c


def make_vae(config, action_size: int) -> ConditionalVAE:
    """The model of the data's actions."""
    vae, model = config.vae, config.model
    return ConditionalVAE(action_size, vae.width, 2, jnp.dtype(model.dtype), vae.largest_latent)


def make_spec(config, observation_size: int, action_size: int, max_timestep: int, sharding=None) -> SamplingSpec:
    """As ``base.Algorithm`` says."""
    network = MLP(output_size=action_size, activation="relu", **base.mlp_sizes(config.model))
    generator = PerturbedVAE(make_vae(config, action_size), network, config.bcq.perturbation)
    return transitions.sampling_spec(config, observation_size, generator, action_size, sharding)


def init(key: Array, spec: SamplingSpec) -> TrainState:
    """The VAE, the perturbation and the critics, the last two with targets."""
    critic_key, vae_key, policy_key, train_key = jax.random.split(key, 4)
    observation, action = base.examples(spec)
    both = jnp.concatenate([observation, action], -1)
    perturbation = spec.policy.generator.network.init(policy_key, both)["params"]
    return base.new_state(
        train_key,
        critic=base.new_critic(critic_key, spec),
        vae=init_vae(vae_key, spec.policy.generator.vae, observation, action),
        policy=base.new_learner(perturbation, with_target=True),
    )


def init_vae(key: Array, vae: ConditionalVAE, observation: Array, action: Array) -> Learner:
    """A fresh model of the data's actions, from examples (1, S) and (1, A)."""
    return base.new_learner(vae.init(key, observation, action, jnp.zeros((1, *vae.noise_shape)))["params"])


def update(
    state: TrainState, store: Store, coefficients: Coefficients, spec: SamplingSpec
) -> tuple[TrainState, Metrics]:
    """One update of the VAE, the critics and the perturbation, in this order; then of the targets."""
    batch_key, vae_key, next_key, here_key = jax.random.split(base.update_key(state), 4)
    batch, generator = draw_transitions(batch_key, store, spec), spec.policy.generator
    learners, rate = dict(state.learners), coefficients.target_rate
    learners["vae"], metrics = update_vae(learners["vae"], batch, vae_key, coefficients, generator.vae)
    vae, perturbation = learners["vae"].params, learners["policy"]

    def draw(perturbation: Params, observations: Array, count: int, key: Array) -> Array:
        noise = jax.random.normal(key, (count, observations.shape[0], *generator.noise_shape))
        params = {"vae": vae, "network": perturbation}
        return generator.apply({"params": params}, observations, noise, method="decode")

    next_actions = draw(perturbation.target, batch.next_observations, spec.target_actions, next_key)
    targets = transitions.best_target(learners["critic"].target, next_actions, batch, coefficients, spec)
    critic, of_critic = transitions.update_critic(learners["critic"], targets, batch, coefficients, spec)

    def loss(params: Params) -> tuple[Array, Metrics]:
        actions = draw(params, batch.observations, 1, here_key)[0]
        value = mean_over(spec.critic.single(critic.params[QS[0]], batch.observations, actions), batch.mask)
        return -value, {"policy/loss": -value}

    policy, of_policy, norm = descend(perturbation, loss, make_optimizer(coefficients, 0))
    learners |= {"critic": follow(critic, rate), "policy": follow(policy, rate)}
    metrics |= of_critic | of_policy | {"policy/grad_norm": norm}
    return state.replace(step=state.step + 1, learners=learners), metrics


def update_vae(
    learner: Learner, batch: Transitions, key: Array, coefficients: Coefficients, vae: ConditionalVAE
) -> tuple[Learner, Metrics]:
    """One step of the model of the data's actions."""
    noise = jax.random.normal(key, (batch.actions.shape[0], *vae.noise_shape))

    def loss(params: Params) -> tuple[Array, Metrics]:
        made, mean, log_std = vae.apply({"params": params}, batch.observations, batch.actions, noise)
        error = jnp.square(made - batch.actions).mean()
        kl = (0.5 * (jnp.square(mean) + jnp.exp(2.0 * log_std) - 1.0) - log_std).mean()
        total = error + coefficients.kl_weight * kl
        return total, {"vae/loss": total, "vae/error": error, "vae/kl": kl}

    learner, metrics, norm = descend(learner, loss, make_optimizer(coefficients, 0))
    return learner, metrics | {"vae/grad_norm": norm}


def acting_params(state: TrainState) -> dict[str, Params]:
    """The generator with the critics that choose; the target critic scores other candidates."""
    vae, perturbation, critic = (state.learners[name] for name in ("vae", "policy", "critic"))
    generator = {"vae": vae.params, "network": perturbation.params}
    return {"policy": {"generator": generator, "critic": critic.params}, "critic": critic.target}


BCQ = base.Algorithm(make_spec, update, init, Coefficients.read, acting_params, check_data=check_data)
