"""Where a run goes, and that nothing is ever written over."""

from __future__ import annotations

import os
import pathlib
import re

from rvdt_jax.config import Config
from rvdt_jax.config_json import run_differences
from rvdt_jax.report.records import read_json


def default_workdir(config: Config) -> pathlib.Path:
    """``runs/<task>/<variant>`` under the current folder; for data without a task, ``runs/<data set>/<variant>``."""
    file = config.data.path and pathlib.Path(config.data.path).stem
    name = re.sub(r"[^\w/.-]+", "_", config.task or file or config.data.minari_id or "data")
    parts = [part for part in name.split("/") if part.strip(".")]  # nothing that leads out of runs/
    return pathlib.Path("runs", *parts, config.variant.replace("%", "percent-"))


def check_workdir(folder: pathlib.Path, config: Config, resume: bool) -> None:
    """Refuses to write over anything, or to resume what is not there or was begun with other settings.

    Raises:
        ValueError: with the remedy.
    """
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{folder}: the work directory is a file. Choose another --workdir.")
    existing = next(parent for parent in (folder, *folder.absolute().parents) if parent.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
        raise ValueError(f"{folder}: cannot be made or written, because of {existing}. Choose another --workdir.")
    holds_run = (folder / "config.json").exists()
    if holds_run and not resume:
        raise ValueError(
            f"{folder}: already holds a run. Continue it with --resume, or choose another --workdir; nothing was "
            "touched."
        )
    if resume and not holds_run:
        raise ValueError(f"{folder}: holds no run to resume. Check --workdir, or start without --resume.")
    if holds_run:
        differing = run_differences(config, read_json(folder / "config.json"))
        if differing:
            raise ValueError(
                f"{folder}: holds a run with other settings ({'; '.join(differing)}). Resume it with its own settings, "
                "or choose another --workdir; nothing was touched."
            )
    elif folder.exists() and any(folder.iterdir()):
        raise ValueError(f"{folder}: is not empty and holds no run. Choose another --workdir; nothing was touched.")
