"""Gap and bounds against coverage, stochasticity and the number of trajectories, over many random MDPs."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable

import numpy as np

from rvdt_jax.theory import bounds, csm, mdp

MDPS, SKILL, EPSILON = 200, 0.6, 0.02
SKILLS = (0.05, 0.1, 0.2, 0.3, 0.45, 0.6, 0.75, 0.9)
EPSILONS = (0.0, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4)
ASKED = (0.25, 0.5, 0.75, 1.0)
COUNTS = (10, 30, 100, 300, 1000, 3000, 10_000)


@dataclasses.dataclass(frozen=True)
class Point:
    """One MDP with one behaviour and one conditioning function f.

    Attributes:
        alpha, expert_alpha: alpha_f and alpha_f*.
        gap: J(pi*) - J(pi_f).
        regret: E f(s_1) - J(pi_f), which [B] bounds.
        bound: of [B]; infinite if alpha is 0.
        constant: the smallest C for which bound (4) holds; NaN if alpha is 0.
        empty: the C from which on (4) is vacuous; NaN if alpha is 0.
    """

    alpha: float
    expert_alpha: float
    gap: float
    regret: float
    bound: float
    constant: float
    empty: float


def measure(seed: int, skill: float, epsilon: float, asked: float = 1.0) -> Point:
    """Infinite data: the exact policy for the target ``asked`` times the expert's return f*, in whole units."""
    problem = mdp.random_mdp(seed, epsilon=epsilon)
    behaviour, expert = mdp.mixed_behaviour(problem, skill, seed), mdp.expert_returns(problem)
    targets = np.round(asked * expert).astype(int)
    returns = csm.return_distributions(problem, behaviour)
    achieved = csm.performance(problem, csm.csm_policy(behaviour, returns), targets, behaviour)
    alpha, expert_alpha = (csm.coverage(problem, returns, f) for f in (targets, expert))
    gap, horizon = csm.optimal_performance(problem) - achieved, problem.horizon
    covered, known = alpha > 0, (epsilon, alpha, expert_alpha, horizon)
    return Point(
        alpha=alpha,
        expert_alpha=expert_alpha,
        gap=gap,
        regret=float(problem.initial @ targets) / problem.levels - achieved,
        bound=bounds.brandfonbrener(epsilon, alpha, horizon) if covered else np.inf,
        constant=bounds.smallest_constant(gap, *known) if covered else np.nan,
        empty=bounds.smallest_constant(float(horizon), *known) if covered else np.nan,
    )


def measure_samples(seed: int, count: int) -> tuple[float, float]:
    """J(pi*) - J of the policy learned from ``count`` trajectories, and the sum of the terms of bound (5) with C = 0.

    The terms illustrate how (5) falls with N; they do not check it, since its assumptions are met in part only. C_f is
    set to 1 / alpha_f, its maximum without slips. The class is taken to be every policy whose probabilities are
    multiples of 1 / count, so that log |Pi| <= H S G A log(count + 1). c is set to log(count), which holds for those
    policies of the class that rule nothing out.
    """
    problem = mdp.random_mdp(seed, epsilon=EPSILON)
    behaviour, targets = mdp.mixed_behaviour(problem, SKILL, seed), mdp.expert_returns(problem)
    alpha = csm.coverage(problem, csm.return_distributions(problem, behaviour), targets)
    policy = csm.learned_policy(problem, *csm.sample_trajectories(problem, behaviour, count, seed))
    gap = csm.optimal_performance(problem) - csm.performance(problem, policy, targets, behaviour)
    terms = bounds.sample_bound(
        trajectories=count,
        epsilon=EPSILON,
        alpha=alpha,
        expert_alpha=alpha,
        horizon=problem.horizon,
        ratio=1 / alpha,
        log_policies=policy.size * np.log(count + 1),
        log_ratio=np.log(count),
        approximation=0.0,
        constant=0.0,
    )
    return gap, sum(terms.values())


def theory_curves(count: int = MDPS, say: Callable[[str], None] = lambda line: None) -> dict:
    """Everything that ``experiments/theory.py`` draws, as JSON values, for ``count`` MDPs; ``say`` reports progress."""
    curves = {"mdps": count, "horizon": mdp.random_mdp(0).horizon, "skill": SKILL, "epsilon": EPSILON}
    for name, dial, arguments in (
        ("coverage", SKILLS, lambda skill: (skill, EPSILON)),
        ("stochasticity", EPSILONS, lambda epsilon: (SKILL, epsilon)),
        ("asked", ASKED, lambda asked: (SKILL, 0.0, asked)),
    ):
        say(f"against {name}")
        points = [[measure(seed, *arguments(value)) for seed in range(count)] for value in dial]
        fields = [field.name for field in dataclasses.fields(Point)]
        curves[name] = {"dial": list(dial)} | {
            field: [_round(getattr(point, field) for point in row) for row in points] for field in fields
        }
    say("against the number of trajectories")
    few = range(max(1, count // 5))
    pairs = [list(zip(*(measure_samples(seed, n) for seed in few), strict=True)) for n in COUNTS]
    gaps, limits = ([_round(row[part]) for row in pairs] for part in (0, 1))
    return curves | {"samples": {"mdps": len(few), "n": list(COUNTS), "gap": gaps, "bound": limits}}


def _round(values: Iterable[float]) -> list[float | None]:
    """Six digits, enough for a picture; None for a bound that is infinite or undefined."""
    return [float(f"{value:.6g}") if np.isfinite(value) else None for value in values]
