"""The rebalancing plug-in: properties over all inputs, and its cases worked out by hand."""

import textwrap

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rvdt_jax.data import rebalance
from rvdt_jax.data.rebalance import loss_weights, sampling_probabilities, select_experts

returns_lists = st.lists(st.sampled_from([-2.0, 0.0, 0.5, 1.0, 30.0]), min_size=1, max_size=40)


@given(returns_lists, st.floats(0.01, 1.0), st.randoms(use_true_random=False))
def test_selection_properties(returns, fraction, random):
    lengths = list(range(1, len(returns) + 1))
    experts = select_experts(returns, lengths, fraction=fraction)
    assert experts.mask.any()
    kept, left = np.array(returns)[experts.mask], np.array(returns)[~experts.mask]
    assert left.size == 0 or kept.min() > left.max()  # ties share one fate
    if len(set(returns)) > 1:
        assert kept.min() > min(returns)
    order = list(range(len(returns)))
    random.shuffle(order)
    shuffled = select_experts([returns[i] for i in order], [lengths[i] for i in order], fraction=fraction)
    np.testing.assert_array_equal(shuffled.mask, experts.mask[order])


@given(returns_lists, st.floats(0.0, 100.0))
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


@pytest.mark.parametrize("dup", [False, True])
def test_the_documented_loop_trains_a_pytorch_model(dup):
    """As it stands in the docstring; with ``dup`` changed as it says. Experts act 1 and are a tenth of the data."""
    torch = pytest.importorskip("torch")
    text = rebalance.__doc__.split("of which trajectories they are:")[1].split("That is ``kl``")[0]
    code = textwrap.dedent(text)
    if dup:
        code = code.replace("weights[trajectory][:, None] * ", "")
        code = code.replace("p=lengths / lengths.sum()", "p=sampling_probabilities(lengths, experts.mask, alpha=1.0)")
    rng, model = np.random.default_rng(0), torch.nn.Linear(1, 1)
    returns, lengths = np.array([1.0] + [0.0] * 9), np.full(10, 4)
    acted = torch.as_tensor(returns, dtype=torch.float32)

    def sample(p):
        trajectory = torch.as_tensor(rng.choice(10, size=256, p=p))
        ones = torch.ones(256, 4)
        return ones[..., None], acted[trajectory][:, None, None] * ones[..., None], ones, ones, ones, trajectory

    optimizer = torch.optim.Adam(model.parameters(), 0.02)
    names = vars(rebalance) | {"torch": torch, "updates": 300, "sample": sample, "optimizer": optimizer}
    exec(code, names | {"returns": returns, "lengths": lengths, "model": lambda states, *_: model(states)})
    assert model(torch.ones(1)).item() == pytest.approx(2 / 11, abs=0.03)  # the weighted mean, where the plain is 1/10


def test_nine_failures_in_ten_leave_one_expert():
    experts = select_experts([0.0] * 9 + [5.0], [10] * 10, fraction=0.5)
    assert experts.episodes == 1
    assert experts.threshold == 5.0


def test_all_equal_returns_are_all_expert():
    assert select_experts([2.0, 2.0, 2.0], [1, 1, 1], fraction=0.1).mask.all()


def test_a_threshold_replaces_the_fraction():
    experts = select_experts([1.0, 2.0, 3.0], [1, 2, 3], threshold=2.0)
    np.testing.assert_array_equal(experts.mask, [False, True, True])
    assert (experts.episodes, experts.steps, experts.max_return) == (2, 5, 3.0)


@pytest.mark.parametrize(
    ("returns", "lengths", "options", "message"),
    [
        ([1.0, np.nan], [1, 1], {}, r"returns\[1\] is nan"),
        ([1.0, np.inf], [1, 1], {}, "must be finite"),
        ([], [], {}, "positive size"),
        ([1.0], [1, 2], {}, "positive size"),
        ([1.0, 2.0], [1, 0], {}, r"lengths\[1\] is not positive"),
        ([1.0, 2.0], [1, 1], {"fraction": 0.0}, "expert.fraction"),
        ([1.0, 2.0], [1, 1], {"threshold": 2.5}, "the expert set would be empty"),
        ([1.0, 2.0], [1, 1], {"threshold": np.nan}, "the expert set would be empty"),
    ],
)
def test_bad_input_is_refused(returns, lengths, options, message):
    with pytest.raises(ValueError, match=message):
        select_experts(returns, lengths, **options)


@pytest.mark.parametrize("alpha", [-0.1, np.nan, np.inf])
def test_bad_alpha_is_refused(alpha):
    with pytest.raises(ValueError, match=r"loss\.alpha"):
        loss_weights([True], alpha)
