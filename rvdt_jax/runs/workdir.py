"""The work directory of a run: its default name, its lock, and the refusal to overwrite anything."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import pathlib
import platform
import re
import time
from collections.abc import Iterator

from filelock import FileLock, Timeout

from rvdt_jax.algorithms.variants import folder_name
from rvdt_jax.config.serialization import run_differences
from rvdt_jax.config.settings import Config
from rvdt_jax.errors import UserError
from rvdt_jax.report.records import read_json

log = logging.getLogger(__name__)
LOCK = ".lock"


def default_workdir(config: Config) -> pathlib.Path:
    """``runs/<task>/<variant>`` under the current folder; for data without a task, ``runs/<data set>/<variant>``."""
    file = config.data.path and pathlib.Path(config.data.path).stem
    name = re.sub(r"[^\w/.-]+", "_", config.task or file or config.data.minari_id or "data")
    parts = [part for part in name.split("/") if part.strip(".")]  # nothing that leads out of runs/
    return pathlib.Path("runs", *parts, folder_name(config.variant))


@contextlib.contextmanager
def lock_workdir(folder: pathlib.Path, flag: str = "--workdir") -> Iterator[None]:
    """Locks an existing work directory. The operating system frees the lock however the process ends.

    Args:
        folder: the directory.
        flag: the flag that named it, for the error.

    Raises:
        UserError: another process holds it; the message says which, where, and since when.
    """
    path = folder / LOCK
    lock = FileLock(path)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        raise UserError(f"{folder}: {_owner(path)}. Wait for it, stop it, or choose another {flag}.") from None
    except OSError as error:  # the file system has no locks
        log.warning("%s: cannot be locked (%s); take care that no second process trains there", folder, error)
    try:
        path.write_text(json.dumps({"pid": os.getpid(), "host": platform.node(), "since": time.time()}))
        yield
    finally:
        path.unlink(missing_ok=True)
        lock.release()


def _owner(path: pathlib.Path) -> str:
    try:
        owner = json.loads(path.read_text())
        minutes = (time.time() - owner["since"]) / 60
        age = f"{minutes:.0f} minutes" if minutes < 120 else f"{minutes / 60:.0f} hours"
        return f"process {owner['pid']} on {owner['host']} has been training there for {age}"
    except (OSError, ValueError, KeyError):  # it has only just locked it, or left meanwhile
        return "another process is training there"


def check_workdir(folder: pathlib.Path, config: Config, resume: bool) -> None:
    """Refuses to overwrite anything, and to resume a run that does not exist or has other settings.

    Raises:
        UserError: with the remedy.
    """
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder}: the work directory is a file. Choose another --workdir.")
    existing = next(parent for parent in (folder, *folder.absolute().parents) if parent.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
        raise UserError(f"{folder}: cannot be made or written, because of {existing}. Choose another --workdir.")
    holds_run = (folder / "config.json").exists()
    if holds_run and not resume:
        raise UserError(f"{folder}: already holds a run. Continue it with --resume, or choose another --workdir.")
    if resume and not holds_run:
        raise UserError(f"{folder}: holds no run to resume. Check --workdir, or start without --resume.")
    if holds_run:
        if differing := run_differences(config, read_json(folder / "config.json")):
            raise UserError(
                f"{folder}: holds a run with other settings ({'; '.join(differing)}). Resume it with its own settings, "
                "or choose another --workdir; nothing was touched."
            )
    # A process killed in its first write has left part of config.json.
    elif folder.exists() and any(path.name != LOCK and ".partial" not in path.suffixes for path in folder.iterdir()):
        raise UserError(f"{folder}: is not empty and holds no run. Choose another --workdir; nothing was touched.")
