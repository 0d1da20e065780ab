"""Where a run goes, and that nothing is ever written over."""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import os
import pathlib
import platform
import re
import time
from collections.abc import Iterator

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
def lock_workdir(folder: pathlib.Path) -> Iterator[None]:
    """Keeps every other process out of an existing work directory for as long as the block runs.

    The operating system holds the lock, and gives it back however the process ends. Where a file system knows none, a
    warning says so.

    Raises:
        UserError: another process is in there; the message says which, where, and since when.
    """
    path = folder / LOCK
    while True:
        file = path.open("a+", encoding="utf-8")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise UserError(
                f"{folder}: {_owner(file.read())}. Wait for it, stop it, or choose another --workdir."
            ) from None
        except OSError as error:
            log.warning("%s: cannot be locked (%s); take care that no second process trains there", folder, error)
        if path.exists() and os.path.samestat(os.fstat(file.fileno()), path.stat()):
            break
        file.close()  # its owner left, and took it away, between our opening and locking it
    try:
        file.truncate(0)
        owner = {"pid": os.getpid(), "host": platform.node(), "since": time.time()}
        print(json.dumps(owner), file=file, flush=True)
        yield
    finally:
        path.unlink(missing_ok=True)
        file.close()


def _owner(text: str) -> str:
    try:
        owner = json.loads(text)
        minutes = (time.time() - owner["since"]) / 60
        age = f"{minutes:.0f} minutes" if minutes < 120 else f"{minutes / 60:.0f} hours"
        return f"process {owner['pid']} on {owner['host']} has been training there for {age}"
    except (ValueError, KeyError):  # it has just begun
        return "another process is training there"


def check_workdir(folder: pathlib.Path, config: Config, resume: bool) -> None:
    """Refuses to write over anything, or to resume what is not there or was begun with other settings.

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
        raise UserError(
            f"{folder}: already holds a run. Continue it with --resume, or choose another --workdir; nothing was "
            "touched."
        )
    if resume and not holds_run:
        raise UserError(f"{folder}: holds no run to resume. Check --workdir, or start without --resume.")
    if holds_run:
        differing = run_differences(config, read_json(folder / "config.json"))
        if differing:
            raise UserError(
                f"{folder}: holds a run with other settings ({'; '.join(differing)}). Resume it with its own settings, "
                "or choose another --workdir; nothing was touched."
            )
    elif folder.exists() and any(path.name != LOCK for path in folder.iterdir()):
        raise UserError(f"{folder}: is not empty and holds no run. Choose another --workdir; nothing was touched.")
