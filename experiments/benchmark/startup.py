"""From starting ``experiments/run.py`` to its first update, in processes of their own; and what memory they took."""

from __future__ import annotations

import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time

from rvdt_jax.data.cache import write_cache
from rvdt_jax.data.episodes import Episodes

LAUNCHER = pathlib.Path(__file__).resolve().parents[2] / "experiments" / "run.py"
_POLL_SECONDS = 0.02


def measure_startup(flags: list[str], episodes: Episodes, *, compilation_cache: bool) -> dict:
    """Starts training twice, the second time with whatever the first has left on the disk.

    Args:
        flags: of ``run.py`` besides data, work directory and length.
        episodes: the data, read from a flat cache.
        compilation_cache: keep what is compiled, as the launcher does by itself; else have JAX keep nothing.

    Returns:
        ``first`` and ``second``, each with ``seconds_to_first_update`` and ``peak_rss_bytes``.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        write_cache(folder / "data.npz", episodes, {"dataset_id": "benchmark/synthetic"})
        settings = {"data.source": "file", "data.path": folder / "data.npz", "env": "none"}
        settings |= {"train.steps": 1, "train.log_every": 1, "eval.every": 1}
        command = [
            sys.executable,
            str(LAUNCHER),
            *flags,
            *(f"--config.{key}={value}" for key, value in settings.items()),
        ]
        environment = {key: value for key, value in os.environ.items() if "COMPILATION_CACHE" not in key}
        # Nothing of an earlier start; and beside a process that holds a device, take memory as it is needed.
        environment |= {"RVDT_JAX_CACHE": str(folder / "cache"), "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
        if not compilation_cache:
            environment["JAX_ENABLE_COMPILATION_CACHE"] = "false"
        return {start: _start(command, environment, folder / start) for start in ("first", "second")}


def _start(command: list[str], environment: dict[str, str], workdir: pathlib.Path) -> dict:
    """Runs the command to its end, watching for its first line of metrics.

    Raises:
        RuntimeError: it failed; the message ends with the end of what it said.
    """
    log = workdir.with_suffix(".log")
    with log.open("w", encoding="utf-8") as file:
        begun = time.perf_counter()
        process = subprocess.Popen([*command, f"--workdir={workdir}"], env=environment, stdout=file, stderr=file)
        seconds, status, memory = None, None, None
        while status is None:
            if seconds is None and _has_a_line(workdir / "metrics.jsonl"):
                seconds = time.perf_counter() - begun
            memory = _peak_memory(process.pid) or memory
            status = process.poll()
            time.sleep(_POLL_SECONDS)
    if status or not _has_a_line(workdir / "metrics.jsonl"):
        raise RuntimeError(f"run.py ended with status {status}: {log.read_text(encoding='utf-8')[-500:]}")
    seconds = time.perf_counter() - begun if seconds is None else seconds
    return {"seconds_to_first_update": round(seconds, 2), "peak_rss_bytes": memory}


def _peak_memory(pid: int) -> int | None:
    """The most bytes that a living process has held in memory; None where the system does not tell.

    Not ``ru_maxrss``: on Linux a child begins with the high-water mark of the process that started it.
    """
    try:
        status = pathlib.Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    except OSError:
        return None
    found = re.search(r"^VmHWM:\s+(\d+) kB$", status, re.MULTILINE)  # missing once it has ended
    return int(found[1]) * 1024 if found else None


def _has_a_line(path: pathlib.Path) -> bool:
    try:
        return b"\n" in path.read_bytes()
    except OSError:
        return False
