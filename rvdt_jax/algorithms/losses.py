"""The objective, term by term: pure functions of arrays, each with its equation.

Scale. The squared error is a mean over action dimensions and valid steps. A Gaussian negative log-likelihood is
multiplied by 2 sigma^2 / A, which makes its gradient with respect to the mean that of the squared error, so eta
means the same for every variant. Gradients flow into whatever argument is differentiated; what must not move is
passed through ``stop_gradient`` here, in sight.
"""

from __future__ import annotations

from collections.abc import Callable

import chex
import jax
import jax.numpy as jnp

from rvdt_jax.types import Array

LOG_2PI = 1.8378770664093453


def masked_mean(values: Array, mask: Array) -> Array:
    """Mean of (B, K) values over the valid steps, of which every window has one."""
    chex.assert_equal_shape([values, mask])
    return (values * mask).sum() / mask.sum()


def squared_error(mean: Array, actions: Array) -> Array:
    """Squared error per step, a mean over action dimensions: (B, K, A) to (B, K)."""
    chex.assert_equal_shape([mean, actions])
    return jnp.square(mean - actions).mean(-1)


def negative_log_likelihood(mean: Array, log_std: Array, actions: Array) -> Array:
    """-log pi(a|s) of a factorised Gaussian, summed over action dimensions: (..., A) to (...)."""
    chex.assert_equal_shape([mean, log_std, actions])
    standardised = (actions - mean) * jnp.exp(-log_std)
    return (0.5 * jnp.square(standardised) + log_std + 0.5 * LOG_2PI).sum(-1)


def gaussian_nll(mean: Array, log_std: Array, actions: Array, reference_std: float) -> Array:
    """-log pi(a|s) of a factorised Gaussian times 2 sigma^2 / A, sigma the reference std: (B, K, A) to (B, K)."""
    return negative_log_likelihood(mean, log_std, actions) * (2.0 * reference_std**2 / mean.shape[-1])


def gaussian_kl(mean: Array, log_std: Array, expert_mean: Array, expert_std: float) -> Array:
    """KL(pi || pi_e) of factorised Gaussians times 2 sigma_e^2 / A, in closed form: (B, K, A) to (B, K); eq. (1)."""
    chex.assert_equal_shape([mean, log_std, expert_mean])
    log_ratio = jnp.log(expert_std) - log_std
    variance_ratio = jnp.exp(-2.0 * log_ratio)
    distance = jnp.square((mean - expert_mean) / expert_std)
    kl = (log_ratio + 0.5 * (variance_ratio + distance) - 0.5).sum(-1)
    return kl * (2.0 * expert_std**2 / mean.shape[-1])


def weighted_nll(nll: Array, mask: Array, weights: Array) -> Array:
    """E_D[(1 + alpha 1[tau in D_e]) nll], eq. (2). The weights are not renormalised by their sum.

    Args:
        nll: (B, K) negative log-likelihood (or squared error) per step.
        mask: (B, K) 1 on valid steps.
        weights: (B,) weight of each window's trajectory, ``data.rebalance.expert_weight``.
    """
    chex.assert_shape(weights, (nll.shape[0],))
    return masked_mean(nll * weights[:, None], mask)


def explicit_kl(kl: Array, mask: Array, expert: Array) -> Array:
    """E_{D_e}[KL] as eq. (1) means it, E_D[1[tau in D_e] KL]: (B, K) and (B,) to a scalar."""
    chex.assert_shape(expert, (kl.shape[0],))
    return masked_mean(kl * expert[:, None], mask)


def expert_cloning(expert_means: Array, actions: Array, mask: Array, expert: Array) -> Array:
    """Squared error of pi_e on expert windows only; 0 in a batch that has none."""
    weights = mask * expert[:, None]
    return (squared_error(expert_means, actions) * weights).sum() / jnp.maximum(weights.sum(), 1.0)


def q_guidance(
    values: Array, scale_values: Array, mask: Array, mean: Callable[[Array, Array], Array] = masked_mean
) -> tuple[Array, Array]:
    """- mean Q_i / stop_grad(mean |Q_j|), eq. (3) in QT's normalisation.

    Args:
        values: (B, K) Q_i at the policy's actions.
        scale_values: (B, K) Q_j at the same actions.
        mask: (B, K) 1 on valid steps.
        mean: of values over the valid steps; transitions, of which none may be valid, have ``transitions.mean_over``.

    Returns:
        The loss, and mean Q_i for the log.
    """
    chex.assert_equal_shape([values, scale_values, mask])
    mean_value = mean(values, mask)
    scale = mean(jnp.abs(jax.lax.stop_gradient(scale_values)), mask)
    # A critic that says 0 everywhere (say, before any reward was seen) guides nowhere; it must not divide by 0.
    return -mean_value / jnp.maximum(scale, 1e-6), mean_value


def state_prediction(predicted: Array, observations: Array, mask: Array) -> Array:
    """QT's auxiliary loss: squared error of the next observation, (B, K-1, S) against (B, K, S)."""
    chex.assert_equal_shape([predicted, observations[:, 1:]])
    error = jnp.square(predicted - observations[:, 1:]).mean(-1)
    both_valid = mask[:, 1:]
    return (error * both_valid).sum() / jnp.maximum(both_valid.sum(), 1.0)


def last_valid(mask: Array) -> Array:
    """(B,) index T of the last valid step of each window."""
    return mask.sum(-1).astype(jnp.int32) - 1


def n_step_targets(
    rewards: Array, mask: Array, terminals: Array, bootstraps: Array, gamma: Array, n_step: int
) -> tuple[Array, Array]:
    """The TD target n steps ahead, or to the window's last valid step T where that comes first.

        y_t = sum_{j=t}^{m-1} gamma^(j-t) r_j + gamma^(m-t) [ r_m if terminal_m else Q'(s_m, a'_m) ],  m = min(t+n, T)

    Args:
        rewards, mask, terminals, gamma: as for ``window_targets``, which this equals where n is K - 1 or more.
        bootstraps: (B, K) min over the target critics of Q'(s_m, a'_m) at every step.
        n_step: n, at least 1.

    Returns:
        As ``window_targets``.
    """
    batch, length = rewards.shape
    chex.assert_shape([mask, terminals, bootstraps], (batch, length))
    steps = jnp.arange(length)
    last = last_valid(mask)[:, None]
    until = jnp.minimum(steps + n_step, last)  # m, (B, K)
    delay = steps[None, :] - steps[:, None]  # j - t
    discounts = jnp.where(delay >= 0, gamma ** jnp.maximum(delay, 0), 0.0)  # (t, j)
    ends = terminals & (steps == last)
    is_summed = steps < until[..., None]  # (B, t, j)
    is_end = steps == until[..., None]
    arrives = jnp.where(is_summed, rewards[:, None], 0.0)
    arrives = jnp.where(is_end, jnp.where(ends, rewards, bootstraps)[:, None], arrives)
    targets = (arrives * discounts).sum(-1)
    trained = ((steps < last) | ends).astype(mask.dtype)
    return jax.lax.stop_gradient(targets), trained


def window_targets(
    rewards: Array, mask: Array, terminals: Array, bootstrap: Array, gamma: Array
) -> tuple[Array, Array]:
    """The TD target from every step to the window's last valid step T.

        y_t = sum_{j=t}^{T-1} gamma^(j-t) r_j + gamma^(T-t) [ r_T if terminal_T else Q'(s_T, a'_T) ]

    Args:
        rewards: (B, K), raw.
        mask: (B, K) 1 on valid steps, which come first.
        terminals: (B, K) bool; only the last valid step of a window can be terminal.
        bootstrap: (B,) min over the target critics of Q'(s_T, a'_T).
        gamma: () discount.

    Returns:
        (B, K) targets, with no gradient, and the (B, K) mask of the trained steps: t < T, and T where terminal.
    """
    batch, length = rewards.shape
    chex.assert_shape([mask, terminals], (batch, length))
    chex.assert_shape(bootstrap, (batch,))
    steps = jnp.arange(length)
    last = last_valid(mask)[:, None]
    is_last = steps == last
    ended = (is_last & terminals).any(-1, keepdims=True)
    # What arrives at step j: its reward before T, the terminal reward or the bootstrap value at T, nothing after.
    arrives = jnp.where(steps < last, rewards, 0.0)
    arrives = jnp.where(is_last, jnp.where(ended, rewards, bootstrap[:, None]), arrives)
    delay = steps[None, :] - steps[:, None]  # j - t
    discounts = jnp.where(delay >= 0, gamma ** jnp.maximum(delay, 0), 0.0)  # (t, j)
    targets = jnp.einsum("bj,tj->bt", arrives, discounts, precision=jax.lax.Precision.HIGHEST)
    trained = ((steps < last) | (is_last & ended)).astype(mask.dtype)
    return jax.lax.stop_gradient(targets), trained


def td_loss(values: Array, targets: Array, trained: Array) -> Array:
    """Squared TD error of both critics, summed over the two, a mean over the trained steps.

    Args:
        values: (2, B, K) Q_k(s, a) at the data's actions.
        targets, trained: (B, K), from ``window_targets`` or ``n_step_targets``.
    """
    chex.assert_shape(values, (2, *targets.shape))
    chex.assert_equal_shape([targets, trained])
    error = jnp.square(values - targets).sum(0)
    return (error * trained).sum() / jnp.maximum(trained.sum(), 1.0)
