"""GPUs that XLA can compile for without having one: what its compiler and a bound on time need to know of each."""

from __future__ import annotations

import dataclasses
import importlib.util

import jax
from jax.experimental import topologies

from rvdt_jax.errors import UserError

_PLUGINS = ("jax_plugins.xla_cuda13", "jax_plugins.xla_cuda12")


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
        capability: CUDA compute capability, major and minor.
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
    """``count`` such cards in one machine, to compile for; nothing can run on them.

    Raises:
        UserError: JAX's compiler for CUDA is not installed.
    """
    if not has_compiler():
        raise UserError(
            "JAX's compiler for CUDA is not installed. It needs no GPU: pip install -e '.[cuda]', or in a checkout "
            "make .venv/.cuda/.installed and set PYTHONPATH=.venv/.cuda."
        )
    options = {"target_config": describe(card), "topology": f"1x1x{count}"}
    return list(topologies.get_topology_desc(card.name, "cuda", **options).devices)


def has_compiler() -> bool:
    """Whether JAX's plug-in for CUDA can be imported."""
    try:
        return any(importlib.util.find_spec(name) for name in _PLUGINS)
    except ModuleNotFoundError:  # there is no plug-in at all
        return False
