"""Data parallelism over a mesh of devices, of one process or of several: seeds are spread first, then the batch.

Of D devices and R seeds, gcd(R, D) groups of devices take R / gcd seeds each, and within a group the batch is split.
Seeds are independent of each other, so that only a batch which is split needs its gradients summed over devices.
``jax.jit`` inserts the communication. The random numbers do not depend on the layout: any number of devices computes
the same losses to rounding.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeVar

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from rvdt_jax.errors import UserError

Tree = TypeVar("Tree")


def make_mesh(devices: int, seeds: int = 1) -> Mesh | None:
    """A mesh with the axes ``seed`` and ``data``, or None for a single device.

    Args:
        devices: D, over all processes; 0: all there are.
        seeds: R, how many seeds may be spread; 1 keeps them together.

    Raises:
        UserError: there are fewer devices, or several processes would not all use theirs.
    """
    available = jax.devices()
    if jax.process_count() > 1:
        _check_processes(devices, available)
    if devices > len(available):
        raise UserError(
            f"config.parallel.devices={devices}, but this process sees {len(available)} {available[0].platform} "
            "device(s). Lower it, or leave it unset to use them all."
        )
    return mesh_of(available[: devices or len(available)], seeds)


def mesh_of(devices: list[jax.Device], seeds: int) -> Mesh | None:
    """Those devices as a mesh with the axes ``seed`` and ``data``; None for a single one."""
    if len(devices) == 1:
        return None
    groups = math.gcd(seeds, len(devices))
    return Mesh(np.asarray(devices).reshape(groups, -1), ("seed", "data"), axis_types=(AxisType.Auto,) * 2)


def _check_processes(devices: int, available: list) -> None:
    if not jax.distributed.is_initialized():
        raise UserError(
            f"JAX sees {jax.process_count()} processes that were never connected: call jax.distributed.initialize() "
            "first, or start experiments/run.py with --distributed."
        )
    if devices not in (0, len(available)):
        raise UserError(
            f"config.parallel.devices={devices}, but the {jax.process_count()} processes have {len(available)} devices "
            "in all, and each must take part. Leave it unset; start fewer processes to use fewer."
        )


def batch_sharding(mesh: Mesh | None, batch_size: int) -> NamedSharding | None:
    """The layout of one seed's batch: its leading axis over the axis ``data`` of the mesh.

    Raises:
        UserError: the batch does not divide evenly.
    """
    if mesh is None:
        return None
    if batch_size % mesh.shape["data"]:
        spread = f" (of {mesh.size}, for {mesh.shape['seed']} groups of seeds)" if mesh.shape["seed"] > 1 else ""
        raise UserError(
            f"config.train.batch_size={batch_size} does not divide over {mesh.shape['data']} devices{spread}. Choose a "
            "multiple, or set config.parallel.devices."
        )
    return NamedSharding(mesh, PartitionSpec("data"))


def seed_mapping(config, mesh: Mesh | None = None) -> str:
    """``parallel.seeds``; ``auto`` is a loop on a CPU, where one seed uses all cores, and a vmap elsewhere.

    Seeds that are spread over devices are always a vmap: in a loop all but one group of devices would wait.
    """
    if mesh is not None and mesh.shape["seed"] > 1:
        return "vmap"
    if config.parallel.seeds != "auto":
        return config.parallel.seeds
    return "loop" if jax.default_backend() == "cpu" else "vmap"


def replicate(tree: Tree, mesh: Mesh | None) -> Tree:
    """Puts a copy of every array on every device of the mesh."""
    return tree if mesh is None else _place(tree, NamedSharding(mesh, PartitionSpec()))


def spread_seeds(tree: Tree, mesh: Mesh | None) -> Tree:
    """Splits the leading axis R of every array over the axis ``seed`` of the mesh."""
    return tree if mesh is None else _place(tree, NamedSharding(mesh, PartitionSpec("seed")))


def _place(tree: Tree, sharding: NamedSharding) -> Tree:
    """Lays arrays that every process has in full over the devices of all of them."""
    if sharding.is_fully_addressable:
        return jax.device_put(tree, sharding)

    def place(array: jax.Array) -> jax.Array:
        # jax.device_put would first send every array through the network, to compare it.
        host = np.asarray(array)
        return jax.make_array_from_callback(host.shape, sharding, lambda index: host[index])

    return _map_data(place, tree)


def _is_key(array: jax.Array) -> bool:
    return jax.dtypes.issubdtype(array.dtype, jax.dtypes.prng_key)


def _map_data(function: Callable, tree: Tree, *rest: Tree) -> Tree:
    """``jax.tree.map``, where a PRNG key is taken for its data and becomes a key again."""

    def apply(array: jax.Array, *others) -> jax.Array:
        if _is_key(array):
            made = function(jax.random.key_data(array), *others)
            return jax.random.wrap_key_data(made, impl=jax.random.key_impl(array))
        return function(array, *others)

    return jax.tree.map(apply, tree, *rest)


def collect(tree: Tree, mesh: Mesh | None) -> Tree:
    """Brings spread arrays together on the first device of this process; a collective among several processes."""
    if mesh is None:
        return tree
    if jax.process_count() > 1:
        whole = jax.jit(lambda arrays: arrays, out_shardings=NamedSharding(mesh, PartitionSpec()))(tree)
        return _map_data(lambda array: array.addressable_data(0), whole)
    return jax.device_put(tree, mesh.devices.flat[0])


def from_process_0(tree: Tree) -> Tree:
    """The arrays of process 0, of every process's own shapes, bit for bit in all of them; a collective."""
    if jax.process_count() == 1:
        return tree
    from jax.experimental import multihost_utils

    leaves, structure = jax.tree.flatten(tree)
    # It is a sum with zeros, in which only integers keep every bit.
    bits = [np.asarray(jax.random.key_data(leaf) if _is_key(leaf) else leaf).view(np.uint32) for leaf in leaves]
    sent = jax.tree.unflatten(structure, multihost_utils.broadcast_one_to_all(bits))
    return _map_data(lambda array, bits: np.asarray(bits).view(array.dtype), tree, sent)
