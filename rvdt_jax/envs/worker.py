"""The other end of ``ProcessVectorEnv``: a process that steps some of the copies, one after the other.

It is a program of its own and talks over one inherited socket: requests ``(method of Copies, *arguments)``, replies the
result or an exception. It ends when the parent closes its end for writing, and at once, whatever it is doing, when the
parent is gone. Messages are pickled: only the parent that started it can write to the socket.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import select
import signal
import threading
import traceback
from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection

import numpy as np
from gymnasium.envs.registration import registry

from rvdt_jax.envs.adapters import FlatEnv, make_env
from rvdt_jax.errors import UserError, one_line
from rvdt_jax.tasks import Environment

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def main(handle: int) -> None:
    """Serves requests on that file descriptor of a connected socket until the parent hangs up."""
    os.set_inheritable(handle, False)  # a program that an environment starts must not keep it open
    _ignore_stop_signals()
    threading.Thread(target=_end_with_parent, args=(handle,), daemon=True).start()
    hung_up = contextlib.suppress(EOFError, OSError)
    with Connection(handle) as connection, contextlib.closing(Copies()) as copies, hung_up:
        while True:
            name, *arguments = connection.recv()
            connection.send(_reply(copies, name, arguments))


def _reply(copies: Copies, name: str, arguments: list) -> object:
    try:
        return getattr(copies, name)(*arguments)
    except UserError as error:
        return error
    except Exception:
        return RuntimeError(f"failed in {name}:\n{traceback.format_exc()}")


def _ignore_stop_signals() -> None:
    """Has this process alone ignore the signals that it was started with as blocked.

    What an environment starts inherits a blocked or an ignored signal, and ``terminate`` could not end it. A program
    does not inherit a handler; a fork does, and gives it up. Until it has, a signal to it waits.
    """
    masks = threading.local()

    def handle(handler) -> None:
        for each in STOP_SIGNALS:
            signal.signal(each, handler)

    def block() -> None:
        masks.before = signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)

    def restore() -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, masks.before)

    def restore_in_child() -> None:
        handle(signal.SIG_DFL)
        restore()

    handle(lambda number, frame: None)
    os.register_at_fork(before=block, after_in_parent=restore, after_in_child=restore_in_child)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)


def _end_with_parent(handle: int) -> None:
    """Waits for the other end to be closed altogether."""
    poll = select.poll()
    poll.register(handle, 0)  # POLLHUP is always reported
    poll.poll()
    os._exit(1)


class Copies:
    """The copies of this process; each method answers one request."""

    def __init__(self):
        self._copies: list[Copy] = []

    def make(self, environment: Environment, count: int, registration: bytes | None) -> tuple[int, int, int]:
        """Makes ``count`` copies; returns observation size, action size and horizon.

        ``registration`` is the pickled EnvSpec that the parent has for the id, if it has one.
        """
        if registration is not None:
            # What lives in the parent's __main__ cannot be found here; make_env says what to do about it.
            with contextlib.suppress(Exception):
                spec = pickle.loads(registration)
                registry.setdefault(spec.id, spec)
        for _ in range(count):
            self._copies.append(Copy(lambda: make_env(environment)))
        env = self._copies[0].env
        return env.observation_space.shape[0], env.action_space.shape[0], env.horizon

    def reset(self, seeds: list[int]) -> np.ndarray:
        """(count, S) float32 first observations."""
        return np.stack([copy.reset(seed) for copy, seed in zip(self._copies, seeds, strict=True)])

    def step(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Observations (count, S) float32, rewards float64, terminated and truncated bool after (count, A) actions."""
        rewards = [copy.step(action) for copy, action in zip(self._copies, actions, strict=True)]
        observations, *flags = zip(*[(c.observation, c.terminated, c.truncated) for c in self._copies], strict=True)
        return np.stack(observations), np.array(rewards, np.float64), *(np.array(flag, bool) for flag in flags)

    def outcomes(self) -> list[dict]:
        """What each copy has reported of its episode."""
        return [copy.report for copy in self._copies]

    def close(self) -> None:
        """Closes every environment."""
        for copy in self._copies:
            with contextlib.suppress(Exception):
                copy.env.close()


class Copy:
    """One environment and its episode so far; an ended episode stands still until the next reset.

    An environment that raises ends its episode, as failed; for the next one it is made anew.

    Attributes:
        observation: (S,) float32, the latest.
        terminated, truncated: whether and how the episode has ended.
        report: whether ``success`` or ``is_success`` was ever true, the latest ``episode_task_completions`` as
            ``tasks``, and what the environment raised as ``failed``; each only if there was any.
    """

    def __init__(self, make: Callable[[], FlatEnv]):
        self._make, self.env = make, make()
        self._begin()

    def reset(self, seed: int) -> np.ndarray:
        """Begins an episode; returns its first observation."""
        broken = "failed" in self.report
        self._begin()
        try:
            if broken:
                with contextlib.suppress(Exception):
                    self.env.close()
                self.env = self._make()
            self.observation, info = self.env.reset(seed=seed)
            self._note(info)
        except Exception as error:
            self.observation = np.zeros(self.env.observation_space.shape, np.float32)
            self._fail(error)
        return self.observation

    def step(self, action: np.ndarray) -> float:
        """Returns the reward: 0 after the end."""
        if self.terminated or self.truncated:
            return 0.0
        try:
            self.observation, reward, self.terminated, self.truncated, info = self.env.step(action)
            self._note(info)
            return reward
        except Exception as error:
            self._fail(error)
            return 0.0

    def _begin(self) -> None:
        self.observation, self.terminated, self.truncated = None, False, False
        self.report = {}

    def _fail(self, error: Exception) -> None:
        place = traceback.extract_tb(error.__traceback__)[-1]
        what = f"{type(error).__name__}: {error} ({place.filename}, line {place.lineno})"
        self.report["failed"], self.truncated = one_line(what), True

    def _note(self, info: Mapping) -> None:
        for name in ("success", "is_success"):
            if name in info:
                self.report["success"] = self.report.get("success", False) or bool(np.all(info[name]))
        if "episode_task_completions" in info:
            self.report["tasks"] = [str(task) for task in info["episode_task_completions"]]
