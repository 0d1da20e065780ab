"""What the numbers were measured on, and how fast it multiplies matrices."""

from __future__ import annotations

import datetime
import os
import pathlib
import platform
import time
from collections.abc import Callable
from importlib import metadata

import jax
import jax.numpy as jnp

from rvdt_jax.report.provenance import device_name, source_commit, usable_cores

_PACKAGES = ("rvdt-jax", "jax", "jaxlib", "flax", "numpy", "torch", "mujoco", "gymnasium")
_SIZES = {"cpu": (512, 1024, 2048), "other": (2048, 4096, 8192)}  # of the square matrices; a larger one is no faster
_CHAIN = 8  # products of one call


def describe_machine() -> dict:
    """Hardware, versions, flags, date, and the commit where there is one."""
    device = jax.devices()[0]
    return {
        "platform": device.platform,
        "device": device_name(device.device_kind),
        "devices": jax.device_count(),
        "cores": usable_cores(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in _PACKAGES},
        "xla_flags": os.environ.get("XLA_FLAGS", ""),
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "commit": source_commit(),
    }


def identity(machine: dict) -> tuple:
    """What must be equal for two results to be of the same hardware."""
    return tuple(machine[name] for name in ("platform", "device", "devices", "cores"))


def matmul_peak(dtype: str) -> dict:
    """The fastest square product that JAX does here, FLOP/s by size, and the best of them.

    Args:
        dtype: of the matrices, ``float32`` or ``bfloat16``; products run at JAX's default precision for it.
    """
    kind = "cpu" if jax.default_backend() == "cpu" else "other"
    by_size = {}
    for size in _SIZES[kind]:
        matrix = jax.random.normal(jax.random.key(0), (size, size), dtype) / size**0.5

        def chain(start, matrix=matrix):
            return jax.lax.fori_loop(0, _CHAIN, lambda _, x: matrix @ x, start)

        by_size[size] = _fastest(jax.jit(chain), matrix, 2 * _CHAIN * size**3)
    return {"by_size": by_size, "best": max(by_size.values())}


def torch_matmul_peak(dtype: str) -> dict | None:
    """The same of PyTorch, on the device it trains on; None where it is not installed."""
    try:
        import torch
    except ImportError:
        return None
    from benchmark.peer_update import multiplying_as_jax

    cuda = torch.cuda.is_available()
    by_size = {}
    for size in _SIZES["other" if cuda else "cpu"]:
        matrix = torch.randn(size, size, device="cuda" if cuda else "cpu").to(getattr(torch, dtype)) / size**0.5

        def chain(start):
            x = start
            for _ in range(_CHAIN):
                x = start @ x
            if cuda:
                torch.cuda.synchronize()
            return x

        with multiplying_as_jax():
            by_size[size] = _fastest(chain, matrix, 2 * _CHAIN * size**3)
    return {"by_size": by_size, "best": max(by_size.values())}


def _fastest(call: Callable, argument, flops: int, repeats: int = 4) -> float:
    """FLOP/s of the fastest of some calls, the first of which only warms up."""
    best = float("inf")
    for repeat in range(repeats + 1):
        begun = time.perf_counter()
        result = call(argument)
        if isinstance(result, jax.Array):
            jnp.asarray(result).block_until_ready()
        if repeat:
            best = min(best, time.perf_counter() - begun)
    return flops / best


STAT = pathlib.Path("/proc/stat")


class OtherWork:
    """How many cores others kept busy, or the host took away, while the block ran. Linux only.

    Attributes:
        cores: the number, after the block; None where the system does not tell.
    """

    def __enter__(self) -> OtherWork:
        self._begun = self._read()
        self.cores = None
        return self

    def __exit__(self, *exception) -> None:
        now = self._read()
        if now is not None and self._begun is not None:
            busy, own, clock = (after - before for after, before in zip(now, self._begun, strict=True))
            self.cores = round(max(0.0, busy - own) / max(clock, 1e-9), 2)

    @staticmethod
    def _read() -> tuple[float, float, float] | None:
        """Seconds that all cores were busy, that this process and its children used, and of the clock."""
        try:
            fields = STAT.read_text(encoding="ascii").split("\n", 1)[0].split()[1:]
        except OSError:
            return None
        # The last of the eight is what the host gave to other machines while this one wanted it.
        user, nice, system, _, _, *interrupts = (int(field) for field in fields[:8])
        times = os.times()
        own = times.user + times.system + times.children_user + times.children_system
        return (user + nice + system + sum(interrupts)) / os.sysconf("SC_CLK_TCK"), own, time.perf_counter()


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
