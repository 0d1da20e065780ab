"""The rebalancing plug-in: properties over all inputs, and its cases worked out by hand."""

import textwrap

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rvdt_jax.data import rebalance
from rvdt_jax.data.contract import check_episodes
from rvdt_jax.data.episodes import Episodes
from rvdt_jax.data.rebalance import loss_weights, sampling_probabilities, select_expert_episodes, select_experts


@settings(deadline=None)
@given(st.lists(st.sampled_from([-2.0, 0.0, 0.5, 1.0, 30.0]), min_size=1, max_size=40), st.floats(0.0, 100.0))
def test_weights_and_probabilities(returns, alpha):
    lengths = np.arange(1, len(returns) + 1)
    mask = select_experts(returns, lengths).mask
    weights = loss_weights(mask, alpha)
    assert (weights >= 1.0).all()
    np.testing.assert_allclose(weights[mask], 1.0 + alpha)
    probabilities = sampling_probabilities(lengths, mask, alpha)
    assert probabilities.sum() == pytest.approx(1.0)
    ratio = probabilities / lengths
    np.testing.assert_allclose(ratio / ratio.min(), weights / weights.min())


@pytest.mark.slow
@pytest.mark.parametrize("dup", [False, True])
def test_the_documented_loop_trains_a_pytorch_model(dup):
    """As it stands in the docstring; with ``dup`` changed as it says. Experts act 1 and are a tenth of the data."""
    torch = pytest.importorskip("torch")
    text = rebalance.__doc__.split("normalised as the model sees them:")[1].split("That is ``kl``")[0]
    code = textwrap.dedent(text)
    if dup:
        code = code.replace("weights[trajectory][:, None] * ", "")
        code = code.replace("p=lengths / lengths.sum()", "p=sampling_probabilities(lengths, experts.mask, alpha=1.0)")
    rng, model = np.random.default_rng(0), torch.nn.Linear(1, 1)
    returns, lengths, starts = np.array([1.0] + [0.0] * 9), np.full(10, 4), np.ones((10, 1))
    acted = torch.as_tensor(returns, dtype=torch.float32)

    def sample(p):
        trajectory = torch.as_tensor(rng.choice(10, size=256, p=p))
        ones = torch.ones(256, 4)
        return ones[..., None], acted[trajectory][:, None, None] * ones[..., None], ones, ones, ones, trajectory

    optimizer = torch.optim.Adam(model.parameters(), 0.02)
    names = vars(rebalance) | {"torch": torch, "updates": 300, "sample": sample, "optimizer": optimizer}
    names |= {"returns": returns, "lengths": lengths, "starts": starts, "model": lambda states, *_: model(states)}
    exec(code, names)
    assert model(torch.ones(1)).item() == pytest.approx(2 / 11, abs=0.03)  # the weighted mean, where the plain is 1/10


def test_a_threshold_replaces_the_fraction():
    experts = select_experts([1.0, 2.0, 3.0], [1, 2, 3], threshold=2.0)
    np.testing.assert_array_equal(experts.mask, [False, True, True])
    assert (experts.episodes, experts.steps, experts.max_return) == (2, 5, 3.0)
    assert "2 of 3 trajectories are expert, picked by a return threshold: 5 steps, returns 2 to 3" in experts.describe()
    again = select_experts([1.0, 2.0, 3.0], [1, 2, 3], starts=np.arange(3.0)[:, None], threshold=2.0)
    np.testing.assert_array_equal(again.mask, experts.mask)


def test_the_mean_reward_does_not_prefer_long_recordings():
    returns, lengths = [10.0, 9.0, 20.0, 2.0], [10, 5, 40, 1]
    assert select_experts(returns, lengths, fraction=0.25).mask.tolist() == [False, False, True, False]
    experts = select_experts(returns, lengths, fraction=0.5, measure="mean_reward")
    assert experts.mask.tolist() == [False, True, False, True]
    assert (experts.threshold, experts.max_return) == (2.0, 9.0)  # returns, not what was compared
    assert "picked by mean reward among all: 6 steps" in experts.describe()
    by_threshold = select_experts(returns, lengths, threshold=9.5, measure="mean_reward")
    assert by_threshold.mask.tolist() == [True, False, True, False]


def test_those_that_act_well_not_those_that_start_well():
    """Near the goal (0) everybody earns 20 or more, far from it (5) hardly anybody anything."""
    returns = np.concatenate([np.linspace(20, 30, 50), [8.0] * 5 + [0.0] * 45])
    starts = np.repeat([0.0, 5.0], 50) + np.random.default_rng(0).uniform(-0.1, 0.1, 100)
    starts, lengths = starts[:, None], np.full(100, 3)
    by_return = select_experts(returns, lengths)
    by_start = select_experts(returns, lengths, starts=starts)
    np.testing.assert_array_equal(np.flatnonzero(by_return.mask), np.arange(40, 50))
    np.testing.assert_array_equal(np.flatnonzero(by_start.mask), np.arange(45, 55))
    assert (by_return.by, by_start.by) == ("return", "start")
    assert (by_start.episodes, by_start.steps, by_start.threshold, by_start.max_return) == (10, 30, 8.0, 30.0)
    assert "picked by return among those that start near them: 30 steps, returns 8 to 30" in by_start.describe()
    assert "10 of 100 trajectories are expert, picked by return among all: 30 steps" in by_return.describe()


def test_many_equal_starts_take_no_more_than_their_memory():
    """A k-d tree of them all, asked for each, would take hours."""
    rng = np.random.default_rng(0)
    returns, places = rng.normal(size=200_000), rng.integers(0, 3, 200_000)
    experts = select_experts(returns, np.ones(200_000), starts=places[:, None].astype(float))
    for place in range(3):
        there = places == place
        np.testing.assert_array_equal(experts.mask[there], select_experts(returns[there], np.ones(there.sum())).mask)


def slow_reference(returns, starts, fraction, size):
    """Every distance, and every rule as it reads."""
    overall = select_experts(returns, np.ones(returns.size), fraction=fraction).mask
    expert = np.zeros(returns.size, bool)
    for i, start in enumerate(starts):
        distances = np.sqrt(((starts - start) ** 2).sum(1))
        near = returns[distances <= np.sort(distances)[size - 1] * (1 + 1e-6)]
        better = sum(other > returns[i] for other in near)
        if near.min() == near.max():
            expert[i] = overall[i]
        else:
            expert[i] = returns[i] > near.min() and better < max(1, round(fraction * near.size))
    return expert


STARTS = {
    "apart": lambda rng, count: rng.normal(size=(count, 3)),
    "some equal": lambda rng, count: rng.integers(0, 5, (count, 2)).astype(float),
    "most equal": lambda rng, count: np.where(rng.random((count, 1)) < 0.7, 0.0, rng.normal(size=(count, 2))),
    "on a grid": lambda rng, count: np.stack(np.divmod(rng.permutation(count), 20), axis=1).astype(float),
}


@pytest.mark.parametrize("kind", STARTS)
@pytest.mark.parametrize(("size", "chunk"), [(50, 2048), (50, 7), (8, 64)])
def test_the_quick_way_agrees_with_a_slow_reference(kind, size, chunk, monkeypatch):
    monkeypatch.setattr(rebalance, "_FEWEST", size)
    monkeypatch.setattr(rebalance, "_CHUNK", chunk)
    rng = np.random.default_rng(size)
    starts = STARTS[kind](rng, 400)
    for returns in (rng.normal(size=400), rng.integers(0, 4, 400).astype(float), (rng.random(400) < 0.05) * 1.0):
        for fraction in (0.03, 0.1, 0.5):
            found = select_experts(returns, np.ones(400), starts=starts, fraction=fraction)
            np.testing.assert_array_equal(found.mask, slow_reference(returns, starts, fraction, size))


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from([-1.0, 0.0, 2.0]), st.integers(0, 3)), min_size=1, max_size=150),
    st.floats(0.01, 1.0),
    st.booleans(),
    st.randoms(use_true_random=False),
)
def test_selection_properties(trajectories, fraction, given_starts, random):
    returns, places = (np.array(column, float) for column in zip(*trajectories, strict=True))
    starts, lengths = places[:, None], np.ones(returns.size)
    if not given_starts:
        starts, places = None, np.zeros(returns.size)
    experts = select_experts(returns, lengths, starts=starts, fraction=fraction)
    assert experts.mask[returns == returns.max()].any()
    if fraction < 1 and returns.max() > returns.min():
        assert returns[experts.mask].min() > returns.min()
    for place in np.unique(places):
        kept, left = (returns[(places == place) & chosen] for chosen in (experts.mask, ~experts.mask))
        assert kept.size == 0 or left.size == 0 or kept.min() > left.max()  # ties share one fate
    order = random.sample(range(returns.size), returns.size)
    shuffled_starts = None if starts is None else starts[order]
    shuffled = select_experts(returns[order], lengths, starts=shuffled_starts, fraction=fraction)
    np.testing.assert_array_equal(shuffled.mask, experts.mask[order])


def test_episodes_are_ranked_among_those_with_near_normalised_starts():
    """The first dimension of a start, in small units, decides the return; the second means nothing."""
    rng = np.random.default_rng(0)
    room, columns = np.arange(100) % 2, (np.full(100, 2), np.zeros(100, bool))
    observations = np.repeat(np.stack([1e-3 * room, 1e3 * rng.normal(size=100)], axis=1), 2, axis=0)
    rewards = np.stack([np.zeros(100), 10 * room + rng.random(100)], axis=1).reshape(-1)
    two_units = check_episodes(Episodes("two units", observations, np.zeros((200, 1)), rewards, *columns))
    experts = select_expert_episodes(two_units)
    starts = two_units.normalized_starts()
    np.testing.assert_allclose([starts.mean(0), starts.std(0)], [[0, 0], [1, 1]], atol=1e-5)
    expected = select_experts(two_units.returns, two_units.lengths, starts=starts)
    np.testing.assert_array_equal(experts.mask, expected.mask)
    assert experts.mask[::2].any()
    assert experts.mask[1::2].any()
    assert (experts.by, experts.steps) == ("start", 2 * experts.episodes)
    by_return = select_expert_episodes(two_units, by="return")
    np.testing.assert_array_equal(by_return.mask, select_experts(two_units.returns, two_units.lengths).mask)
    assert not by_return.mask[::2].any()
    assert select_expert_episodes(two_units, threshold=10.0).episodes == 50
    with pytest.raises(ValueError, match=r"expert\.by is 'state'; choose one of start, return"):
        select_expert_episodes(two_units, by="state")


@pytest.mark.parametrize(
    ("returns", "lengths", "options", "message"),
    [
        ([1.0, np.nan], [1, 1], {}, r"returns\[1\] is nan"),
        ([], [], {}, "positive size"),
        ([1.0], [1, 2], {}, "positive size"),
        *(
            ([1.0, 2.0], [1, bad], {}, rf"lengths\[1\] is {bad}; every length")
            for bad in (0, 2.5, float("nan"), float("inf"))
        ),
        ([1.0, 2.0], ["1", "2"], {}, "lengths have type"),
        ([1.0, 2.0], [1, 1], {"fraction": 0.0}, "expert.fraction"),
        ([1.0, 2.0], [1, 1], {"measure": "length"}, "expert.measure is 'length'"),
        ([1.0, 2.0], [1, 1], {"threshold": 2.5}, "the expert set would be empty"),
        ([1.0, 2.0], [1, 1], {"threshold": np.nan}, "the expert set would be empty"),
        ([1.0, 2.0], [1, 1], {"starts": [0.0, 1.0]}, r"starts have shape \(2,\); expected one vector for each of 2"),
        ([1.0, 2.0], [1, 1], {"starts": [[], []]}, r"starts have shape \(2, 0\)"),
        ([1.0, 2.0], [1, 1], {"starts": [[0.0], [np.nan]]}, r"starts\[1\] is \[nan\]"),
        ([1.0, 2.0], [1, 1], {"starts": [[np.inf], [0.0]], "threshold": 1.0}, r"starts\[0\] is \[inf\]"),
    ],
)
def test_bad_input_is_refused(returns, lengths, options, message):
    with pytest.raises(ValueError, match=message):
        select_experts(returns, lengths, **options)


@pytest.mark.parametrize("alpha", [-0.1, np.nan, np.inf])
def test_bad_alpha_is_refused(alpha):
    with pytest.raises(ValueError, match=r"loss\.alpha"):
        loss_weights([True], alpha)


@pytest.mark.parametrize("mask", [np.array([3, 7]), [[True, False]], True, [0.5, 1.0]])
def test_a_mask_that_is_none_is_refused(mask):
    with pytest.raises(ValueError, match="expert_mask must be a vector with True or False"):
        loss_weights(mask, 1.0)
    with pytest.raises(ValueError, match=r"lengths have shape \(3,\), but expert_mask \(2,\)"):
        sampling_probabilities([1, 2, 3], [True, False], 1.0)


def test_of_many_starts_some_stand_for_their_neighbours(monkeypatch):
    rng = np.random.default_rng(0)
    starts, returns, lengths = rng.normal(size=(3000, 2)), rng.normal(size=3000), np.ones(3000, int)
    exact = select_experts(returns, lengths, starts=starts).mask
    monkeypatch.setattr(rebalance, "_POINTS", 2000)
    monkeypatch.setattr(rebalance, "_CENTRES", 1000)
    order = rng.permutation(3000)
    mask = select_experts(returns, lengths, starts=starts).mask
    shuffled = select_experts(returns[order], lengths, starts=starts[order]).mask
    assert np.array_equal(mask[order], shuffled)
    assert mask[returns.argmax()]
    assert (mask == exact).mean() > 0.96
