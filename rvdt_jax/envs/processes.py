"""Many copies of one environment, stepped in worker processes.

Each worker steps several copies. Gymnasium's ``AsyncVectorEnv`` has a process for each copy: 300 steps of 16 copies of
HalfCheetah-v4 on 2 cores, which other programs used too, took 1.5, 2.4 and 2.8 times as long there as here (2 workers;
three turns), and the start 15 s and 3 s.

Workers are programs of their own (``envs.worker``), not ``multiprocessing``'s children: forking a process that runs JAX
can hang, and spawning imports the user's script again, which would start an unguarded script anew.
"""

from __future__ import annotations

import contextlib
import dataclasses
import multiprocessing
import os
import pickle
import signal
import socket
import subprocess
import sys
import time
import weakref
from collections.abc import Iterator, Sequence
from multiprocessing.connection import Connection

import numpy as np
from gymnasium.envs.registration import registry

from rvdt_jax.envs.worker import STOP_SIGNALS
from rvdt_jax.errors import UserError
from rvdt_jax.tasks import Environment

_GRACE = 5.0  # seconds that workers get to close their environments
# A simulator's step is too small to be split over threads, and every core has a worker of its own.
_ONE_THREAD = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"), "1"
)


class WorkerDied(RuntimeError):
    """A worker process was killed, or ended by itself."""


@dataclasses.dataclass(frozen=True)
class Worker:
    """A worker process, this end of its socket, and which copies it holds."""

    process: subprocess.Popen
    connection: Connection
    copies: slice


class ProcessVectorEnv:
    """Copies of an environment; copy k behaves exactly as ``make_env(environment)`` after ``reset(seed=seeds[k])``.

    A copy whose episode has ended waits for the next reset: its last observation is repeated, its reward is 0 and its
    flags stay. After an error everything is closed.

    Args:
        environment: which; the workers know ids that this process has registered, unless they lead into ``__main__``.
        num_envs: how many copies.
        processes: worker processes, at most one per copy; 0: one per CPU core that this process may use.

    Attributes:
        num_envs, observation_size, action_size: sizes.
        horizon: steps after which an episode is cut.

    Raises:
        UserError: the environment cannot be made or adapted; see ``make_env``.
        WorkerDied: a worker did.
    """

    def __init__(self, environment: Environment, num_envs: int, processes: int = 0):
        self.num_envs, self._id = num_envs, environment.id
        self._workers: list[Worker] = []
        # Runs once: on close, when this object is garbage, or when the interpreter ends.
        self._finalizer = weakref.finalize(self, _shut_down, self._workers, os.getpid())
        count = min(processes or _cpu_count(), num_envs)
        ends = [num_envs * number // count for number in range(count + 1)]
        try:
            for copies in map(slice, ends[:-1], ends[1:]):
                self._workers.append(_start(copies, quiet=bool(self._workers)))
        except BaseException:
            self.close()
            raise
        registration = _registration(environment.id)
        counts = [worker.copies.stop - worker.copies.start for worker in self._workers]
        sizes = self._ask("make", [(environment, count, registration) for count in counts])
        self.observation_size, self.action_size, self.horizon = sizes[0]

    def reset(self, seeds: Sequence[int]) -> np.ndarray:
        """(num_envs, S) float32 first observations; one seed per copy.

        Raises:
            ValueError: another number of seeds.
            RuntimeError: an environment raised, or all is closed; so for the other methods.
            WorkerDied: a worker did (a RuntimeError too).
        """
        if len(seeds) != self.num_envs:
            raise ValueError(f"got {len(seeds)} seeds for {self.num_envs} environments.")
        seeds = [int(seed) for seed in seeds]
        return np.concatenate(self._ask("reset", [(seeds[worker.copies],) for worker in self._workers]))

    def step(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Steps every copy under (num_envs, A) actions in [-1, 1].

        Returns:
            Observations (num_envs, S) float32, rewards (num_envs,) float64, terminated and truncated (num_envs,) bool.

        Raises:
            ValueError: actions of another shape.
        """
        actions = np.asarray(actions, np.float32)
        if actions.shape != (self.num_envs, self.action_size):
            raise ValueError(f"actions have shape {actions.shape}; expected {(self.num_envs, self.action_size)}.")
        replies = self._ask("step", [(actions[worker.copies],) for worker in self._workers])
        observations, rewards, terminated, truncated = map(np.concatenate, zip(*replies, strict=True))
        return observations, rewards, terminated, truncated

    def outcomes(self) -> dict[str, list]:
        """What the environments have reported of their episodes since the reset, one value per copy.

        Returns:
            ``success``: whether it was ever true, initial state included; ``tasks``: names of the tasks completed, the
            latest report; ``failed``: what the environment raised, which ended the episode. Each is there if any copy
            has reported it; the others then count as False, [] and None.
        """
        reports = [report for reply in self._ask("outcomes", [() for _ in self._workers]) for report in reply]
        blank = {"success": False, "tasks": [], "failed": None}
        known = [name for name in blank if any(name in report for report in reports)]
        return {name: [report.get(name, blank[name]) for report in reports] for name in known}

    def close(self) -> None:
        """Ends the workers. Calling it again does nothing."""
        self._finalizer()

    def _ask(self, request: str, arguments: list[tuple]) -> list:
        """Every worker's answer to the request with its own arguments."""
        if not self._finalizer.alive:
            raise RuntimeError(f"{self._id}: these environments are closed.")
        try:
            for number, each in enumerate(arguments):
                with self._watching(number):
                    # Connection.send, which leaves a buffer in the traceback of a failure, crashes the garbage
                    # collection of Python 3.12.0 and 3.12.1 then (CPython issue 111049).
                    self._workers[number].connection.send_bytes(pickle.dumps((request, *each)))
            return [self._answer(number) for number in range(len(self._workers))]
        except BaseException:  # answers may be outstanding, which the next request would take for its own
            self.close()
            raise

    def _answer(self, number: int) -> object:
        with self._watching(number):
            answer = self._workers[number].connection.recv()
        if isinstance(answer, UserError):
            raise answer
        if isinstance(answer, Exception):
            raise RuntimeError(f"{self._id}: {self._name(number)} {answer}")
        return answer

    def _name(self, number: int) -> str:
        return f"worker {number + 1} of {len(self._workers)} (process {self._workers[number].process.pid})"

    @contextlib.contextmanager
    def _watching(self, number: int) -> Iterator[None]:
        """Turns a broken connection into ``WorkerDied``."""
        try:
            yield
        except (EOFError, OSError) as error:
            raise WorkerDied(f"{self._id}: {self._name(number)} {_death(self._workers[number].process)}") from error


def _cpu_count() -> int:
    """CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _registration(env_id: str) -> bytes | None:
    """The pickled EnvSpec of what this process has registered under that id, if it can be pickled."""
    try:
        return pickle.dumps(registry[env_id.rpartition(":")[2]])
    except Exception:  # pickle raises whatever it stumbles over
        return None


def _start(copies: slice, quiet: bool) -> Worker:
    """Starts a worker with this process's ``sys.path``; a quiet one gives no warnings."""
    ours, theirs = multiprocessing.Pipe()
    path = [entry for entry in sys.path if isinstance(entry, str)]
    code = f"import sys; sys.path[:] = {path}; from rvdt_jax.envs.worker import main; main({theirs.fileno()})"
    # Ctrl-C goes to every process of the terminal, and a cluster's SIGTERM to every process of a job. Only this process
    # answers: a worker inherits that they are blocked, and later ignores them.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    try:
        with theirs:
            process = subprocess.Popen(
                [sys.executable, *(("-W", "ignore") if quiet else ()), "-c", code],
                stdin=subprocess.DEVNULL,
                env=os.environ | _ONE_THREAD,
                pass_fds=[theirs.fileno()],
            )
        return Worker(process, ours, copies)
    except BaseException:
        ours.close()
        raise
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _death(process: subprocess.Popen) -> str:
    """How a process ended whose connection is broken."""
    try:
        code = process.wait(_GRACE)
    except subprocess.TimeoutExpired:
        return "broke the connection."
    if code == -signal.SIGKILL:
        return "was killed (SIGKILL), as happens where memory runs out: lower config.eval.parallel_episodes."
    if code < 0:
        return f"was killed by {signal.Signals(-code).name}."
    return f"ended with exit code {code}; its own message, if any, is above."


def _shut_down(workers: list[Worker], owner: int) -> None:
    """Asks workers to close their environments, waits, and kills those that do not end."""
    if os.getpid() != owner:  # this is a fork of the process that started them
        return
    try:
        for worker in workers:
            with contextlib.suppress(OSError), socket.socket(fileno=os.dup(worker.connection.fileno())) as half:
                half.shutdown(socket.SHUT_WR)  # unlike a message it never waits for a worker to read
        deadline = time.monotonic() + _GRACE
        for worker in workers:
            with contextlib.suppress(subprocess.TimeoutExpired):
                worker.process.wait(max(0.0, deadline - time.monotonic()))
    finally:
        for worker in workers:
            worker.process.kill()  # does nothing to one that has ended
            worker.process.wait()
            worker.connection.close()
        workers.clear()
