"""Whose unfinished files are: they carry their writer's name, so that those of the dead can be cleared away."""

from __future__ import annotations

import os
import platform


def owner() -> str:
    """This process, as part of a file's name."""
    return f"{os.getpid()}-{platform.node()}"


def has_died(name: str) -> bool:
    """Whether that was a process of this machine, and is no more; of other machines nothing is known."""
    process, _, host = name.partition("-")
    if not process.isdigit() or host != platform.node():
        return False
    try:
        os.kill(int(process), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False
