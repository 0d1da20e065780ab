"""Gap and bounds against coverage, stochasticity and the number of trajectories, over many random MDPs."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

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
        alpha: alpha_f.
        expert_alpha: alpha_f*.
        gap: J(pi*) - J(pi_f).
        regret: E f(s_1) - J(pi_f), what [B] bounds.
        bound: of [B].
        constant: the smallest C with which the source's bound (4) holds; NaN where alpha is 0.
        empty: the C from which on it says nothing; NaN where alpha is 0.
    """

    alpha: float
    expert_alpha: float
    gap: float
    regret: float
    bound: float
    constant: float
    empty: float


def measure(seed: int, skill: float, epsilon: float, asked: float = 1.0, **sizes: int) -> Point:
    """Infinite data: the exact policy, asked for ``asked`` times the expert's return f*, in whole units."""
    problem = mdp.random_mdp(seed, epsilon=epsilon, **sizes)
    behaviour, expert = mdp.mixed_behaviour(problem, skill, seed), mdp.expert_returns(problem)
    targets = np.round(asked * expert).astype(int)
    returns = csm.return_distributions(problem, behaviour)
    achieved = csm.performance(problem, csm.csm_policy(behaviour, returns), targets, behaviour)
    alpha, expert_alpha = (csm.coverage(problem, returns, f) for f in (targets, expert))
    horizon = problem.horizon
    gap = csm.optimal_performance(problem) - achieved
    known = epsilon, alpha, expert_alpha, horizon
    return Point(
        alpha=alpha,
        expert_alpha=expert_alpha,
        gap=gap,
        regret=float(problem.initial @ targets) / problem.levels - achieved,
        bound=bounds.brandfonbrener(epsilon, alpha, horizon) if alpha > 0 else np.inf,
        constant=bounds.smallest_constant(gap, *known) if alpha > 0 else np.nan,
        empty=bounds.empty_constant(*known) if alpha > 0 else np.nan,
    )


def measure_samples(seed: int, count: int, skill: float = SKILL, epsilon: float = EPSILON) -> tuple[float, float]:
    """J(pi*) - J of the policy learned from ``count`` trajectories, and the terms of bound (5) with C = 0, summed.

    The terms illustrate how (5) falls with N; they are no check of it, for its assumptions are met in part only. C_f is
    set to 1 / alpha_f, which it is at most without slips; the class is taken to be every policy whose probabilities are
    multiples of 1 / count, so that log |Pi| <= H S G A log(count + 1); c is set to log(count), which holds for those of
    them that rule nothing out.
    """
    problem = mdp.random_mdp(seed, epsilon=epsilon)
    behaviour, targets = mdp.mixed_behaviour(problem, skill, seed), mdp.expert_returns(problem)
    alpha = csm.coverage(problem, csm.return_distributions(problem, behaviour), targets)
    policy = csm.learned_policy(problem, *csm.sample_trajectories(problem, behaviour, count, seed))
    gap = csm.optimal_performance(problem) - csm.performance(problem, policy, targets, behaviour)
    terms = bounds.sample_bound(
        trajectories=count,
        epsilon=epsilon,
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


def theory_curves(count: int = MDPS, say=lambda line: None) -> dict:
    """Everything that ``experiments/theory.py`` draws, as JSON values."""
    seeds = range(count)
    say("against coverage")
    against_coverage = {skill: [measure(seed, skill, EPSILON) for seed in seeds] for skill in SKILLS}
    say("against stochasticity")
    against_epsilon = {epsilon: [measure(seed, SKILL, epsilon) for seed in seeds] for epsilon in EPSILONS}
    say("against what is asked for")
    against_asked = {asked: [measure(seed, SKILL, 0.0, asked) for seed in seeds] for asked in ASKED}
    say("against the number of trajectories")
    few = range(max(1, count // 5))
    against_samples = {n: [measure_samples(seed, n) for seed in few] for n in COUNTS}
    return {
        "mdps": count,
        "horizon": mdp.random_mdp(0).horizon,
        "skill": SKILL,
        "epsilon": EPSILON,
        "coverage": _columns(against_coverage),
        "stochasticity": _columns(against_epsilon),
        "asked": _columns(against_asked),
        "samples": {
            "mdps": len(few),
            "n": list(against_samples),
            "gap": [_round(gap for gap, _ in pairs) for pairs in against_samples.values()],
            "bound": [_round(bound for _, bound in pairs) for pairs in against_samples.values()],
        },
    }


def _columns(by_dial: dict[float, list[Point]]) -> dict:
    columns = {"dial": list(by_dial)}
    for field in dataclasses.fields(Point):
        columns[field.name] = [_round(getattr(point, field.name) for point in points) for points in by_dial.values()]
    return columns


def _round(values: Iterable[float]) -> list[float | None]:
    """Six digits, which is what a picture and a reader need; None for a bound that is infinite."""
    return [float(f"{value:.6g}") if np.isfinite(value) else None for value in values]
