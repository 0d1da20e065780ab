"""What eight devices say to each other in an update: the gradients of each loss, once; nothing inside the layers."""

import collections
import re

import jax.numpy as jnp
import pytest

from rvdt_jax.algorithms.base import get_algorithm
from rvdt_jax.data.rebalance import select_experts
from rvdt_jax.data.store import make_normalizer, make_store
from rvdt_jax.train.driver import init_states, train_chunk
from rvdt_jax.train.parallel import batch_sharding, make_mesh, replicate, spread_seeds

pytestmark = pytest.mark.slow  # compiles for eight devices twice
COLLECTIVE = re.compile(r"= (.*?) (all-reduce|all-gather|reduce-scatter|all-to-all|collective-permute)[\w-]*\(")


def collectives(small_config, episodes, layers: int) -> list[tuple[str, list[int]]]:
    """Every collective of a compiled update of RVDT: its kind, and the sizes of the arrays that it carries."""
    config = small_config(train__batch_size=16, model__layers=layers, parallel__devices=8)
    algorithm, mesh = get_algorithm("RVDT"), make_mesh(8, 1)
    spec = algorithm.make_spec(config, 4, 2, 30, batch_sharding(mesh, 16))
    experts = select_experts(episodes.returns, episodes.lengths)
    store = make_store(episodes, experts, make_normalizer(episodes), return_scale=10.0)
    store, coefficients = replicate((store, algorithm.make_coefficients(config)), mesh)
    states = spread_seeds(init_states(jnp.zeros(1, jnp.int32), algorithm, spec), mesh)
    static = {"algorithm": algorithm, "spec": spec, "updates": 2, "map_seeds": "loop"}
    program = train_chunk.lower(states, store, coefficients, **static).compile().as_text()
    found = []
    for types, kind in COLLECTIVE.findall(program):
        shapes = re.findall(r"\w+\[([\d,]*)\]", types)
        found.append((kind, [int(jnp.prod(jnp.array([int(n) for n in shape.split(",") if n]))) for shape in shapes]))
    return found


def test_one_all_reduce_of_gradients_a_loss_and_none_inside_the_layers(small_config, episodes):
    one, three = (collectives(small_config, episodes, layers) for layers in (1, 3))
    kinds = collections.Counter(kind for kind, _ in one)
    assert kinds == collections.Counter(kind for kind, _ in three)  # more layers, no more messages
    assert set(kinds) <= {"all-reduce", "all-gather"}
    gradients = [sizes for kind, sizes in one if kind == "all-reduce" and len(sizes) > 4]
    assert len(gradients) == 2  # of the critic's loss and of the policy's
    # All else is small: sums for means and scales, and which rows each device draws.
    others = [sizes for kind, sizes in one if sizes not in gradients]
    assert max(max(sizes) for sizes in others) <= 16 * 4
