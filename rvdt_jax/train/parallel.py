"""Data parallelism: the batch is split over a one-dimensional device mesh; everything else is replicated.

``jax.jit`` inserts the communication. The random numbers do not depend on the layout, so any number of devices
computes the same losses to rounding.
"""

from __future__ import annotations

from typing import TypeVar

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

Tree = TypeVar("Tree")


def make_mesh(devices: int) -> Mesh | None:
    """A mesh over that many local devices (0: all of them), or None for a single one.

    Raises:
        ValueError: this machine has fewer devices.
    """
    available = jax.local_devices()
    if devices > len(available):
        raise ValueError(
            f"config.parallel.devices={devices}, but this process sees {len(available)} {available[0].platform} "
            "device(s). Lower it, or leave it unset to use them all."
        )
    chosen = available[: devices or len(available)]
    return Mesh(np.asarray(chosen), ("data",), axis_types=(AxisType.Auto,)) if len(chosen) > 1 else None


def batch_sharding(mesh: Mesh | None, batch_size: int) -> NamedSharding | None:
    """The layout of a batch: its leading axis over the mesh.

    Raises:
        ValueError: the batch does not divide evenly.
    """
    if mesh is None:
        return None
    if batch_size % mesh.size:
        raise ValueError(
            f"config.train.batch_size={batch_size} does not divide over {mesh.size} devices. Choose a multiple, or set "
            "config.parallel.devices."
        )
    return NamedSharding(mesh, PartitionSpec("data"))


def replicate(tree: Tree, mesh: Mesh | None) -> Tree:
    """Puts a copy of every array on every device of the mesh."""
    return tree if mesh is None else jax.device_put(tree, NamedSharding(mesh, PartitionSpec()))
