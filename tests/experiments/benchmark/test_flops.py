"""The formulas for FLOPs, against products counted by hand, in the traced update, and by the compiler."""

import pytest
from benchmark.data import make_episodes
from benchmark.flop_count import measure_flops
from benchmark.flops import Sizes, block, critic, executed_flops, model_flops
from benchmark.updates import Case, Data

pytestmark = pytest.mark.slow

NETWORKS = {"width": 8, "layers": 2, "critic_width": 16, "critic_layers": 2}
SIZES = Sizes(batch=2, steps=3, observation=4, action=2, guided=True, **NETWORKS)


def test_the_plain_update_by_hand():
    # 8 tokens of width 8, 3 of them queries: k, v; scores and mixture; q and output; 8 -> 32 -> 8.
    assert block(SIZES, 8, 3) == 2 * 2 * 8 * 8 * 8 + 2 * 2 * 3 * 8 * 8 + 2 * 2 * 3 * 8 * 8 + 2 * 2 * 3 * 8 * 32
    assert critic(SIZES) == 2 * (6 * 16 + 16 * 16 + 16 * 1)
    tokens, pairs = 9, 2 * 3
    forward = 2 * (7 * 3) * 8 + 2 * block(SIZES, tokens, tokens) + 2 * 3 * 8 * 2
    assert model_flops(SIZES) == 2 * 4 * forward + critic(SIZES) * (9 * pairs + 2 * 2) + 2 * 2 * 3 * 3
    assert executed_flops(SIZES) < model_flops(SIZES)


@pytest.fixture(scope="module")
def data():
    return Data.of(make_episodes(2000))


@pytest.mark.parametrize("variant", ["BC", "RVDT"])
def test_the_traced_update_multiplies_what_the_formula_says(variant, small_config, data):
    model = {"layers": 3, "width": 48, "context_length": 7, "dropout": 0.1, "critic_width": 24, "critic_layers": 3}
    config = small_config(variant=variant, **{f"model__{name}": value for name, value in model.items()})
    row = measure_flops(Case("small", config, 1, "loop", 1, 1), data)
    assert row["traced_over_formula"] == pytest.approx(1.0, rel=3e-3)


def test_the_compiler_counts_little_else_where_products_dominate(small_config, data):
    sizes = {"model__width": 256, "model__layers": 1, "model__context_length": 8, "train__batch_size": 64}
    config = small_config(variant="DT", **sizes)
    row = measure_flops(Case("small", config, 1, "loop", 1, 1), data)
    assert row["traced_over_formula"] == pytest.approx(1.0, abs=1e-3)
    assert 1.0 < row["compiled_over_formula"] < 1.05
