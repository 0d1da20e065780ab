"""A loaded policy in a user's own loop: the shapes it answers in, and what it refuses."""

import dataclasses

import numpy as np
import pytest
from conftest import make_episodes

import rvdt_jax


@pytest.fixture
def policy_of(train_run):
    """A function from the shape and bounds of actions to a policy trained on such data."""

    def make(shape=None, low=None, high=None, **how):
        episodes = dataclasses.replace(make_episodes(), action_shape=shape, action_low=low, action_high=high)
        if shape == ():
            episodes = dataclasses.replace(episodes, actions=episodes.actions[:, :1])
        return rvdt_jax.load_policy(train_run(episodes, **{"variant": "DT", "env": "none"} | how).folder)

    return make


BY_CRITIC = {"variant": "QT", "eval__action_selection": "critic"}


BOUNDS = {"low": np.array([0.0, 5.0]), "high": np.array([3.0, 5.0])}  # equal ones are answered exactly


@pytest.mark.parametrize(("shape", "how"), [(None, {}), ((2, 1), {}), ((), {}), (None, BY_CRITIC), (None, BOUNDS)])
def test_actions_have_the_shape_and_the_bounds_of_the_space(policy_of, shape, how):
    policy = policy_of(shape, **how)
    for target in (np.array(10.0), np.array([10.0, 5.0, 1.0])):
        policy.reset(target)
        actions = policy.act(np.zeros((*target.shape, 4)))
        assert actions.shape == target.shape + ((2,) if shape is None else shape)
        actions += 0.0  # they are the caller's to change
        assert ((how.get("low", -1.0) <= actions) & (actions <= how.get("high", 1.0))).all()


def test_what_is_not_finite_or_does_not_fit_the_episodes_is_refused_by_name_and_leaves_no_trace(policy_of):
    policy = policy_of()

    def play(with_faults: bool):
        policy.reset(10.0)
        actions = [policy.act(np.zeros(4))]
        for step in range(1, 6):
            if with_faults:
                with pytest.raises(ValueError, match=r"observation\[2\] is nan"):
                    policy.act(np.array([0.0, 0.0, np.nan, 0.0]), 1.0)
                with pytest.raises(ValueError, match=r"observation\[1\] is 1e\+39; .* in single precision"):
                    policy.act(np.array([0.0, 1e39, 0.0, 0.0]), 1.0)
                with pytest.raises(ValueError, match="previous_reward is nan"):
                    policy.act(np.zeros(4), float("nan"))
            actions.append(policy.act(np.full(4, 0.1 * step), previous_reward=1.0))
        return actions

    with pytest.raises(ValueError, match="call reset"):
        policy.act(np.zeros(4))
    np.testing.assert_array_equal(play(with_faults=True), play(with_faults=False))
    policy.reset(np.array([10.0, 20.0, 30.0]))
    with pytest.raises(ValueError, match=r"shape \(4,\); expected \(3, 4\)"):
        policy.act(np.zeros(4))
    with pytest.raises(ValueError, match=r"shape \(\); expected \(3, 4\)"):
        policy.act(0.0)
    with pytest.raises(ValueError, match="target_return"):
        policy.reset(np.nan)
