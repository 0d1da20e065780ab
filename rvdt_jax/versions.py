"""What a result rests on: versions, and the processor."""

from __future__ import annotations

import os
import pathlib
import platform
from importlib import metadata

_PACKAGES = ("rvdt-jax", "jax", "flax", "optax", "mujoco", "gymnasium", "gymnasium-robotics")


def installed_versions() -> dict[str, str | None]:
    """Package -> version; None where it is not installed."""
    return {name: _version(name) for name in _PACKAGES}


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def hardware(device_kind: str) -> str:
    """A device as a reader knows it; JAX calls every processor "cpu"."""
    if device_kind != "cpu":
        return device_kind
    cores = usable_cores()
    return f"{processor()} ({cores} {'core' if cores == 1 else 'cores'})"


def usable_cores() -> int | None:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def processor() -> str:
    """The processor's name; ``platform`` gives none on Linux."""
    try:
        lines = pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
