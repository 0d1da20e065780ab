"""The fused update: sample, TD, NLL, Q-guidance, weighted KL and target updates, as one pure function.

    L = E_D[(1 + alpha 1[tau in D_e]) nll]  -  eta E_D E_{a~pi}[Q(s, a)] / E|Q|      (variant RVDT, eqs. (2) and (3))

The variants differ in the switches of ``Spec`` and in coefficients, and share every line below.
"""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import optax

from rvdt_jax.algorithms import losses
from rvdt_jax.algorithms.state import Spec, make_optimizer
from rvdt_jax.data.rebalance import expert_mixture, expert_weight
from rvdt_jax.data.sampler import sample_batch
from rvdt_jax.models.critic import QS
from rvdt_jax.models.policy import sample_actions
from rvdt_jax.types import Array, Batch, Coefficients, Params, PolicyOutput, Store, TrainState

Metrics = dict[str, Array]
SKIPPED = "train/skipped"
ASKED = 0xA5  # folded into a key, apart from its splits


def update(state: TrainState, store: Store, coefficients: Coefficients, spec: Spec) -> tuple[TrainState, Metrics]:
    """One update of one seed: everything from the draw of the batch to the target networks."""
    before = state
    batch_key, td_key, policy_key = jax.random.split(jax.random.fold_in(state.key, state.step), 3)
    batch = draw_batch(batch_key, store, coefficients, spec)
    metrics: Metrics = {}
    if spec.q_guidance:
        state, metrics = update_critic(state, batch, td_key, coefficients, spec)
    if spec.rebalancing == "kl_explicit":
        state, expert_metrics = update_expert(state, batch, coefficients, spec)
        metrics |= expert_metrics
    state, policy_metrics = update_policy(state, batch, policy_key, coefficients, spec)
    state = state.replace(step=state.step + 1)
    if spec.q_guidance:
        state = update_targets(state, coefficients)
    metrics |= policy_metrics
    return skip_nonfinite(before, state, metrics) if spec.skip_nonfinite else (state, metrics)


def skip_nonfinite(before: TrainState, after: TrainState, metrics: Metrics) -> tuple[TrainState, Metrics]:
    """Where an update left anything that is not finite, the state before it, one step on; ``train/skipped`` says so."""
    learned = after.replace(key=(), step=())
    finite = jnp.stack([jnp.isfinite(leaf).all() for leaf in jax.tree.leaves((learned, metrics))]).all()
    kept = jax.tree.map(lambda new, old: jnp.where(finite, new, old), learned, before.replace(key=(), step=()))
    return kept.replace(key=after.key, step=after.step), metrics | {SKIPPED: 1.0 - finite.astype(jnp.float32)}


def mean_metrics(metrics: Metrics) -> Metrics:
    """Means over a leading axis of updates; of updates that were skipped only their share counts."""
    if SKIPPED not in metrics:
        return jax.tree.map(jnp.mean, metrics)
    kept = metrics[SKIPPED] == 0.0
    count = jnp.maximum(kept.sum(), 1)
    means = {name: jnp.where(kept, values, 0.0).sum() / count for name, values in metrics.items()}
    return means | {SKIPPED: metrics[SKIPPED].mean()}


def draw_batch(key: Array, store: Store, coefficients: Coefficients, spec: Spec) -> Batch:
    """A batch from the distribution of the variant: uniform over steps, ``dup``, or expert steps alone."""
    expert_probability: Array | float = 0.0
    if spec.expert_only:
        expert_probability = 1.0
    elif spec.rebalancing == "dup":
        expert_probability = expert_mixture(coefficients.alpha, store.expert.size, store.expert_steps.size)
    batch = sample_batch(key, store, spec.batch_size, spec.context_length, expert_probability)
    if spec.batch_sharding is not None:
        batch = jax.lax.with_sharding_constraint(batch, spec.batch_sharding)
    return batch


def apply_policy(
    spec: Spec, params: Params, batch: Batch, *, dropout_key: Array | None = None, step: Array | None = None
) -> PolicyOutput:
    """The policy on a batch, at every step or at the one named; with dropout where a key is given."""
    inputs = (batch.observations, batch.actions, batch.returns_to_go, batch.timesteps)
    if dropout_key is None:
        return spec.policy.apply({"params": params}, *inputs, step=step)
    return spec.policy.apply({"params": params}, *inputs, deterministic=False, rngs={"dropout": dropout_key})


def act(spec: Spec, mean: Array, log_std: Array, key: Array) -> Array:
    """The policy's action: its mean, or a reparameterised sample clipped to the action bounds."""
    return sample_actions(mean, log_std, key) if spec.gaussian else mean


def update_critic(
    state: TrainState, batch: Batch, key: Array, coefficients: Coefficients, spec: Spec
) -> tuple[TrainState, Metrics]:
    """TD learning of both critics toward the n-step target; the EMA policy says how the window goes on."""
    targets, trained = td_targets(state, batch, key, coefficients, spec)

    def loss_fn(params: Params) -> tuple[Array, Array]:
        values = spec.critic.apply({"params": params}, batch.observations, batch.actions)
        return losses.td_loss(values, targets, trained), losses.masked_mean(values[0], batch.mask)

    (loss, value), grads = jax.value_and_grad(loss_fn, has_aux=True)(state.critic)
    optimizer = make_optimizer(coefficients, state.step, 0.0, coefficients.critic_learning_rate)
    updates, optimizer_state = optimizer.update(grads, state.critic_optimizer, state.critic)
    state = state.replace(critic=optax.apply_updates(state.critic, updates), critic_optimizer=optimizer_state)
    return state, {"critic/td_loss": loss, "critic/value": value, "critic/grad_norm": optax.tree.norm(grads)}


def td_targets(
    state: TrainState, batch: Batch, key: Array, coefficients: Coefficients, spec: Spec
) -> tuple[Array, Array]:
    """(B, K) TD targets and the mask of trained steps: to the window's end, or ``n_step`` steps ahead."""
    if spec.n_step is None:
        rows, last = jnp.arange(spec.batch_size), losses.last_valid(batch.mask)
        output = apply_policy(spec, state.ema_policy, batch, step=last)
        next_action = act(spec, output.mean[:, 0], output.log_std[:, 0], key)
        values = spec.critic.apply({"params": state.target_critic}, batch.observations[rows, last], next_action)
        return losses.window_targets(batch.rewards, batch.mask, batch.terminals, values.min(0), coefficients.gamma)
    output = apply_policy(spec, state.ema_policy, batch)
    next_actions = act(spec, output.mean, output.log_std, key)
    values = spec.critic.apply({"params": state.target_critic}, batch.observations, next_actions)
    return losses.n_step_targets(
        batch.rewards, batch.mask, batch.terminals, values.min(0), coefficients.gamma, spec.n_step
    )


def update_expert(
    state: TrainState, batch: Batch, coefficients: Coefficients, spec: Spec
) -> tuple[TrainState, Metrics]:
    """Clones pi_e(a|s) from the expert windows of the batch, for ``kl_explicit``."""

    def loss_fn(params: Params) -> Array:
        means = spec.expert.apply({"params": params}, batch.observations)
        return losses.expert_cloning(means, batch.actions, batch.mask, batch.expert)

    loss, grads = jax.value_and_grad(loss_fn)(state.expert)
    optimizer = make_optimizer(coefficients, state.step, 0.0)
    updates, optimizer_state = optimizer.update(grads, state.expert_optimizer, state.expert)
    state = state.replace(expert=optax.apply_updates(state.expert, updates), expert_optimizer=optimizer_state)
    return state, {"expert/cloning_loss": loss}


def update_policy(
    state: TrainState, batch: Batch, key: Array, coefficients: Coefficients, spec: Spec
) -> tuple[TrainState, Metrics]:
    """One step down the objective; gradients reach the policy alone."""

    def loss_fn(params: Params) -> tuple[Array, Metrics]:
        return policy_loss(params, state, batch, key, coefficients, spec)

    (_, metrics), grads = jax.value_and_grad(loss_fn, has_aux=True)(state.policy)
    optimizer = make_optimizer(coefficients, state.step, coefficients.weight_decay)
    updates, optimizer_state = optimizer.update(grads, state.policy_optimizer, state.policy)
    state = state.replace(policy=optax.apply_updates(state.policy, updates), policy_optimizer=optimizer_state)
    return state, metrics | {"policy/grad_norm": optax.tree.norm(grads)}


def policy_loss(
    params: Params, state: TrainState, batch: Batch, key: Array, coefficients: Coefficients, spec: Spec
) -> tuple[Array, Metrics]:
    """The objective of the policy, eqs. (1) to (3), as a function of its parameters ``params``."""
    dropout_key, action_key, swap_key = jax.random.split(key, 3)
    output = apply_policy(spec, params, batch, dropout_key=dropout_key)
    if spec.gaussian:
        nll = losses.gaussian_nll(output.mean, output.log_std, batch.actions, spec.std)
    else:
        nll = losses.squared_error(output.mean, batch.actions)
    alpha = coefficients.alpha if spec.rebalancing == "kl" else 0.0
    loss = losses.weighted_nll(nll, batch.mask, expert_weight(batch.expert, alpha))
    metrics = {"policy/nll": losses.masked_mean(nll, batch.mask), "policy/weighted_nll": loss}
    if spec.rebalancing == "kl_explicit":
        expert_means = jax.lax.stop_gradient(spec.expert.apply({"params": state.expert}, batch.observations))
        kl_per_step = losses.gaussian_kl(output.mean, output.log_std, expert_means, spec.std)
        metrics["policy/kl"] = losses.explicit_kl(kl_per_step, batch.mask, batch.expert)
        loss += coefficients.alpha * metrics["policy/kl"]
    if spec.q_guidance:
        asked = guided_output(params, output, batch, jax.random.fold_in(key, ASKED), coefficients, spec)
        actions = act(spec, asked.mean, asked.log_std, action_key)
        guiding, scaling = shuffle_critics(state.critic, jax.random.bernoulli(swap_key))
        values = spec.critic.single(guiding, batch.observations, actions)
        scale_values = spec.critic.single(scaling, batch.observations, jax.lax.stop_gradient(actions))
        guidance, metrics["policy/value"] = losses.q_guidance(values, scale_values, batch.mask)
        loss += warmed_up(coefficients, state.step) * guidance
    if spec.policy.predict_state:
        metrics["policy/state_loss"] = losses.state_prediction(output.next_observations, batch.observations, batch.mask)
        loss += coefficients.state_prediction * metrics["policy/state_loss"]
    return loss, metrics | {"policy/loss": loss}


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


def update_targets(state: TrainState, coefficients: Coefficients) -> TrainState:
    """Polyak-averages the target critic every update, and the EMA policy every ``ema_every``.

    Until update ``ema_start`` the EMA is a copy of the policy.
    """
    due = state.step % coefficients.ema_every == 0
    decay = jnp.where(state.step <= coefficients.ema_start, 0.0, jnp.where(due, coefficients.ema_decay, 1.0))
    return state.replace(
        target_critic=optax.incremental_update(state.critic, state.target_critic, coefficients.target_rate),
        ema_policy=jax.tree.map(lambda ema, new: decay * ema + (1.0 - decay) * new, state.ema_policy, state.policy),
    )
