"""Return-conditioned policies of a tabular MDP: learned from infinite data or N trajectories, and their return J."""

from __future__ import annotations

import dataclasses

import numpy as np

from rvdt_jax.theory.mdp import TabularMDP, optimal_values


@dataclasses.dataclass(frozen=True)
class Returns:
    """Distributions of the return to go under a behaviour, in units.

    Attributes:
        state: (H + 1, S, G) P(g | s_h = s).
        action: (H, S, A, G) P(g | s_h = s, a_h = a).
    """

    state: np.ndarray
    action: np.ndarray


def return_distributions(mdp: TabularMDP, behaviour: np.ndarray) -> Returns:
    """By dynamic programming, for an (H, S, A) behaviour."""
    states, actions = mdp.successor.shape
    state = np.zeros((mdp.horizon + 1, states, mdp.returns))
    action = np.zeros((mdp.horizon, states, actions, mdp.returns))
    state[mdp.horizon, :, 0] = 1.0
    for step in reversed(range(mdp.horizon)):
        onward = mdp.transitions @ state[step + 1]  # (S, A, G)
        for s, a in np.ndindex(states, actions):
            paid = mdp.units[s, a]
            action[step, s, a, paid:] = onward[s, a, : mdp.returns - paid]
        state[step] = np.einsum("sa,sag->sg", behaviour[step], action[step])
    return Returns(state, action)


def csm_policy(behaviour: np.ndarray, returns: Returns) -> np.ndarray:
    """(H, S, G, A) pi(a | s, g) = P_beta(a | s, g): the return-conditioned policy of infinite data.

    It is the behaviour for returns that the behaviour never has from s.
    """
    return _normalise(np.einsum("hsa,hsag->hsga", behaviour, returns.action), behaviour[:, :, None])


def _normalise(weights: np.ndarray, otherwise: np.ndarray | float) -> np.ndarray:
    """Weights as probabilities over the last axis; ``otherwise`` where all are 0."""
    total = weights.sum(-1, keepdims=True)
    return np.where(total > 0, weights / np.where(total > 0, total, 1.0), otherwise)


def performance(mdp: TabularMDP, policy: np.ndarray, targets: np.ndarray, fallback: np.ndarray) -> float:
    """J of a return-conditioned policy, as a return in [0, H].

    The target is lowered by each reward, f(s') = f(s) - r. Once it would be negative, ``fallback`` acts.

    Args:
        policy: (H, S, G, A).
        targets: (S,) f(s_1), in units.
        fallback: (H, S, A).
    """
    after = _fallback_values(mdp, fallback)
    values = np.zeros((mdp.successor.shape[0], mdp.returns))  # of (s, target) at the step after
    for step in reversed(range(mdp.horizon)):
        onward = mdp.transitions @ values  # (S, A, G), by the target at the next step
        spent = mdp.transitions @ after[step + 1]  # (S, A)
        quality = np.empty((*mdp.successor.shape, mdp.returns))
        for s, a in np.ndindex(mdp.successor.shape):
            paid = mdp.units[s, a]
            quality[s, a, paid:] = paid + onward[s, a, : mdp.returns - paid]
            quality[s, a, :paid] = paid + spent[s, a]
        values = np.einsum("sga,sag->sg", policy[step], quality)
    first = values[np.arange(targets.size), targets]
    return float(mdp.initial @ first) / mdp.levels


def _fallback_values(mdp: TabularMDP, policy: np.ndarray) -> np.ndarray:
    values = np.zeros((mdp.horizon + 1, mdp.successor.shape[0]))
    for step in reversed(range(mdp.horizon)):
        values[step] = (policy[step] * (mdp.units + mdp.transitions @ values[step + 1])).sum(1)
    return values


def optimal_performance(mdp: TabularMDP) -> float:
    """J(pi*), a return in [0, H]."""
    return float(mdp.initial @ optimal_values(mdp)[0][0]) / mdp.levels


def coverage(mdp: TabularMDP, returns: Returns, targets: np.ndarray) -> float:
    """alpha_f: the smallest P_beta(g = f(s_1) | s_1) over the initial states that occur.

    For f = f*, the expert's return, it is the expert coverage, which rebalancing is to raise.
    """
    shares = returns.state[0][np.arange(targets.size), targets]
    return float(shares[mdp.initial > 0].min())


def sample_trajectories(
    mdp: TabularMDP, behaviour: np.ndarray, count: int, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(N, H) states, actions, and returns to go in units."""
    rng = np.random.default_rng(seed)
    states, actions = np.zeros((2, count, mdp.horizon), int)
    state = rng.choice(mdp.initial.size, size=count, p=mdp.initial)
    for step in range(mdp.horizon):
        states[:, step] = state
        actions[:, step] = _draw(rng, behaviour[step][state])
        state = _draw(rng, mdp.transitions[state, actions[:, step]])
    paid = mdp.units[states, actions]
    return states, actions, paid[:, ::-1].cumsum(1)[:, ::-1]


def _draw(rng: np.random.Generator, probabilities: np.ndarray) -> np.ndarray:
    """One index for each row of probabilities."""
    ladder = probabilities.cumsum(1)
    return (rng.random((len(ladder), 1)) * ladder[:, -1:] > ladder).sum(1)


def learned_policy(mdp: TabularMDP, states: np.ndarray, actions: np.ndarray, to_go: np.ndarray) -> np.ndarray:
    """(H, S, G, A) the tabular policy of greatest likelihood; uniform where there are no data."""
    count, kinds = mdp.successor.shape
    seen = np.zeros((mdp.horizon, count, mdp.returns, kinds))
    steps = np.broadcast_to(np.arange(mdp.horizon), states.shape)
    np.add.at(seen, (steps, states, to_go, actions), 1.0)
    return _normalise(seen, 1.0 / kinds)
