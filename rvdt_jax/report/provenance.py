"""Commit, package versions and hardware, recorded with results."""

from __future__ import annotations

import os
import pathlib
import platform
import subprocess
from importlib import metadata

_PACKAGES = ("rvdt-jax", "jax", "flax", "optax", "mujoco", "gymnasium", "gymnasium-robotics")


def source_commit() -> str | None:
    """The commit of the checkout that this package runs from, with + where files of it have changed since.

    None where it was installed without one: a repository around the environment is not the package's.
    """
    folder = pathlib.Path(__file__).resolve().parent

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(folder), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    try:
        git("ls-files", "--error-unmatch", pathlib.Path(__file__).name)
        return git("rev-parse", "--short=12", "HEAD") + ("+" if git("status", "--porcelain", "-uno") else "")
    except (OSError, subprocess.CalledProcessError):
        return None


def installed_versions() -> dict[str, str | None]:
    """Package -> version; None where it is not installed."""
    return {name: _version(name) for name in _PACKAGES}


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def describe_hardware(device_kind: str, devices: int = 1, processes: int = 1) -> str:
    """What a run was made on, such as ``1 x AMD EPYC (2 cores)``.

    ``device_kind`` is of every device, as JAX names it; ``devices`` is their number over all processes.
    """
    name, cores = device_name(device_kind), usable_cores()
    if device_kind == "cpu":
        name += f" ({cores} {'core' if cores == 1 else 'cores'})"
    return f"{devices} x {name}" if processes == 1 else f"{processes} processes x {devices // processes} x {name}"


def device_name(device_kind: str) -> str:
    """A device's name; JAX calls every processor "cpu"."""
    return processor() if device_kind == "cpu" else device_kind


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
