"""Finite-horizon tabular MDPs, deterministic up to epsilon, and behaviour policies with a dial for coverage."""

from __future__ import annotations

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class TabularMDP:
    """S states, A actions, H steps; rewards are multiples of 1 / levels in [0, 1], so returns lie on a grid.

    Attributes:
        successor: (S, A) int, the next state unless the action slips.
        units: (S, A) int in 0..levels, the reward in units of 1 / levels.
        slip: (S, A, S) distribution of the next state if it slips.
        epsilon: probability of a slip: Pr(s' != successor(s, a)) <= epsilon, the near-determinism of the theorems.
        initial: (S,) distribution of s_1.
        horizon: H.
        levels: units of a reward of 1.
    """

    successor: np.ndarray
    units: np.ndarray
    slip: np.ndarray
    epsilon: float
    initial: np.ndarray
    horizon: int
    levels: int

    @property
    def transitions(self) -> np.ndarray:
        """(S, A, S) P(s' | s, a)."""
        states = self.successor.shape[0]
        return (1 - self.epsilon) * np.eye(states)[self.successor] + self.epsilon * self.slip

    @property
    def returns(self) -> int:
        """G, the number of values of a return: 0..H levels, in units."""
        return self.horizon * self.levels + 1


def random_mdp(
    seed: int, *, states: int = 5, actions: int = 3, horizon: int = 5, levels: int = 2, epsilon: float = 0.05
) -> TabularMDP:
    """Random successors, rewards, slips and initial distribution; MDPs of equal seeds differ in epsilon only."""
    rng = np.random.default_rng(seed)
    return TabularMDP(
        successor=rng.integers(states, size=(states, actions)),
        units=rng.integers(levels + 1, size=(states, actions)),
        slip=rng.dirichlet(np.full(states, 0.5), size=(states, actions)),
        epsilon=epsilon,
        initial=rng.dirichlet(np.ones(states)),
        horizon=horizon,
        levels=levels,
    )


def optimal_values(mdp: TabularMDP) -> tuple[np.ndarray, np.ndarray]:
    """(H + 1, S) optimal values in units, and (H, S) optimal actions, by backward induction."""
    states = mdp.successor.shape[0]
    values = np.zeros((mdp.horizon + 1, states))
    actions = np.zeros((mdp.horizon, states), int)
    for step in reversed(range(mdp.horizon)):
        quality = mdp.units + mdp.transitions @ values[step + 1]
        actions[step], values[step] = quality.argmax(1), quality.max(1)
    return values, actions


def expert_returns(mdp: TabularMDP) -> np.ndarray:
    """(S,) f*, in units: the return of the optimal policy from each initial state without slips.

    ``data.rebalance`` has no model to compute f* from, and takes the upper tail of the returns given s_1 instead.
    """
    return np.round(optimal_values(dataclasses.replace(mdp, epsilon=0.0))[0][0]).astype(int)


def mixed_behaviour(mdp: TabularMDP, skill: float, seed: int) -> np.ndarray:
    """(H, S, A) behaviour: the expert of the noise-free MDP with probability ``skill``, else a random policy.

    ``skill`` is the dial for coverage: at 1 every trajectory without a slip has the expert's return.
    """
    shape = mdp.horizon, *mdp.successor.shape
    random = np.random.default_rng(seed).dirichlet(np.ones(shape[2]), size=shape[:2])
    expert = np.eye(shape[2])[optimal_values(dataclasses.replace(mdp, epsilon=0.0))[1]]
    return skill * expert + (1 - skill) * random
