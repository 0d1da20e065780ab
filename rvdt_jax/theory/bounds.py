"""The published bounds on return-conditioned policies, term by term.

[B]    Brandfonbrener et al. 2022, "When does return-conditioned supervised learning work for offline RL?", theorem 1
(4)    RVDT's first theorem, whose constant C in (0, 1) the source leaves open
(5)    RVDT's sample-complexity theorem, up to a constant factor

alpha_f is the smallest P(g = f(s_1) | s_1) over the initial states; alpha_f*, the expert coverage, is the smallest
P(g = f*(s_1) | s_1). Both are probabilities given the initial state, as are the experts of ``data.rebalance``.
"""

from __future__ import annotations

import numpy as np


def brandfonbrener(epsilon: float, alpha: float, horizon: int) -> float:
    """[B]: E f(s_1) - J(pi_f) <= epsilon (1 / alpha_f + 2) H^2; without a constant."""
    return epsilon * (1 / alpha + 2) * horizon**2


def first_bound(epsilon: float, alpha: float, expert_alpha: float, horizon: int, constant: float) -> dict[str, float]:
    """(4): J(pi*) - J(pi_f) <= (1 / alpha_f* + 3) H^2 epsilon + (1 / alpha_f + 1 / alpha_f*) H^2 C, term by term."""
    return {
        "stochasticity": (1 / expert_alpha + 3) * horizon**2 * epsilon,
        "coverage": (1 / alpha + 1 / expert_alpha) * horizon**2 * constant,
    }


def smallest_constant(gap: float, epsilon: float, alpha: float, expert_alpha: float, horizon: int) -> float:
    """The smallest C >= 0 for which (4) holds with a gap J(pi*) - J(pi_f). Above that of gap = H, (4) is vacuous."""
    terms = first_bound(epsilon, alpha, expert_alpha, horizon, constant=1.0)
    return max(0.0, (gap - terms["stochasticity"]) / terms["coverage"])


def sample_bound(
    *,
    trajectories: int,
    epsilon: float,
    alpha: float,
    expert_alpha: float,
    horizon: int,
    ratio: float,
    log_policies: float,
    log_ratio: float,
    approximation: float,
    constant: float,
    delta: float = 0.1,
) -> dict[str, float]:
    """(5), the terms inside O([...] H^2).

    Args:
        trajectories: N.
        epsilon, alpha, expert_alpha, horizon: as above.
        ratio: C_f, the largest P_pi_f(s) / P_beta(s).
        log_policies: log |Pi| of the policy class.
        log_ratio: c, the largest difference of log pi within the class.
        approximation: epsilon_approx, the error of the best policy in the class.
        constant: C.
        delta: the bound holds with probability 1 - delta.
    """
    estimation = (log_policies + np.log(1 / delta)) / trajectories
    terms = {
        "estimation": ratio / alpha * np.sqrt(log_ratio) * estimation**0.25,
        "approximation": ratio / alpha * np.sqrt(approximation),
        "expert coverage": (epsilon + constant) / expert_alpha,
        "coverage": constant / alpha,
    }
    return {name: float(value) * horizon**2 for name, value in terms.items()}
