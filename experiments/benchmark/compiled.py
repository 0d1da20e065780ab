"""What XLA makes of an update for a GPU that is not there: its kernels, what they move, the memory, the messages.

The compiler runs as on a machine with the card, but for autotuning, which must run kernels: on a card every product of
matrices goes to cuBLAS or to a kernel of XLA's own, whichever was faster. Here all go one way, and each row is compiled
both ways; a card's program lies between the two. No time is known.
"""

from __future__ import annotations

import collections
import dataclasses
import math
import re

import jax
import jax.numpy as jnp
from jax.sharding import NamedSharding, PartitionSpec, SingleDeviceSharding

from benchmark.cards import Card
from benchmark.data import LONGEST, STEPS
from benchmark.flops import executed_flops, sizes_of
from benchmark.hlo import Instruction, read_computations
from benchmark.profile import describe_operations, kind_of, part_of
from benchmark.updates import Case, program_bytes
from rvdt_jax.algorithms.base import get_algorithm
from rvdt_jax.train.driver import init_states, train_chunk
from rvdt_jax.train.parallel import batch_sharding, mesh_of
from rvdt_jax.types import Store

OBSERVATION, ACTION = 4, 2  # S and A of maze2d
COLLECTIVES = ("all-reduce", "all-gather", "reduce-scatter", "all-to-all", "collective-permute")
PRODUCTS = {"cuBLAS": False, "Triton": True}  # who multiplies, and whether XLA writes kernels for it
_NO_KERNEL = {"parameter", "tuple", "get-tuple-element", "constant", "bitcast", "after-all", "partition-id"}
_NESTED = {"while", "call", "conditional"}
_WORKSPACE = "s8"  # what a custom call may use besides its results, and seldom does
_PARTIAL = {"slice", "dynamic-slice", "gather"}  # read a part of their first operand


@dataclasses.dataclass(frozen=True)
class Kernel:
    """What the device is asked to do at once: a fusion, a product, a message.

    Attributes:
        name: in the program.
        opcode: of its instruction.
        kind: what it does, as in the profile.
        part: what of the update its result belongs to; the profile looks at everything that is fused into it.
        read_and_written: bytes of what it reads and of its results; what a cache saves is not known.
        results: elements of each of its results.
    """

    name: str
    opcode: str
    kind: str
    part: str
    read_and_written: int
    results: tuple[int, ...]


def describe_program(case: Case, card: Card, devices: list[jax.Device], products: str) -> dict:
    """Compiles a row of the benchmark for some devices of a card, and says what became of it.

    Args:
        case: the row.
        card, devices: what it is compiled for.
        products: a key of ``PRODUCTS``.

    Returns:
        The row's settings, card and devices; ``kernels`` and ``bytes`` of one update on one device, in all,
        ``by_operation`` and ``by_part``; its ``flops``; by the card's data sheet, the ``milliseconds`` of its matrix
        products, and of the traffic if the cache kept nothing; ``program_bytes`` on one device, data and states
        included; and the ``messages`` between devices, each with the elements of every array that it carries.
    """
    compiled = compile_update(case, devices, products)
    kernels = read_kernels(compiled.as_text())
    found = summarise_kernels(kernels)
    flops = executed_flops(sizes_of(case.config)) * case.seeds // len(devices)
    seconds = {"products": flops / card.peaks[case.config.model.dtype], "traffic": found["bytes"] / card.bandwidth}
    about = case.describe()
    del about["updates_per_call"]  # the loop has one body however many there are
    return about | {
        "card": card.name,
        "devices": len(devices),
        "products_by": products,
        **found,
        "flops": flops,
        "milliseconds": {name: round(1000 * value, 3) for name, value in seconds.items()},
        "program_bytes": program_bytes(compiled),
        "messages": [[kernel.opcode.removesuffix("-start"), *kernel.results] for kernel in messages(kernels)],
    }


def compile_update(case: Case, devices: list[jax.Device], products: str) -> jax.stages.Compiled:
    """Compiles ``train_chunk`` for a row of the benchmark, laid over the devices; nothing is allocated."""
    options = {"xla_gpu_enable_triton_gemm": PRODUCTS[products]}
    algorithm, mesh = get_algorithm(case.config.variant), mesh_of(devices, case.seeds)
    sharding = batch_sharding(mesh, case.config.train.batch_size)
    spec = algorithm.make_spec(case.config, OBSERVATION, ACTION, LONGEST, sharding)
    states = jax.eval_shape(lambda numbers: init_states(numbers, algorithm, spec), jnp.arange(case.seeds))

    def place(tree, *axes: str):
        where = SingleDeviceSharding(devices[0]) if mesh is None else NamedSharding(mesh, PartitionSpec(*axes))
        return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=where), tree)

    coefficients = jax.eval_shape(lambda: algorithm.make_coefficients(case.config))
    static = {"algorithm": algorithm, "spec": spec, "updates": case.updates, "map_seeds": case.map_seeds}
    placed = place(states, "seed"), place(_store(STEPS)), place(coefficients)
    return train_chunk.lower(*placed, **static).compile(compiler_options=options)


def _store(steps: int) -> Store:
    """The shapes of a data set of so many steps, a tenth of them experts'."""

    def column(dtype, *sizes: int) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct(sizes or (steps,), dtype)

    real, whole = jnp.float32, jnp.int32
    return Store(
        observations=column(real, steps, OBSERVATION),
        actions=column(real, steps, ACTION),
        rewards=column(real),
        returns_to_go=column(real),
        timesteps=column(whole),
        last_steps=column(whole),
        terminals=column(bool),
        expert=column(bool),
        expert_steps=column(whole, steps // 10),
    )


def read_kernels(text: str) -> list[Kernel]:
    """The kernels of one update: those of the body of the program's loop over updates.

    Args:
        text: ``compiled.as_text()``.

    Raises:
        ValueError: there is no loop in the program, or its body calls other computations.
    """
    computations = read_computations(text)
    bodies = [name for name in re.findall(r"while\(.*body=%?([\w.\-]+)", text) if name in computations]
    if not bodies:
        raise ValueError("the compiled program has no loop over updates")
    body = computations[max(bodies, key=lambda name: len(computations[name]))]
    inside, types = describe_operations(text), {each.name: each.type for each in body}
    ends = {each.operands[0]: each.type for each in body if each.opcode.endswith("-done")}
    kernels = []
    for each in body:
        if each.opcode in _NESTED:
            raise ValueError(f"the update calls another computation ({each.name}), whose kernels would not be counted")
        if each.opcode in _NO_KERNEL or each.opcode.endswith("-done"):
            continue
        called = re.search(r"calls=%?([\w.\-]+)", each.line)
        read = _read(each, types, computations[called[1]] if called else [])
        what = inside.get(each.name, each.opcode)
        made = ends.get(each.name, each.type)  # what begins may name its operands beside its results
        written = [array for array in _arrays(made) if each.opcode != "custom-call" or array[0] != _WORKSPACE]
        amount = read + sum(_bytes(*array) for array in written)
        results = tuple(count for _, count in written)
        origin = re.search(r'op_name="([^"]*)"', each.line)
        part = part_of(origin[1] if origin else what)
        kernels.append(Kernel(each.name, each.opcode, kind_of(what), part, amount, results))
    return kernels


def messages(kernels: list[Kernel]) -> list[Kernel]:
    """Those that devices exchange values in."""
    return [kernel for kernel in kernels if kernel.opcode.removesuffix("-start") in COLLECTIVES]


def summarise_kernels(kernels: list[Kernel]) -> dict:
    """How many there are and how many bytes they move, in all, by kind and by part, the largest first."""

    def group(attribute: str) -> dict[str, dict[str, int]]:
        counts, amounts = collections.Counter(), collections.Counter()
        for kernel in kernels:
            counts[getattr(kernel, attribute)] += 1
            amounts[getattr(kernel, attribute)] += kernel.read_and_written
        return {name: {"kernels": counts[name], "bytes": amount} for name, amount in amounts.most_common()}

    total = {"kernels": len(kernels), "bytes": sum(kernel.read_and_written for kernel in kernels)}
    return total | {"by_operation": group("kind"), "by_part": group("part")}


def _read(kernel: Instruction, types: dict[str, str], inside: list[Instruction]) -> int:
    """Bytes of its operands; of one that is only sliced or gathered from, of what is taken."""
    inputs = [each for each in inside if each.opcode == "parameter"]
    numbers = {each.name: int(re.search(r"parameter\((\d+)\)", each.line)[1]) for each in inputs}
    taken = {}
    for name, number in numbers.items():
        users = [each for each in inside if name in each.operands]
        if users and all(each.opcode in _PARTIAL and each.operands[0] == name for each in users):
            taken[number] = sum(_bytes(*array) for each in users for array in _arrays(each.type))
    whole = [sum(_bytes(*array) for array in _arrays(types.get(name, ""))) for name in kernel.operands]
    return sum(min(amount, taken.get(number, amount)) for number, amount in enumerate(whole))


def _arrays(kind: str) -> list[tuple[str, int]]:
    """Element type and number of elements of every array in a type as HLO writes it."""
    found = re.findall(r"\b([a-z]+\d*)\[([\d,]*)\]", kind)
    return [(name, math.prod(int(size) for size in sizes.split(",") if size)) for name, sizes in found]


def _bytes(element: str, count: int) -> int:
    bits = re.search(r"\d+", element)
    return count * (int(bits[0]) if bits else 8) // 8  # pred is a byte
