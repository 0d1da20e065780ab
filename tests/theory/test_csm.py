"""The exact policy and its performance, against enumeration of every trajectory."""

import itertools

import numpy as np
import pytest

from rvdt_jax.theory import csm, mdp


def small(seed):
    """An MDP, a behaviour, its distributions of returns, and the exact policy."""
    problem = mdp.random_mdp(seed, states=3, actions=2, horizon=3, levels=2, epsilon=0.2)
    behaviour = mdp.mixed_behaviour(problem, 0.4, seed)
    returns = csm.return_distributions(problem, behaviour)
    return problem, behaviour, returns, csm.csm_policy(behaviour, returns)


def enumerate_trajectories(problem, first, chances):
    """Every (first action, return, probability) from ``first``, with these chances of actions by what was earned."""
    count, kinds = problem.successor.shape
    for actions in itertools.product(range(kinds), repeat=problem.horizon):
        for later in itertools.product(range(count), repeat=problem.horizon - 1):
            states, probability, earned = (first, *later), 1.0, 0
            for step, (state, action) in enumerate(zip(states, actions, strict=True)):
                probability *= chances(step, state, earned)[action]
                earned += problem.units[state, action]
                if step + 1 < problem.horizon:
                    probability *= problem.transitions[state, action, states[step + 1]]
            yield actions[0], earned, probability


@pytest.mark.parametrize("seed", range(5))
def test_distributions_policy_and_performance_are_those_of_all_trajectories(seed):
    problem, behaviour, returns, policy = small(seed)
    np.testing.assert_allclose(returns.state.sum(-1), 1.0)
    np.testing.assert_allclose(policy.sum(-1), 1.0)
    targets, achieved = mdp.expert_returns(problem), 0.0
    for first, target in enumerate(targets):
        joint = np.zeros((2, problem.returns))
        every = enumerate_trajectories(problem, first, lambda step, state, earned: behaviour[step][state])
        for action, total, probability in every:
            joint[action, total] += probability
        np.testing.assert_allclose(returns.state[0, first], joint.sum(0), atol=1e-12)
        shown = joint.sum(0) > 0
        np.testing.assert_allclose(policy[0, first, shown], (joint / joint.sum(0).clip(1e-300)).T[shown], atol=1e-12)

        def play(step, state, earned, target=target):
            return policy[step][state, target - earned] if target >= earned else behaviour[step][state]

        for _, total, probability in enumerate_trajectories(problem, first, play):
            achieved += problem.initial[first] * probability * total / problem.levels
    assert csm.performance(problem, policy, targets, behaviour) == pytest.approx(achieved)


def test_many_trajectories_teach_the_exact_policy():
    """And a uniform one where there are no data."""
    problem, behaviour, returns, exact = small(1)
    states, actions, to_go = csm.sample_trajectories(problem, behaviour, 200_000, seed=0)
    assert (to_go[:, 0] == problem.units[states, actions].sum(1)).all()
    learned = csm.learned_policy(problem, states, actions, to_go)
    often = returns.state[0] * problem.initial[:, None] > 0.02
    np.testing.assert_allclose(learned[0][often], exact[0][often], atol=0.05)
    assert (learned[0][returns.state[0] == 0] == 0.5).all()
    targets = mdp.expert_returns(problem)
    here, there = (csm.performance(problem, policy, targets, behaviour) for policy in (learned, exact))
    assert here == pytest.approx(there, abs=0.02)
