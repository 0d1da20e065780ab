"""Names of unfinished files: they carry their writer's process, so that those of dead writers can be removed."""

from __future__ import annotations

import os
import platform


def owner() -> str:
    """This process and host, as part of a file's name."""
    return f"{os.getpid()}-{platform.node()}"


def has_died(name: str) -> bool:
    """Whether an ``owner`` was a process of this host that has ended; False for processes of other hosts."""
    process, _, host = name.partition("-")
    if not process.isdigit() or host != platform.node():
        return False
    try:
        os.kill(int(process), 0)
    except ProcessLookupError:
        return True
    except PermissionError:  # it is another user's
        pass
    return False
