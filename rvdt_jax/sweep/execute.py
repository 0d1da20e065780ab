"""Runs the cells of a sweep, some at a time. What is done is skipped, what was cut short goes on.

Beside the folder of a cell lie

    <cell>.log          what its run said
    <cell>.command      what repeats it
    <cell>.lock         which its process holds as long as it lives, so that no second one starts there, not even after
                        the sweep itself was killed
    <cell>.failed.json  if it ended with an error: such a cell is reported, and run again only on demand
"""

from __future__ import annotations

import dataclasses
import enum
import fcntl
import json
import logging
import os
import pathlib
import signal
import subprocess
import sys
import time

from rvdt_jax.errors import UserError
from rvdt_jax.report.cells import COMMAND_SUFFIX, FAILED_SUFFIX
from rvdt_jax.report.records import read_json
from rvdt_jax.sweep.grid import Cell, as_text

log = logging.getLogger(__name__)
_POLL_SECONDS = 0.2
# What run.py ends with when it is asked to stop: with a checkpoint, or before it had anything to save.
_INTERRUPTED = (128 + signal.SIGINT, 128 + signal.SIGTERM, -signal.SIGINT, -signal.SIGTERM)


class State(enum.Enum):
    """How far a cell is."""

    DONE = "done"
    FAILED = "failed"
    RUNNING = "running elsewhere"
    STARTED = "interrupted"
    NEW = "not begun"


@dataclasses.dataclass(frozen=True)
class Job:
    """One cell with its run directory and the flags of ``run.py`` that train it."""

    cell: Cell
    workdir: pathlib.Path
    flags: tuple[str, ...]

    @property
    def command(self) -> str:
        """What trains it, as typed."""
        return as_text(["python", "experiments/run.py", *self.flags])

    def beside(self, suffix: str) -> pathlib.Path:
        """A file of the sweep's own beside the run directory, which is the run's alone."""
        return self.workdir.with_name(self.workdir.name + suffix)

    def state(self) -> State:
        """How far it is, by what lies there."""
        if (self.workdir / "results.json").exists():
            return State.DONE
        lock = self.lock()
        if lock is None:
            return State.RUNNING
        os.close(lock)
        if self.beside(FAILED_SUFFIX).exists():
            return State.FAILED
        return State.STARTED if (self.workdir / "config.json").exists() else State.NEW

    def lock(self) -> int | None:
        """A file descriptor that holds the cell's lock; None if another process holds it."""
        path = self.beside(".lock")
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_CREAT | os.O_RDWR, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        return descriptor


@dataclasses.dataclass
class _Running:
    job: Job
    process: subprocess.Popen
    begun: float


class Sweep:
    """Runs jobs, ``at_once`` at a time, each on its share of the cores.

    Args:
        launcher: ``run.py``.
        jobs: in the order in which they start.
        at_once: how many run at a time.
        retry: run those that failed earlier again.
    """

    def __init__(self, launcher: pathlib.Path, jobs: list[Job], *, at_once: int = 1, retry: bool = False):
        self._launcher, self._jobs, self._at_once, self._retry = launcher, jobs, at_once, retry
        self._running: dict[int, _Running] = {}  # by slot, a share of the cores
        self.signal: int | None = None

    def run(self) -> dict[Cell, State]:
        """Runs until all is done or a signal comes, which every run is told and which it ends with a checkpoint.

        Raises:
            UserError: a cell was begun by another command; nothing was started.
        """
        self._check_commands()
        waiting = [job for job in self._jobs if self._is_due(job)]
        for job in self._jobs:
            log.info("%s: %s", job.cell.name, "to do" if job in waiting else job.state().value)
        previous = {number: signal.signal(number, self._stop) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            while self._running or (waiting and self.signal is None):
                while waiting and self.signal is None and len(self._running) < self._at_once:
                    self._start(waiting.pop(0))
                time.sleep(_POLL_SECONDS)
                self._reap()
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)
        return {job.cell: job.state() for job in self._jobs}

    def _check_commands(self) -> None:
        for job in self._jobs:
            path = job.beside(COMMAND_SUFFIX)
            earlier = path.read_text(encoding="utf-8").strip() if path.exists() else job.command
            if (job.workdir / "config.json").exists() and earlier != job.command:
                raise UserError(
                    f"{job.workdir}: was begun by another command ({earlier}). Choose another --out, or delete it."
                )

    def _is_due(self, job: Job) -> bool:
        state = job.state()
        return state in (State.NEW, State.STARTED) or (state is State.FAILED and self._retry)

    def _start(self, job: Job) -> None:
        lock = job.lock()
        if lock is None or (job.workdir / "results.json").exists():  # meanwhile another sweep has taken it
            if lock is not None:
                os.close(lock)
            return
        job.beside(FAILED_SUFFIX).unlink(missing_ok=True)
        job.beside(COMMAND_SUFFIX).write_text(job.command + "\n", encoding="utf-8")
        resumed = ["--resume"] if (job.workdir / "config.json").exists() else []
        slot = next(slot for slot in range(self._at_once) if slot not in self._running)
        with job.beside(".log").open("a", encoding="utf-8") as said:
            process = subprocess.Popen(
                [sys.executable, str(self._launcher), *job.flags, *resumed],
                stdout=said,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                env=_environment(self._at_once),
                pass_fds=(lock,),  # the run holds the lock for as long as it lives
                start_new_session=True,  # Ctrl-C reaches it through this sweep alone, once
                preexec_fn=_on_cores(slot, self._at_once),
            )
        os.close(lock)
        self._running[slot] = _Running(job, process, time.monotonic())
        if self.signal is not None:  # it came while the process was made, and has not reached it
            process.send_signal(signal.SIGTERM)
        log.info("%s: %s", job.cell.name, "goes on" if resumed else "starts")

    def _reap(self) -> None:
        for slot, running in list(self._running.items()):
            status = running.process.poll()
            if status is None:
                continue
            del self._running[slot]
            job, minutes = running.job, (time.monotonic() - running.begun) / 60
            if status == 0:
                log.info("%s: done in %.1f minutes", job.cell.name, minutes)
            elif status in _INTERRUPTED:
                log.info("%s: interrupted", job.cell.name)
            else:
                self._fail(job, status)

    def _fail(self, job: Job, status: int) -> None:
        cell, said = job.cell, job.beside(".log")
        record = {"task": cell.task, "variant": cell.variant, "regime": cell.regime, "status": status}
        record |= {"command": job.command, "end_of_log": said.read_text(encoding="utf-8")[-2000:]}
        job.beside(FAILED_SUFFIX).write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
        log.warning("%s: failed with status %d: %s", cell.name, status, last_line(record["end_of_log"]))

    def _stop(self, number: int, _frame) -> None:
        if self.signal is not None:
            return  # a second signal would kill the runs before they have saved anything
        self.signal = number
        for running in self._running.values():
            running.process.send_signal(signal.SIGTERM)
        log.warning("stopping as soon as every run has saved a checkpoint; the same command goes on")


def last_line(text: str) -> str:
    """The last line that says something."""
    lines = [line.strip() for line in text.replace("\r", "\n").split("\n") if line.strip()]
    return lines[-1] if lines else "it said nothing"


def failure_of(job: Job) -> str:
    """Why a job failed, in one line."""
    return last_line(read_json(job.beside(FAILED_SUFFIX))["end_of_log"])


def _environment(at_once: int) -> dict[str, str]:
    """Of a run: no progress bars in its log, and a share of the accelerator's memory."""
    shared = {"XLA_PYTHON_CLIENT_MEM_FRACTION": f"{0.9 / at_once:.3f}"} if at_once > 1 else {}
    return {"TQDM_DISABLE": "1", **shared, **os.environ}


def _on_cores(slot: int, at_once: int):
    """Keeps a run to its share of the cores, where the system can and there are enough: else they get in each other's
    way."""
    if at_once == 1 or not hasattr(os, "sched_setaffinity"):
        return None
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < at_once:
        return None
    share = cores[slot::at_once]
    return lambda: os.sched_setaffinity(0, share)
