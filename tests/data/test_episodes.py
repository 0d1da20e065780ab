"""The episode contract: sums against a slow loop, and every violation named so that it can be repaired."""

import dataclasses

import numpy as np
import pytest

from rvdt_jax.data.contract import check_episodes
from rvdt_jax.data.episodes import Episodes, draw_episodes, keep_episodes

LENGTHS = np.array([3, 1, 4])


@pytest.fixture
def episodes():
    """Three episodes with S = 2 and A = 2."""
    rng = np.random.default_rng(0)
    steps = LENGTHS.sum()
    return Episodes(
        name="toy",
        observations=rng.normal(size=(steps, 2)).astype(np.float32),
        actions=rng.uniform(-1, 1, (steps, 2)).astype(np.float32),
        rewards=rng.normal(size=steps).astype(np.float32),
        lengths=LENGTHS,
        terminated=np.array([True, False, True]),
    )


def with_value(episodes, field, index, value):
    """A copy of ``episodes`` with one value replaced."""
    values = getattr(episodes, field).copy()
    values[index] = value
    return dataclasses.replace(episodes, **{field: values})


def test_starts_returns_and_returns_to_go_match_a_slow_loop(episodes):
    returns, returns_to_go = [], []
    for start, length in zip((0, 3, 4), LENGTHS, strict=True):
        rewards = [float(reward) for reward in episodes.rewards[start : start + length]]
        returns.append(sum(rewards))
        returns_to_go += [sum(rewards[step:]) for step in range(length)]
    np.testing.assert_array_equal(episodes.starts, [0, 3, 4])
    np.testing.assert_allclose(episodes.returns, returns, rtol=1e-12)
    np.testing.assert_allclose(episodes.returns_to_go(), returns_to_go, rtol=1e-12, atol=1e-12)


def test_kept_episodes_stay_whole_and_in_order(episodes):
    kept = keep_episodes(episodes, np.array([True, False, True]))
    first, last = LENGTHS[0], LENGTHS[2]
    np.testing.assert_array_equal(kept.lengths, [first, last])
    np.testing.assert_array_equal(kept.terminated, episodes.terminated[[0, 2]])
    for field in ("observations", "actions", "rewards"):
        whole = getattr(episodes, field)
        np.testing.assert_array_equal(getattr(kept, field), np.concatenate([whole[:first], whole[-last:]]))
    np.testing.assert_array_equal(kept.returns, episodes.returns[[0, 2]])


def test_shares_have_their_size_are_nested_and_follow_their_seed():
    half, tenth = draw_episodes(1000, 0.5, seed=3), draw_episodes(1000, 0.1, seed=3)
    assert (half.sum(), tenth.sum(), draw_episodes(1000, 1e-9, seed=3).sum()) == (500, 100, 1)
    assert half[tenth].all()
    np.testing.assert_array_equal(tenth, draw_episodes(1000, 0.1, seed=3))
    other = draw_episodes(1000, 0.1, seed=4)
    assert (tenth & other).sum() < 30  # 10 by chance; 99.99 % of draws stay below 25
    everyone = sum(draw_episodes(20, 0.25, seed) for seed in range(200))
    assert everyone.min() > 20  # 50 on average, whatever the place in the data


def test_other_types_with_fitting_values_are_converted(episodes):
    fields = {"lengths": [3.0, 1.0, 4.0], "terminated": [1, 0, 1]}
    fields |= {"rewards": np.ones(8), "actions": np.zeros((8, 1), int)}
    checked = check_episodes(dataclasses.replace(episodes, **fields))
    for field, values in fields.items():
        assert getattr(checked, field).dtype == getattr(episodes, field).dtype
        np.testing.assert_array_equal(getattr(checked, field), values)


WRONG_SHAPE = r"have shape \(.*\); expected 8 steps of"
NO_BOUNDS = r"action_low=.* and action_high=.* no finite, ordered bounds"
NO_PAIR = "action_low and action_high must both be given, one number per action"


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"lengths": [3.5, 1.0, 3.5]}, "lengths have type float64, with values that do not fit int64"),
        ({"lengths": [0, 4, 4]}, "episode 0 has no steps"),
        ({"lengths": [[3], [1], [4]]}, r"lengths have shape \(3, 1\)"),
        ({"terminated": [2, 0, 1]}, "terminated have type int64, with values that do not fit bool"),
        ({"rewards": np.array(["1"] * 8)}, "rewards have type <U1"),
        ({"rewards": np.full(8, 1e300)}, "episode 0, rewards, step 0: found inf"),
        ({"observations": np.zeros(8, np.float32)}, f"observations {WRONG_SHAPE} 2-d"),
        ({"actions": np.zeros((9, 2), np.float32)}, f"actions {WRONG_SHAPE} 2-d"),
        ({"actions": np.zeros((8, 0), np.float32)}, f"actions {WRONG_SHAPE} 2-d"),
        ({"rewards": np.zeros((8, 1), np.float32)}, f"rewards {WRONG_SHAPE} 1-d"),
        ({"terminated": np.zeros(2, bool)}, r"terminated has shape \(2,\), not one flag per episode"),
        ({"action_high": [1.0, 1.0]}, NO_PAIR),
        ({"action_low": [-1.0, -1.0], "action_high": [1.0, 1.0, 1.0]}, NO_PAIR),
        ({"action_low": [[-1.0, -1.0]], "action_high": [[1.0, 1.0]]}, NO_PAIR),
        ({"action_low": [-1.0, 2.0], "action_high": [1.0, 1.0]}, NO_BOUNDS),
        ({"action_low": [np.nan, -1.0], "action_high": [1.0, 1.0]}, NO_BOUNDS),
        ({"action_low": [-1.0, -1.0], "action_high": [1.0, 1e300]}, NO_BOUNDS),
    ],
)
def test_other_types_shapes_and_bounds_are_refused(episodes, fields, message):
    with pytest.raises(ValueError, match=f"^toy: {message}"):
        check_episodes(dataclasses.replace(episodes, **fields))


@pytest.mark.parametrize("value", [np.nan, -np.inf])
@pytest.mark.parametrize(  # the first step of an episode, its last, an episode of one step, and the last step of all
    ("step", "place"), [(0, (0, 0)), (2, (0, 2)), (3, (1, 0)), (4, (2, 0)), (7, (2, 3))]
)
@pytest.mark.parametrize("field", ["observations", "actions", "rewards"])
def test_a_value_that_is_not_finite_is_named_by_episode_and_step(episodes, field, step, place, value):
    index = step if field == "rewards" else (step, 1)
    expected = rf"^toy: episode {place[0]}, {field}, step {place[1]}: found {value}\. .*repair or drop that episode"
    with pytest.raises(ValueError, match=expected):
        check_episodes(with_value(episodes, field, index, value))


@pytest.mark.parametrize("value", [1.01, -1.01, 40.0])
def test_actions_out_of_range_are_refused(episodes, value):
    with pytest.raises(ValueError, match=rf"^toy: .*actions.*{abs(value):g} \(episode 2\).*\[-1, 1\].*Scale them"):
        check_episodes(with_value(episodes, "actions", (5, 0), value))


@pytest.mark.parametrize(
    "field", ["observations", "actions", "rewards", "lengths", "terminated", "action_low", "action_high"]
)
def test_another_content_is_another_digest(episodes, field):
    bounds = {"action_low": np.zeros(2, np.float32), "action_high": np.ones(2, np.float32)}
    episodes = dataclasses.replace(episodes, **bounds)
    changed = getattr(episodes, field).copy()
    changed[-1] = ~changed[-1] if field == "terminated" else changed[-1] + 1
    assert dataclasses.replace(episodes, **{field: changed}).digest() != episodes.digest()


def rewarded(rewards, lengths):
    """Truncated episodes with these rewards."""
    vectors, rewards = np.zeros((len(rewards), 1), np.float32), np.array(rewards, np.float32)
    return Episodes("rewarded", vectors, vectors, rewards, np.array(lengths), np.zeros(len(lengths), bool))


@pytest.mark.parametrize(
    ("rewards", "lengths", "reachable"),
    [
        ([0, 0, 0, 2, 2, 0, 0, 0], [5, 3], 600.0),  # sparse: an episode can be paid at every step
        ([0, 0, 1, 2, 0, 0, 0, 0], [5, 3], None),  # of two sizes
        ([0, 1, 1, 1, 1, 0], [3, 3], None),  # more often than not
        ([0, 0, 0, -1, 0, 0, 0], [7], None),  # a penalty
        ([0, 0, 0, 0], [4], None),  # never paid
        ([0, 0, 1, 0, 0, 1], [3, 3], None),  # no episode goes on after it
    ],
)
def test_only_sparse_rewards_say_what_can_be_reached(rewards, lengths, reachable):
    assert rewarded(rewards, lengths).reachable_return(300) == reachable


def test_the_range_of_returns_is_that_of_every_step():
    assert rewarded([1, -3, 5, 0, 0], [3, 2]).return_range == (0.0, 5.0)
