"""A loaded policy in a user's own loop: the shapes it answers in, and what it refuses."""

import numpy as np
import pytest

import rvdt_jax
from rvdt_jax.data.cache import write_cache
from rvdt_jax.runs.fit import run_config


@pytest.fixture(scope="module")
def policy_of(request, tmp_path_factory):
    """A function from the shape and bounds of actions to a policy trained on such data."""
    import dataclasses

    from conftest import SMALL, make_episodes

    def make(shape=None, low=None, high=None):
        folder = tmp_path_factory.mktemp("run")
        episodes = dataclasses.replace(make_episodes(), action_shape=shape, action_low=low, action_high=high)
        if shape == ():
            episodes = dataclasses.replace(episodes, actions=episodes.actions[:, :1])
        write_cache(folder / "data.npz", episodes, {"dataset_id": "test/random", "content_digest": episodes.digest()})
        settings = rvdt_jax.default_config()
        settings.update_from_flattened_dict(SMALL | {"variant": "DT", "env": "none", "workdir": str(folder / "run")})
        settings.update_from_flattened_dict({"data.source": "file", "data.path": str(folder / "data.npz")})
        return rvdt_jax.load_policy(run_config(rvdt_jax.resolve(settings), progress=False).folder)

    return make


@pytest.mark.parametrize("shape", [None, (2, 1), ()])
def test_actions_have_the_shape_of_the_space(policy_of, shape):
    policy = policy_of(shape)
    expected = (2,) if shape is None else shape
    policy.reset(10.0)
    assert policy.act(np.zeros(4)).shape == expected
    policy.reset(np.array([10.0, 5.0, 1.0]))
    assert policy.act(np.zeros((3, 4))).shape == (3, *expected)


def test_equal_bounds_are_answered_exactly(policy_of):
    policy = policy_of(low=np.array([0.0, 5.0]), high=np.array([3.0, 5.0]))
    policy.reset(10.0)
    action = policy.act(np.zeros(4))
    assert action[1] == 5.0
    assert 0.0 <= action[0] <= 3.0


def test_what_is_not_finite_is_refused_by_name_and_leaves_no_trace(policy_of):
    policy = policy_of()

    def play(with_faults: bool):
        policy.reset(10.0)
        actions = [policy.act(np.zeros(4))]
        for step in range(1, 6):
            if with_faults:
                with pytest.raises(ValueError, match=r"observation\[2\] is nan"):
                    policy.act(np.array([0.0, 0.0, np.nan, 0.0]), 1.0)
                with pytest.raises(ValueError, match="previous_reward is nan"):
                    policy.act(np.zeros(4), float("nan"))
            actions.append(policy.act(np.full(4, 0.1 * step), previous_reward=1.0))
        return actions

    np.testing.assert_array_equal(play(with_faults=True), play(with_faults=False))
