"""Several devices: how seeds and batch are laid over them, what they say to each other in an update (the gradients of
each loss, once; nothing inside the layers), and that the layout changes nothing but rounding."""

import collections
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from agreement import assert_losses_equal, assert_params_equal

from rvdt_jax.algorithms.sequence import SEQUENCE, make_coefficients, make_spec
from rvdt_jax.train import parallel
from rvdt_jax.train.driver import init_states, train_chunk
from rvdt_jax.train.parallel import batch_sharding, collect, make_mesh, replicate, seed_mapping, spread_seeds

needs_devices = pytest.mark.skipif(jax.device_count() < 8, reason="started without eight virtual devices")
COLLECTIVE = re.compile(r"= (.*?) (all-reduce|all-gather|reduce-scatter|all-to-all|collective-permute)[\w-]*\(")


def compile_chunk(config, store, seeds, devices, updates):
    """The program, and the states, data and coefficients, laid over the devices, that it begins with."""
    mesh = make_mesh(devices, len(seeds))
    spec = make_spec(config, 4, 2, 30, batch_sharding(mesh, config.train.batch_size))
    states = spread_seeds(init_states(jnp.asarray(seeds, jnp.int32), SEQUENCE, spec), mesh)
    store, coefficients = replicate(store, mesh), replicate(make_coefficients(config), mesh)
    static = {"algorithm": SEQUENCE, "spec": spec, "updates": updates, "map_seeds": seed_mapping(config, mesh)}
    # Unoptimised machine code: less than half of the time goes into making it, and the layout is the same.
    options = {"xla_backend_optimization_level": 0}
    compiled = train_chunk.lower(states, store, coefficients, **static).compile(compiler_options=options)
    return compiled, states, store, coefficients


def run(config, store, seeds, devices, chunks=50):
    """Trains chunk by chunk; returns the states, the metrics (chunks, R), and the text of the compiled program."""
    compiled, states, store, coefficients = compile_chunk(config, store, seeds, devices, updates=1)
    history = []
    for _ in range(chunks):
        states, metrics = compiled(states, store, coefficients)
        history.append(jax.tree.map(np.asarray, metrics))
    return states, jax.tree.map(lambda *values: np.stack(values), *history), compiled.as_text()


@needs_devices
@pytest.mark.parametrize("seeds", [2, *(pytest.param(seeds, marks=pytest.mark.slow) for seeds in (1, 8))])
def test_any_layout_trains_what_one_device_trains(seeds, small_config, store):
    config = small_config(variant="RVDT")
    states, metrics, program = run(config, store, list(range(seeds)), 8)
    groups = np.gcd(seeds, 8)
    assert states.learners["policy"].params["action"]["kernel"].sharding.shard_shape((seeds, 1))[0] == seeds // groups
    # Seeds that have a device each, or several seeds of one device, have nothing to sum up.
    assert bool(re.search(r"= \S.* all-reduce(-start)?\(", program)) == (groups < 8)
    expected, expected_metrics, _ = run(config, store, list(range(seeds)), 1)
    assert_losses_equal(expected_metrics, metrics)
    for name, learner in expected.learners.items():
        for part in ("params", "target"):
            found = jax.tree.map(np.asarray, getattr(states.learners[name], part))
            assert_params_equal(getattr(learner, part), found)


@pytest.mark.slow
@needs_devices
def test_one_all_reduce_of_gradients_a_loss_and_none_inside_the_layers(small_config, store):
    def collectives(layers):
        """Every collective of an update: its kind, and the sizes of the arrays that it carries."""
        config = small_config(variant="RVDT", train__batch_size=16, model__layers=layers)
        program = compile_chunk(config, store, [0], 8, updates=2)[0].as_text()
        arrays = [(kind, re.findall(r"\w+\[([\d,]*)\]", types)) for types, kind in COLLECTIVE.findall(program)]
        return [
            (kind, [np.prod([int(n) for n in shape.split(",") if n]) for shape in shapes]) for kind, shapes in arrays
        ]

    one, three = collectives(layers=1), collectives(layers=3)
    kinds = collections.Counter(kind for kind, _ in one)
    assert kinds == collections.Counter(kind for kind, _ in three)  # more layers, no more messages
    assert set(kinds) <= {"all-reduce", "all-gather"}
    gradients = [sizes for kind, sizes in one if kind == "all-reduce" and len(sizes) > 4]
    assert len(gradients) == 2  # of the critic's loss and of the policy's
    # All else is small: sums for means and scales, and which rows each device draws.
    assert max(max(sizes) for _, sizes in one if sizes not in gradients) <= 16 * 4


@needs_devices
@pytest.mark.parametrize(
    ("seeds", "devices", "shape"),
    [(1, 8, (1, 8)), (2, 8, (2, 4)), (3, 2, (1, 2)), (8, 8, (8, 1)), (12, 8, (4, 2)), (5, 0, (1, 8))],
)
def test_seeds_are_spread_before_the_batch(seeds, devices, shape):
    assert make_mesh(devices, seeds).devices.shape == shape


def test_one_device_needs_no_mesh():
    assert make_mesh(1, 5) is None
    assert batch_sharding(None, 7) is None
    tree = {"a": jnp.zeros(3)}
    assert (
        replicate(tree, None)
        is spread_seeds(tree, None)
        is collect(tree, None)
        is parallel.from_process_0(tree)
        is tree
    )


@needs_devices
def test_a_batch_that_does_not_divide_is_refused():
    for seeds, groups in ((1, r"8 devices\. Choose"), (2, r"4 devices \(of 8, for 2 groups of seeds")):
        with pytest.raises(ValueError, match=f"batch_size=10 does not divide over {groups}"):
            batch_sharding(make_mesh(8, seeds), 10)
    assert batch_sharding(make_mesh(8, 4), 10).shard_shape((10, 3)) == (5, 3)


def test_devices_that_are_not_there_are_refused():
    with pytest.raises(ValueError, match=r"parallel\.devices=999, but this process sees \d+ cpu device"):
        make_mesh(999)


@needs_devices
def test_seeds_that_are_spread_are_never_looped(small_config):
    config = small_config(seeds=(0, 1))
    assert seed_mapping(config, make_mesh(2, 2)) == "vmap"
    assert seed_mapping(config, make_mesh(2, 1)) == seed_mapping(config) == "loop"


@needs_devices
def test_collecting_brings_every_seed_to_one_device():
    values = {"a": jnp.arange(24.0).reshape(8, 3)}
    spread = spread_seeds(values, make_mesh(8, 8))
    assert len(spread["a"].sharding.device_set) == 8
    gathered = collect(spread, make_mesh(8, 8))["a"]
    assert gathered.devices() == {jax.devices()[0]}
    np.testing.assert_array_equal(gathered, values["a"])
