"""The versions of what a result rests on."""

from __future__ import annotations

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
