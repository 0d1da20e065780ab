"""GPUs that XLA can compile for without having one: what its compiler and a bound on time need to know of each."""

from __future__ import annotations

import dataclasses

import jax
from jax.experimental import topologies

from rvdt_jax.errors import UserError, first_line


@dataclasses.dataclass(frozen=True)
class Card:
    """A GPU, by its maker's data sheet.

    Attributes:
        name: as its driver reports it.
        cores: streaming multiprocessors.
        clock: GHz, the highest.
        memory: bytes.
        bandwidth: of the memory, bytes/s.
        cache: bytes of its second-level cache.
        peaks: FLOP/s of dense matrix products by the dtype of the factors; float32 as TF32, which JAX multiplies it in.
        capability: CUDA's major and minor version of what it can do.
    """

    name: str
    cores: int
    clock: float
    memory: int
    bandwidth: float
    cache: int
    peaks: dict[str, float]
    capability: tuple[int, int]


_HOPPER = {"cores": 132, "clock": 1.98, "cache": 50 * 2**20, "capability": (9, 0)}
_HOPPER["peaks"] = {"bfloat16": 989e12, "float32": 494e12}
CARDS = {
    "h100": Card("NVIDIA H100 80GB HBM3", memory=80 * 10**9, bandwidth=3.35e12, **_HOPPER),
    "h200": Card("NVIDIA H200", memory=141 * 10**9, bandwidth=4.8e12, **_HOPPER),
}
# Limits of one block of threads, which are those of every card above.
_LIMITS = """
    threads_per_block_limit: 1024  threads_per_warp: 32  threads_per_core_limit: 2048  fpus_per_core: 128
    block_dim_limit_x: 2147483647  block_dim_limit_y: 65535  block_dim_limit_z: 65535
    shared_memory_per_block: 49152  shared_memory_per_core: 233472  shared_memory_per_block_optin: 232448
    registers_per_core_limit: 65536  registers_per_block_limit: 65536
"""
_VERSIONS = "runtime_version { major: 12 minor: 8 }  dnn_version_info { major: 9 minor: 10 }"


def describe(card: Card) -> str:
    """XLA's description of the card, a ``GpuTargetConfigProto`` as text."""
    major, minor = card.capability
    return (
        f"gpu_device_info {{ {_LIMITS} core_count: {card.cores}  clock_rate_ghz: {card.clock}"
        f"  memory_bandwidth: {card.bandwidth:.0f}  l2_cache_size: {card.cache}  device_memory_size: {card.memory}"
        f"  cuda_compute_capability {{ major: {major} minor: {minor} }} }}"
        f' platform_name: "CUDA" {_VERSIONS} device_description_str: "{card.name}"'
    )


def devices_of(card: Card, count: int = 1) -> list[jax.Device]:
    """So many of the card, of one machine, to compile for and not to run on.

    Raises:
        UserError: JAX's compiler for CUDA is not installed.
    """
    options = {"target_config": describe(card), "topology": f"1x1x{count}"}
    try:
        return list(topologies.get_topology_desc(card.name, "cuda", **options).devices)
    except Exception as error:  # of the plug-in's loader, as many kinds as it has causes
        raise UserError(
            f"JAX's compiler for CUDA cannot be used ({first_line(error)}). It needs no GPU: pip install -e '.[cuda]'"
        ) from error
