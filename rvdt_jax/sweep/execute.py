"""Runs the cells of a sweep, several at a time. Finished cells are skipped, interrupted ones are resumed.

Files beside the folder of a cell:

    <cell>.log          the output of its run
    <cell>.command      the command that repeats it
    <cell>.lock         held by the run's process as long as it lives, so that no second run starts there, even if the
                        sweep itself was killed
    <cell>.failed.json  written if the run ended with an error; such a cell is reported, and run again only on demand
"""

from __future__ import annotations

import dataclasses
import enum
import fcntl
import logging
import os
import pathlib
import shlex
import signal
import subprocess
import sys
import time

from rvdt_jax.errors import UserError
from rvdt_jax.report.cells import COMMAND_SUFFIX, FAILED_SUFFIX
from rvdt_jax.report.records import read_json, write_json
from rvdt_jax.report.results import check_scored
from rvdt_jax.sweep.grid import Cell

log = logging.getLogger(__name__)
_POLL_SECONDS = 0.2
# The exit statuses of run.py after a signal: with a checkpoint saved, or before it had anything to save.
_INTERRUPTED = (128 + signal.SIGINT, 128 + signal.SIGTERM, -signal.SIGINT, -signal.SIGTERM)


class State(enum.Enum):
    """The state of a cell."""

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
        """The command that trains it, as typed."""
        return shlex.join(["python", "experiments/run.py", *self.flags])

    def beside(self, suffix: str) -> pathlib.Path:
        """A file of the sweep beside the run directory, which belongs to the run."""
        return self.workdir.with_name(self.workdir.name + suffix)

    def state(self) -> State:
        """The state, from the files that exist."""
        if (self.workdir / "results.json").exists():
            return State.DONE if self._is_scored() else State.FAILED
        lock = self.lock()
        if lock is None:
            return State.RUNNING
        os.close(lock)
        if self.beside(FAILED_SUFFIX).exists():
            return State.FAILED
        return State.STARTED if (self.workdir / "config.json").exists() else State.NEW

    def _is_scored(self) -> bool:
        """Whether some episode of the final evaluation did not fail, or nothing was to be scored."""
        results = read_json(self.workdir / "results.json")
        try:
            check_scored(results, self.workdir)
        except UserError:
            return False
        return True

    def lock(self) -> int | None:
        """A file descriptor that holds the cell's lock; None if another process holds it.

        A plain ``flock``, since the run's process inherits the descriptor and with it the lock.
        """
        path = self.beside(".lock")
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_CREAT | os.O_RDWR, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        return descriptor


class Sweep:
    """Runs jobs in order, ``at_once`` at a time, each on its share of the cores; failed ones again on ``retry``."""

    def __init__(self, launcher: pathlib.Path, jobs: list[Job], *, at_once: int = 1, retry: bool = False):
        self._launcher, self._jobs, self._at_once, self._retry = launcher, jobs, at_once, retry
        self._running: dict[int, tuple[Job, subprocess.Popen, float]] = {}  # by slot: a share of the cores
        self.signal: int | None = None

    def run(self) -> dict[Cell, State]:
        """Runs until all is done or a signal arrives; then every run saves a checkpoint and ends.

        Raises:
            UserError: a cell was started by another command; nothing is run.
        """
        self.check_commands()
        due, waiting = {State.NEW, State.STARTED, *([State.FAILED] if self._retry else [])}, []
        for job in self._jobs:
            state = job.state()
            waiting += [job] if state in due else []
            log.info("%s: %s", job.cell.name, "to do" if state in due else state.value)
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

    def check_commands(self) -> None:
        """Raises a UserError if a cell was started by another command."""
        for job in self._jobs:
            path = job.beside(COMMAND_SUFFIX)
            earlier = path.read_text(encoding="utf-8").strip() if path.exists() else job.command
            if (job.workdir / "config.json").exists() and earlier != job.command:
                raise UserError(
                    f"{job.workdir}: was started by another command ({earlier}). Choose another --out, or delete it."
                )

    def _start(self, job: Job) -> None:
        lock = job.lock()
        if lock is None or (job.workdir / "results.json").exists():  # another sweep has taken it since
            if lock is not None:
                os.close(lock)
            return
        job.beside(FAILED_SUFFIX).unlink(missing_ok=True)
        job.beside(COMMAND_SUFFIX).write_text(job.command + "\n", encoding="utf-8")
        resumed = ["--resume"] if (job.workdir / "config.json").exists() else []
        slot = next(slot for slot in range(self._at_once) if slot not in self._running)
        with job.beside(".log").open("a", encoding="utf-8") as log_file:
            process = subprocess.Popen(
                [sys.executable, str(self._launcher), *job.flags, *resumed],
                stdout=log_file,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                env=_environment(self._at_once),
                pass_fds=(lock,),  # the run inherits the lock
                start_new_session=True,  # so that Ctrl-C reaches it only through this sweep, once
                preexec_fn=_on_cores(slot, self._at_once),
            )
        os.close(lock)
        self._running[slot] = job, process, time.monotonic()
        if self.signal is not None:  # it arrived while the process was being started
            process.send_signal(signal.SIGTERM)
        log.info("%s: %s", job.cell.name, "resumes" if resumed else "starts")

    def _reap(self) -> None:
        for slot, (job, process, begun) in list(self._running.items()):
            status = process.poll()
            if status is None:
                continue
            del self._running[slot]
            if status == 0:
                log.info("%s: done in %.1f minutes", job.cell.name, (time.monotonic() - begun) / 60)
            elif status in _INTERRUPTED:
                log.info("%s: interrupted", job.cell.name)
            else:
                self._fail(job, status)

    def _fail(self, job: Job, status: int) -> None:
        cell, output = job.cell, job.beside(".log").read_text(encoding="utf-8")
        record = {"task": cell.task, "variant": cell.variant, "regime": cell.regime, "status": status}
        write_json(job.beside(FAILED_SUFFIX), record | {"command": job.command, "end_of_log": output[-2000:]})
        log.warning("%s: failed with status %d: %s", cell.name, status, failure_of(job))

    def _stop(self, number: int, _frame) -> None:
        if self.signal is not None:
            return  # a second signal would kill the runs before they have saved anything
        self.signal = number
        for _, process, _ in self._running.values():
            process.send_signal(signal.SIGTERM)
        log.warning("stopping when every run has saved a checkpoint; run the same command to resume")


def failure_of(job: Job) -> str:
    """The last line of a failed job's output that is not blank."""
    if not job.beside(FAILED_SUFFIX).exists():  # it was run by other means than a sweep
        return f"every episode of the evaluation failed; {job.workdir / 'results.json'} has the reasons"
    lines = read_json(job.beside(FAILED_SUFFIX))["end_of_log"].splitlines()
    return next((line.strip() for line in reversed(lines) if line.strip()), "no output")


def _environment(at_once: int) -> dict[str, str]:
    """The environment variables of a run: no progress bars, and a share of the accelerator's memory."""
    shared = {"XLA_PYTHON_CLIENT_MEM_FRACTION": f"{0.9 / at_once:.3f}"} if at_once > 1 else {}
    return {"TQDM_DISABLE": "1", **shared, **os.environ}


def _on_cores(slot: int, at_once: int):
    """A function that binds a process to its share of the cores; None if that is impossible or there are too few."""
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_setaffinity") else []
    share = cores[slot::at_once]
    return (lambda: os.sched_setaffinity(0, share)) if 1 < at_once <= len(cores) else None
