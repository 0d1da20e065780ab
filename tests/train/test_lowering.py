"""The programs of training and acting as an accelerator gets them: lowered for CUDA and TPU here, not run."""

import collections
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rvdt_jax.acting.selection import choose_actions, make_actor
from rvdt_jax.acting.window import Windows
from rvdt_jax.algorithms.base import get_algorithm
from rvdt_jax.algorithms.variants import VARIANTS
from rvdt_jax.config import default_config, resolve
from rvdt_jax.train.driver import init_states, train_chunk
from rvdt_jax.types import Store

PLATFORMS = ("cuda", "tpu")
B, K, S, A = 8, 4, 5, 3  # sizes by which the tensors of a program are told apart
WIDTH, CRITIC_WIDTH = 16, 24
HEADS = {A, 2 * A, 4 * A, 1}  # what the networks' last layers are as wide as: their products stay in float32


def config_of(variant: str, dtype: str, **overrides):
    settings = default_config()
    sizes = {"model.width": WIDTH, "model.layers": 2, "model.heads": 2, "model.context_length": K}
    sizes |= {"model.critic_width": CRITIC_WIDTH, "model.critic_layers": 2, "train.batch_size": B}
    what = {"task": "maze2d-umaze-v1", "variant": variant, "model.dtype": dtype}
    settings.update_from_flattened_dict(what | sizes | overrides)
    return resolve(settings)


def shape(*sizes, dtype=jnp.float32) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(sizes, dtype)


def training(config, platform: str, seeds: int = 1) -> str:
    """The StableHLO of a compiled call of two updates; nothing is allocated."""
    algorithm = get_algorithm(config.variant)
    spec, coefficients = algorithm.make_spec(config, S, A, 30), algorithm.make_coefficients(config)
    states = jax.eval_shape(lambda numbers: init_states(numbers, algorithm, spec), jnp.arange(seeds))
    dtypes = {"rewards": jnp.float32, "returns_to_go": jnp.float32, "timesteps": jnp.int32, "last_steps": jnp.int32}
    dtypes |= {"terminals": bool, "expert": bool, "expert_steps": jnp.int32}
    columns = {name: shape(100, dtype=dtype) for name, dtype in dtypes.items()}
    store = Store(observations=shape(100, S), actions=shape(100, A), **columns)
    static = {"algorithm": algorithm, "spec": spec, "updates": 2, "map_seeds": "vmap"}
    return train_chunk.trace(states, store, coefficients, **static).lower(lowering_platforms=(platform,)).as_text()


def acting(config, platform: str, episodes: int = 6) -> str:
    """The StableHLO of the evaluation's call of the policy."""
    algorithm = get_algorithm(config.variant)
    spec = algorithm.make_spec(config, S, A, 30)
    actor = make_actor(config, spec.policy, spec.critic)
    states = jax.eval_shape(lambda numbers: init_states(numbers, algorithm, spec), jnp.arange(2))
    windows = Windows(
        observations=shape(2, episodes, K, S),
        actions=shape(2, episodes, K, A),
        returns_to_go=shape(2, 1 + actor.asks_all, episodes, K),
        timesteps=shape(K, dtype=jnp.int32),
    )
    keys = jax.eval_shape(lambda: jax.random.split(jax.random.key(0), 2))
    arguments = algorithm.acting_params(states), windows, np.int32(0), keys, np.int32(0)
    return choose_actions.trace(*arguments, actor=actor).lower(lowering_platforms=(platform,)).as_text()


def products(program: str) -> collections.Counter:
    """(left, right, result) types of every matrix product in a program -> how often it is there."""
    found = re.findall(r"stablehlo\.dot_general.*: \(tensor<(\S+)>, tensor<(\S+)>\) -> tensor<(\S+)>", program)
    assert len(found) == program.count("stablehlo.dot_general")
    return collections.Counter(found)


def check_program(program: str) -> None:
    """Nothing in it that an accelerator does slowly, or cannot do."""
    assert "f64" not in program
    assert "callback" not in program
    assert set(re.findall(r"custom_call @(\w+)", program)) <= {"Sharding"}


SLOW = [pytest.param(variant, marks=pytest.mark.slow) for variant in VARIANTS if variant != "RVDT"]


@pytest.mark.parametrize("platform", PLATFORMS)
@pytest.mark.parametrize("variant", ["RVDT", *SLOW])
def test_every_variants_update_lowers(variant, platform):
    """Products in bfloat16, but for last layers and the table of discounts; what is carried over in float32."""
    program = training(config_of(variant, "bfloat16"), platform, seeds=2)
    check_program(program)
    counted = collections.Counter()
    for (left, right, result), count in products(program).items():
        sizes = {int(size) for size in re.findall(r"\d+(?=x)", f"{left} {right} {result}")}
        narrow = left.endswith("bf16") and right.endswith("bf16")
        counted["narrow" if narrow else "last layer" if sizes & HEADS else right] += count
    discounts = counted.keys() - {"narrow", "last layer"}
    assert discounts <= {f"{K}x{K}xf32"}, discounts
    assert counted["narrow"] >= 2 * counted["last layer"]
    carried = re.search(r"func.func public @main\((.*?)\) ->", program, re.DOTALL)[1]
    assert "bf16" not in carried  # parameters, optimiser, targets, store


@pytest.mark.parametrize("platform", PLATFORMS)
@pytest.mark.parametrize("variant", ["RVDT", *SLOW])
def test_a_float32_program_has_no_bfloat16(variant, platform):
    program = training(config_of(variant, "float32"), platform)
    check_program(program)
    assert "bf16" not in program


def test_several_seeds_are_one_batched_program():
    """As many products as one seed has, each with a leading axis of seeds."""
    one, five = (training(config_of("RVDT", "bfloat16"), "cuda", seeds) for seeds in (1, 5))
    check_program(five)
    assert sum(products(five).values()) == sum(products(one).values())
    assert all(result.startswith("5x") for _, _, result in products(five))


CHOICES = [("RVDT", selection) for selection in ("mean", "sample", "critic", "best_of")]
CHOICES += [(variant, "mean") for variant in ("CQL", "BCQ", "BEAR", "D-QL")]


@pytest.mark.parametrize("platform", PLATFORMS)
@pytest.mark.parametrize("dtype", ["bfloat16", pytest.param("float32", marks=pytest.mark.slow)])
@pytest.mark.parametrize(("variant", "selection"), CHOICES)
def test_the_choice_of_actions_lowers(variant, selection, dtype, platform):
    config = config_of(variant, dtype, **{"eval.action_selection": selection, "eval.targets": (1.0,)})
    program = acting(config, platform)
    check_program(program)
    assert ("bf16" in program) == (dtype == "bfloat16")
