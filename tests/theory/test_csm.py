"""The exact policy and its performance, against enumeration of every trajectory and against simulation."""

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


def enumerate_trajectories(problem, behaviour, first):
    """Every (states, actions, probability) from ``first``."""
    count, kinds = problem.successor.shape
    for actions in itertools.product(range(kinds), repeat=problem.horizon):
        for later in itertools.product(range(count), repeat=problem.horizon - 1):
            states, probability = (first, *later), 1.0
            for step, (state, action) in enumerate(zip(states, actions, strict=True)):
                probability *= behaviour[step][state, action]
                if step + 1 < problem.horizon:
                    probability *= problem.transitions[state, action, states[step + 1]]
            yield states, actions, probability


@pytest.mark.parametrize("seed", range(5))
def test_distributions_and_policy_are_those_of_all_trajectories(seed):
    problem, behaviour, returns, policy = small(seed)
    np.testing.assert_allclose(returns.state.sum(-1), 1.0)
    for first in range(3):
        joint = np.zeros((2, problem.returns))
        for states, actions, probability in enumerate_trajectories(problem, behaviour, first):
            joint[actions[0], sum(problem.units[s, a] for s, a in zip(states, actions, strict=True))] += probability
        np.testing.assert_allclose(returns.state[0, first], joint.sum(0), atol=1e-12)
        shown = joint.sum(0) > 0
        np.testing.assert_allclose(policy[0, first, shown], (joint / joint.sum(0).clip(1e-300)).T[shown], atol=1e-12)
    np.testing.assert_allclose(policy.sum(-1), 1.0)


@pytest.mark.parametrize("seed", range(5))
def test_performance_is_that_of_playing(seed):
    problem, behaviour, _, policy = small(seed)
    targets, rng, plays = mdp.expert_returns(problem), np.random.default_rng(seed), 40_000
    state = rng.choice(3, size=plays, p=problem.initial)
    target, total = targets[state], np.zeros(plays)
    for step in range(problem.horizon):
        chances = np.where((target >= 0)[:, None], policy[step][state, target.clip(0)], behaviour[step][state])
        action = csm._draw(rng, chances)
        paid = problem.units[state, action]
        total, target = total + paid, target - paid
        state = csm._draw(rng, problem.transitions[state, action])
    exact = csm.performance(problem, policy, targets, behaviour)
    assert abs(total.mean() / problem.levels - exact) < 5 * total.std() / problem.levels / plays**0.5


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
