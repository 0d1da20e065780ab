"""The fused update: sample, TD, NLL, Q-guidance, weighted KL and target updates, as one pure function.

    L = E_D[(1 + alpha 1[tau in D_e]) nll]  -  eta E_D E_{a~pi}[Q(s, a)] / E|Q|      (variant RVDT, eqs. (2) and (3))

The variants BC ... RVDT differ in the switches of ``Spec`` and in coefficients, and share every line below.
"""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp

from rvdt_jax.algorithms import base, losses
from rvdt_jax.algorithms.base import Metrics, apply_policy, descend, make_optimizer
from rvdt_jax.algorithms.sequence_spec import Coefficients, Spec, acting_params, init, make_coefficients, make_spec
from rvdt_jax.data.rebalance import expert_mixture, expert_weight
from rvdt_jax.models.critic import QS
from rvdt_jax.models.policy import sample_actions
from rvdt_jax.types import Array, Batch, Learner, Params, PolicyOutput, Store, TrainState

ASKED = 0xA5  # folded into a key, apart from its splits
Learners = dict[str, Learner]


def update(state: TrainState, store: Store, coefficients: Coefficients, spec: Spec) -> tuple[TrainState, Metrics]:
    """One update of one seed: everything from the draw of the batch to the target networks."""
    batch_key, td_key, policy_key = jax.random.split(base.update_key(state), 3)
    batch = draw_batch(batch_key, store, coefficients, spec)
    learners, step, metrics = dict(state.learners), state.step, {}
    if spec.q_guidance:
        learners["critic"], of_critic = update_critic(learners, step, batch, td_key, coefficients, spec)
        metrics |= of_critic
    if spec.rebalancing == "kl_explicit":
        learners["expert"], of_expert = update_expert(learners, step, batch, coefficients, spec)
        metrics |= of_expert
    learners["policy"], of_policy = update_policy(learners, step, batch, policy_key, coefficients, spec)
    if spec.q_guidance:
        learners = update_targets(learners, step + 1, coefficients)
    return state.replace(step=step + 1, learners=learners), metrics | of_policy


def draw_batch(key: Array, store: Store, coefficients: Coefficients, spec: Spec) -> Batch:
    """A batch from the distribution of the variant: uniform over steps, ``dup``, or expert steps alone."""
    expert_probability: Array | float = 0.0
    if spec.expert_only:
        expert_probability = 1.0
    elif spec.rebalancing == "dup":
        expert_probability = expert_mixture(coefficients.alpha, store.expert.size, store.expert_steps.size)
    return base.draw_batch(key, store, spec, expert_probability)


def act(spec: Spec, mean: Array, log_std: Array, key: Array) -> Array:
    """The policy's action: its mean, or a reparameterised sample clipped to the action bounds."""
    return sample_actions(mean, log_std, key) if spec.gaussian else mean


def update_critic(
    learners: Learners, step: Array, batch: Batch, key: Array, coefficients: Coefficients, spec: Spec
) -> tuple[Learner, Metrics]:
    """TD learning of both critics toward the n-step target; the EMA policy says how the window goes on."""
    targets, trained = td_targets(learners, batch, key, coefficients, spec)

    def loss(params: Params) -> tuple[Array, Metrics]:
        values = spec.critic.apply({"params": params}, batch.observations, batch.actions)
        loss = losses.td_loss(values, targets, trained)
        return loss, {"critic/td_loss": loss, "critic/value": losses.masked_mean(values[0], batch.mask)}

    optimizer = make_optimizer(coefficients, step, peak=coefficients.critic_learning_rate)
    critic, metrics, norm = descend(learners["critic"], loss, optimizer)
    return critic, metrics | {"critic/grad_norm": norm}


def td_targets(
    learners: Learners, batch: Batch, key: Array, coefficients: Coefficients, spec: Spec
) -> tuple[Array, Array]:
    """(B, K) TD targets and the mask of trained steps: to the window's end, or ``n_step`` steps ahead."""
    ema, target = learners["policy"].target, {"params": learners["critic"].target}
    if spec.n_step is None:
        rows, last = jnp.arange(spec.batch_size), losses.last_valid(batch.mask)
        output = apply_policy(spec, ema, batch, step=last)
        next_action = act(spec, output.mean[:, 0], output.log_std[:, 0], key)
        values = spec.critic.apply(target, batch.observations[rows, last], next_action)
        return losses.window_targets(batch.rewards, batch.mask, batch.terminals, values.min(0), coefficients.gamma)
    output = apply_policy(spec, ema, batch)
    next_actions = act(spec, output.mean, output.log_std, key)
    values = spec.critic.apply(target, batch.observations, next_actions)
    return losses.n_step_targets(
        batch.rewards, batch.mask, batch.terminals, values.min(0), coefficients.gamma, spec.n_step
    )


def update_expert(
    learners: Learners, step: Array, batch: Batch, coefficients: Coefficients, spec: Spec
) -> tuple[Learner, Metrics]:
    """Clones pi_e(a|s) from the expert windows of the batch, for ``kl_explicit``."""

    def loss(params: Params) -> tuple[Array, Metrics]:
        means = spec.expert.apply({"params": params}, batch.observations)
        loss = losses.expert_cloning(means, batch.actions, batch.mask, batch.expert)
        return loss, {"expert/cloning_loss": loss}

    expert, metrics, _ = descend(learners["expert"], loss, make_optimizer(coefficients, step))
    return expert, metrics


def update_policy(
    learners: Learners, step: Array, batch: Batch, key: Array, coefficients: Coefficients, spec: Spec
) -> tuple[Learner, Metrics]:
    """One step down the objective; gradients reach the policy alone."""

    def loss(params: Params) -> tuple[Array, Metrics]:
        return policy_loss(params, learners, step, batch, key, coefficients, spec)

    optimizer = make_optimizer(coefficients, step, coefficients.weight_decay)
    policy, metrics, norm = descend(learners["policy"], loss, optimizer)
    return policy, metrics | {"policy/grad_norm": norm}


def policy_loss(
    params: Params,
    learners: Learners,
    step: Array,
    batch: Batch,
    key: Array,
    coefficients: Coefficients,
    spec: Spec,
) -> tuple[Array, Metrics]:
    """The objective of the policy, eqs. (1) to (3), as a function of its parameters ``params``."""
    dropout_key, action_key, swap_key = jax.random.split(key, 3)
    output = apply_policy(spec, params, batch, dropout_key=dropout_key)
    nll = step_nll(output, batch.actions, spec)
    alpha = coefficients.alpha if spec.rebalancing == "kl" else 0.0
    loss = losses.weighted_nll(nll, batch.mask, expert_weight(batch.expert, alpha))
    metrics = {"policy/nll": losses.masked_mean(nll, batch.mask), "policy/weighted_nll": loss}
    if spec.rebalancing == "kl_explicit":
        expert_params = {"params": learners["expert"].params}
        expert_means = jax.lax.stop_gradient(spec.expert.apply(expert_params, batch.observations))
        kl_per_step = losses.gaussian_kl(output.mean, output.log_std, expert_means, spec.std)
        metrics["policy/kl"] = losses.explicit_kl(kl_per_step, batch.mask, batch.expert)
        loss += coefficients.alpha * metrics["policy/kl"]
    if spec.q_guidance:
        asked = guided_output(params, output, batch, jax.random.fold_in(key, ASKED), coefficients, spec)
        actions = act(spec, asked.mean, asked.log_std, action_key)
        guiding, scaling = shuffle_critics(learners["critic"].params, jax.random.bernoulli(swap_key))
        values = spec.critic.single(guiding, batch.observations, actions)
        scale_values = spec.critic.single(scaling, batch.observations, jax.lax.stop_gradient(actions))
        guidance, metrics["policy/value"] = losses.q_guidance(values, scale_values, batch.mask)
        loss += warmed_up(coefficients, step) * guidance
    if spec.policy.predict_state:
        metrics["policy/state_loss"] = losses.state_prediction(output.next_observations, batch.observations, batch.mask)
        loss += coefficients.state_prediction * metrics["policy/state_loss"]
    return loss, metrics | {"policy/loss": loss}


def step_nll(output: PolicyOutput, actions: Array, spec: Spec) -> Array:
    """The NLL of (..., A) actions as the objective has it: a deterministic policy's is the squared error."""
    if spec.gaussian:
        return losses.gaussian_nll(output.mean, output.log_std, actions, spec.std)
    return losses.squared_error(output.mean, actions)


def guided_output(
    params: Params, output: PolicyOutput, batch: Batch, key: Array, coefficients: Coefficients, spec: Spec
) -> PolicyOutput:
    """The policy that guidance moves: on the data's returns-to-go, on those of inference, or half and half.

    A window never carries what inference asks of its states: far from the goal, a high return. Eq. (3) leaves open
    under which g the guided action is drawn; here g is what it would be had the episode begun with one of the targets.

    Args:
        params: of the policy.
        output: on the data's returns-to-go.
        batch: the windows; of ``both`` the first half is asked for a target.
        key: of the draw of a target for each window, and of dropout.
        coefficients, spec: of the run.
    """
    if spec.guidance_return == "data":
        return output
    rows = spec.batch_size if spec.guidance_return == "target" else max(1, spec.batch_size // 2)
    part = jax.tree.map(lambda leaf: leaf[:rows], batch)
    target_key, dropout_key = jax.random.split(key)
    target = jax.random.choice(target_key, coefficients.targets, (rows,))
    part = part.replace(returns_to_go=part.returns_to_go + (target - part.returns)[:, None])
    asked = apply_policy(spec, params, part, dropout_key=dropout_key)
    return output.replace(
        mean=jnp.concatenate([asked.mean, output.mean[rows:]]),
        log_std=jnp.concatenate([asked.log_std, output.log_std[rows:]]),
    )


def warmed_up(coefficients: Coefficients, step: Array) -> Array:
    """eta after ``step`` updates: it rises on a line over the first ``eta_warmup``."""
    rise = jnp.minimum(step / jnp.maximum(coefficients.eta_warmup, 1), 1.0)
    return coefficients.eta * jnp.where(coefficients.eta_warmup > 0, rise, 1.0)


def shuffle_critics(critic: Params, swap: Array) -> tuple[Params, Params]:
    """The parameters of (Q_i, Q_j): (i, j) is (1, 2), or (2, 1) where ``swap``, () bool."""
    first, second = (critic[name] for name in QS)
    choose = functools.partial(jax.tree.map, lambda one, other: jnp.where(swap, other, one))
    return choose(first, second), choose(second, first)


def update_targets(learners: Learners, step: Array, coefficients: Coefficients) -> Learners:
    """Polyak-averages the target critic every update, and the EMA policy every ``ema_every``.

    Until update ``ema_start`` the EMA is a copy of the policy. ``step`` counts this update.
    """
    policy, critic = learners["policy"], learners["critic"]
    due = step % coefficients.ema_every == 0
    decay = jnp.where(step <= coefficients.ema_start, 0.0, jnp.where(due, coefficients.ema_decay, 1.0))
    ema = jax.tree.map(lambda ema, new: decay * ema + (1.0 - decay) * new, policy.target, policy.params)
    critic = base.follow(critic, coefficients.target_rate)
    return learners | {"policy": policy.replace(target=ema), "critic": critic}


SEQUENCE = base.Algorithm(make_spec, update, init, make_coefficients, acting_params, step_nll)
