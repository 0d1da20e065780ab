"""Coverage: shares counted by hand, groups that are there, intervals that hold."""

import json

import numpy as np
import pytest

from rvdt_jax.config.settings import targets_of
from rvdt_jax.data.coverage import group_states, measure_coverage, shares_by_group
from rvdt_jax.data.episodes import Episodes
from rvdt_jax.data.rebalance import select_experts


def make_episodes(starts, returns):
    """Trajectories of two steps from the given (E,) places, whose whole return is paid at the last one."""
    count = len(returns)
    observations = np.repeat(np.stack([starts, np.zeros(count)], 1), 2, axis=0).astype(np.float32)
    rewards = np.stack([np.zeros(count), returns], 1).reshape(-1).astype(np.float32)
    actions = np.zeros((2 * count, 1), np.float32)
    return Episodes("made up", observations, actions, rewards, np.full(count, 2), np.zeros(count, bool))


@pytest.fixture
def two_rooms():
    """From 0 a tenth of 100 trajectories returns 10, from 5 half of 100; the others return 0."""
    return make_episodes(np.repeat([0.0, 5.0], 100), np.repeat([10.0, 0.0, 10.0, 0.0], [10, 90, 50, 50]))


def measure(episodes, **options):
    experts = select_experts(episodes.returns, episodes.lengths, fraction=0.3)
    return measure_coverage(episodes, experts, **{"target": 10.0, "alpha": 1.0, "bins": 5, "groups": 2} | options)


def test_shares_by_hand(two_rooms):
    """Those of return 10 are the experts. Given the start they are, too, for all others have the minimum."""
    found = measure(two_rooms)
    json.dumps(found)
    assert found["edges"] == [0, 2, 4, 6, 8, 10]
    assert (found["asked_bin"], found["group_sizes"]) == (4, [100, 100])
    assert found["expert_set"] == {"by": "return", "episodes": 60, "steps": 120, "min_return": 10, "max_return": 10}
    # The 60 trajectories of return 10 count twice afterwards: 20 of 110, and 100 of 150.
    for when, share, by_group in (("before", 60 / 200, [0.1, 0.5]), ("after", 120 / 260, [20 / 110, 100 / 150])):
        shares = found[when]
        assert shares["histogram"] == pytest.approx([1 - share, 0, 0, 0, share])
        for name in ("step_share", "expert_share", "expert_step_share"):  # all trajectories are of one length
            assert shares[name] == pytest.approx(share)
        assert sorted(row[4] for row in shares["by_group"]) == pytest.approx(by_group)
        np.testing.assert_allclose(np.sum(shares["by_group"], 1), 1)
        assert sorted(shares["expert_by_group"]) == pytest.approx(by_group)
        columns = (shares[f"expert_by_group{end}"] for end in ("_low", "", "_high"))
        assert all(low < share < high for low, share, high in zip(*columns, strict=True))


@pytest.mark.parametrize(
    ("target", "inside", "bin_"),
    [(10.0, True, 4), (10.00001, True, 4), (10.01, False, 4), (250.0, False, 4), (-3.0, False, 0), (4.0, True, 2)],
)
def test_a_target_outside_the_data_is_said_to_be(target, inside, bin_, two_rooms):
    found = measure(two_rooms, target=target)
    assert (found["target_is_in_range"], found["asked_bin"]) == (inside, bin_)


@pytest.mark.parametrize("best", [1.580004, 1.580006, 1e6, -1e6, 1e-9])
def test_the_best_return_as_a_target_is_in_the_data_however_it_is_rounded(best):
    returns = best - abs(best) * np.linspace(0, 1e-3 if abs(best) > 1e3 else 1, 60)
    episodes = make_episodes(np.zeros(60), returns)
    found = measure(episodes, target=targets_of(episodes.returns)[0])
    assert found["target_is_in_range"]
    assert not measure(episodes, target=best + 0.001 * np.ptp(returns))["target_is_in_range"]


def test_a_target_rounded_below_an_edge_counts_the_returns_that_it_means():
    returns = np.repeat([0.0, 1.23456789, 2 * 1.23456789], 20)  # the second is the edge of two bins
    found = measure(make_episodes(np.zeros(60), returns), target=1.23456, bins=2)
    assert found["before"]["histogram"][found["asked_bin"]] == pytest.approx(2 / 3)


def test_equal_returns_are_one_bin():
    found = measure(make_episodes(np.zeros(60), np.full(60, 3.0)), target=3.0)
    assert found["before"]["histogram"] == [1.0]
    assert found["before"]["step_share"] == 1.0


def test_few_trajectories_or_equal_states_are_one_group():
    assert not group_states(np.random.default_rng(0).normal(size=(70, 3)), 8, 0).any()
    assert not group_states(np.ones((1000, 3)), 8, 0).any()
    labels = group_states(1e-9 * np.random.default_rng(0).normal(size=(1000, 3)), 8, 0)
    assert set(labels) == set(range(8))
    np.testing.assert_array_equal(labels, group_states(np.random.default_rng(0).normal(size=(1000, 3)), 8, 0))


@pytest.mark.parametrize(("count", "share", "alpha"), [(1000, 0.05, 9.0), (1000, 0.05, 1.0), (500, 0.1, 4.0)])
def test_the_interval_holds_where_the_weights_follow_from_the_return(count, share, alpha):
    rng, inside, tries = np.random.default_rng(0), 0, 2000
    truth = share * (1 + alpha) / (1 + share * alpha)
    for _ in range(tries):
        hit = (rng.random(count) < share).astype(int)
        _, low, high = shares_by_group(np.zeros(count, int), hit, 1 + alpha * hit, 2)
        inside += low[0, 1] <= truth <= high[0, 1]
    assert 0.92 < inside / tries < 0.98


@pytest.mark.parametrize(("option", "value"), [("--target", np.nan), ("--bins", 0), ("--groups", 0), ("alpha", -1.0)])
def test_bad_settings_are_named(option, value, two_rooms):
    with pytest.raises(ValueError, match=rf"{option}(=| is ){value}"):
        measure(two_rooms, **{option.strip("-"): value})
