"""Fitted Q evaluation (Le et al. 2019): the value of a given policy, learned from logged transitions alone."""

from __future__ import annotations

import functools

import flax.linen as nn
import flax.struct
import jax
import jax.numpy as jnp

from rvdt_jax.algorithms.base import Coefficients, descend, follow, make_optimizer, new_learner
from rvdt_jax.types import Array, Learner, Params

_LEFT = 1e-3  # share of the initial error that the target networks may leave


@flax.struct.dataclass
class Transitions:
    """N logged steps, episode after episode, and what the policy would have done at each."""

    states: Array  # (N, X) what Q sees besides the action
    actions: Array  # (N, A) the log's
    policy_actions: Array  # (N, A)
    rewards: Array  # (N,)
    terminals: Array  # (N,) bool
    steps: Array  # (M,) int32, the steps to learn from: all but the last of an episode that was cut off


def polyak_rate(gamma: float, updates: int) -> float:
    """The Polyak rate at which exp(-(1 - gamma) rate updates), what is left of the initial error, is 0.001."""
    decay = max(1.0 - gamma, 1.0 / updates)
    return float(min(1.0, max(0.005, -jnp.log(_LEFT) / (decay * updates))))


@functools.partial(jax.jit, static_argnames=("critic", "batch_size", "updates"))
def fit_q(
    key: Array,
    data: Transitions,
    gamma: Array,
    rate: Array,
    coefficients: Coefficients,
    *,
    critic: nn.Module,
    batch_size: int,
    updates: int,
) -> tuple[Params, Array]:
    """Moves each Q toward r + gamma Q'(s', pi(s')); a terminal step has no s', a time-out is no end.

    The Qs of ``critic`` learn apart from each other, without the minimum that keeps a guiding critic low.

    Args:
        key: PRNG key.
        data: the transitions.
        gamma: () discount.
        rate: () Polyak rate of the target networks.
        coefficients: of the optimiser.
        critic: as ``models.critic.TwinCritic``.
        batch_size, updates: transitions of an update, and how many updates.

    Returns:
        The parameters of the target networks, and the squared TD error of the last tenth of the updates, () mean.
    """
    init_key, draw_key = jax.random.split(key)
    first = critic.init(init_key, data.states[:1], data.actions[:1])["params"]

    def body(learner: Learner, update: Array) -> tuple[Learner, Array]:
        picks = jax.random.randint(jax.random.fold_in(draw_key, update), (batch_size,), 0, data.steps.size)
        steps = data.steps[picks]
        after = jnp.minimum(steps + 1, data.rewards.size - 1)  # only a terminal step has none, and it needs none
        values = critic.apply({"params": learner.target}, data.states[after], data.policy_actions[after])
        targets = data.rewards[steps] + gamma * jnp.where(data.terminals[steps], 0.0, values)

        def loss(params: Params) -> tuple[Array, Array]:
            error = critic.apply({"params": params}, data.states[steps], data.actions[steps]) - targets
            return jnp.square(error).sum(0).mean(), jnp.square(error).mean()

        learner, error, _ = descend(learner, loss, make_optimizer(coefficients, update))
        return follow(learner, rate), error

    learner, errors = jax.lax.scan(body, new_learner(first, with_target=True), jnp.arange(updates))
    return learner.target, errors[-max(1, updates // 10) :].mean()
