"""Several processes that train one run: what process 0 does for all, what they agree on, how they stop together.

Small messages go through the key-value store of ``jax.distributed``: there a wait may last as long as process 0 takes,
and signals are heard meanwhile; a collective is deaf and may time out. Whatever ends one process ends all: a thread in
each of them looks once a second whether another has failed, was signalled, or has fallen silent.
"""

from __future__ import annotations

import _thread
import contextlib
import itertools
import json
import os
import re
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

import jax
import numpy as np

from rvdt_jax.errors import UserError, differences
from rvdt_jax.runs.signals import Interruption

T = TypeVar("T")

SILENCE_SECONDS = 20.0  # a process that gave no sign of life for so long counts as dead
_GRACE_SECONDS = 10.0  # what a main thread that hangs in a collective gets to notice that the run has failed
_POLL_SECONDS = 1.0
_runs = itertools.count()  # the same in every process, so that the messages of two runs of one program stay apart


class ProcessFailed(RuntimeError):
    """Another process of the run has failed.

    Attributes:
        dead: it is gone without a word, so that nobody should wait for it when leaving.
    """

    def __init__(self, message: str, dead: bool = False):
        super().__init__(message)
        self.dead = dead


class Group:
    """The processes of a run, as a context manager around it; a process that is alone does without any of this.

    Every process must call the same methods in the same order. An exception in one process ends the ``with`` of all:
    a user's error (UserError, OSError) as the same UserError, any other as ``ProcessFailed``.

    Attributes:
        index: which process this is; process 0 leads.
        count: how many there are.
    """

    def __init__(self):
        several = jax.distributed.is_initialized() and jax.process_count() > 1
        self.index, self.count = (jax.process_index(), jax.process_count()) if several else (0, 1)
        self._client = _store() if several else None
        self._place, self._messages = f"rvdt_jax/{next(_runs)}", itertools.count()
        self._interruption: Interruption | None = None
        self._failure: dict | None = None  # of another process
        self._raised: Exception | None = None  # what it became here
        self._noticed, self._left = threading.Event(), threading.Event()
        self._watch = threading.Thread(target=self._keep_watch, daemon=True)

    @property
    def leads(self) -> bool:
        """Whether this is process 0, which alone writes."""
        return self.index == 0

    def __enter__(self) -> Group:
        if self.count > 1:
            self._watch.start()
        return self

    def __exit__(self, kind, error: BaseException | None, trace) -> None:
        if self.count == 1:
            return
        try:
            if error is None:
                self._tell(self._next(), [None])  # process 0 may still have been writing
            else:
                self._explain(error)
        finally:
            self._left.set()

    @contextlib.contextmanager
    def explained(self) -> Iterator[None]:
        """Inside, an exception reaches the other processes at once, before files are closed here."""
        try:
            yield
        except Exception as error:
            if self.count > 1:
                self._explain(error)
            raise

    def lead(self, work: Callable[[], T]) -> T:
        """Process 0 does the work, however long; every process returns its value, which JSON must be able to hold."""
        if self.count == 1:
            return work()
        return self._tell(self._next(), [work()] if self.leads else None)

    def in_turn(self, work: Callable[[], T]) -> T:
        """Process 0 does the work, then all the others: what it leaves on a shared disk they find."""
        if self.leads:
            value = work()
            self.lead(lambda: None)
            return value
        self.lead(lambda: None)
        return work()

    def agree(self, values: dict) -> None:
        """Refuses to go on unless the values, a tree of dicts that JSON can hold, are the same in all processes.

        Raises:
            UserError: naming the first process that differs, and in what.
        """
        if self.count == 1:
            return
        key, own = self._next(), json.loads(json.dumps(values))
        self._client.key_value_set(f"{key}/{self.index}", json.dumps(own))

        def compare() -> None:
            for index in range(1, self.count):
                differing = differences(json.loads(self._wait(f"{key}/{index}")), own)
                if differing:
                    raise UserError(
                        f"process {index} differs from process 0: {'; '.join(differing)}. Start all processes with the "
                        "same settings, data and packages; runs of their own need --nodistributed."
                    )

        self.lead(compare)

    def heed(self, interruption: Interruption) -> None:
        """Lets a signal that another process receives interrupt process 0 as its own would."""
        self._interruption = interruption

    def any_signal(self) -> int | None:
        """The number of a signal that any process has received; the same in all. A collective."""
        own = self._interruption.signal or 0
        if self.count > 1:
            from jax.experimental import multihost_utils

            own = int(np.max(multihost_utils.process_allgather(np.int32(own))))
        return own or None

    def _next(self) -> str:
        return f"{self._place}/{next(self._messages)}"

    def _tell(self, key: str, value: list | None) -> object:
        """Process 0's ``[value]``, in every process."""
        if self.leads:
            self._client.key_value_set(key, json.dumps(value))
            return value[0]
        return json.loads(self._wait(key))[0]

    def _wait(self, key: str) -> str:
        """The message under that key, as soon as it is there."""
        while True:
            if self._failure is not None:
                self._noticed.set()
                raise self._shared()
            try:
                return self._client.blocking_key_value_get(key, int(1000 * _POLL_SECONDS))
            except jax.errors.JaxRuntimeError as error:
                if "DEADLINE_EXCEEDED" not in str(error):
                    raise

    def _explain(self, error: BaseException) -> None:
        """Tells the others why this process stops; raises the cause in place of what only follows from it."""
        self._noticed.set()
        if isinstance(error, ProcessFailed) or error is self._raised:
            return
        if _is_broken_connection(error):
            # If the other process failed in order, it has said so before it closed its connections.
            time.sleep(2 * _POLL_SECONDS)
            if self._failure is None:
                words = f"another process of the run has died ({_first_line(error)}); its own output may say why."
                self._failure = {"kind": "dead", "message": words}
                self._publish(self._failure)
            raise self._shared() from error
        if isinstance(error, UserError | OSError):
            prefix = "" if self.leads else f"process {self.index}: "
            self._publish({"kind": "user", "message": f"{prefix}{error}"})
        else:
            words = f"process {self.index} failed: {type(error).__name__}: {_first_line(error)}"
            self._publish({"kind": "failed", "message": words})

    def _shared(self) -> Exception:
        """The failure of another process, as an exception of this one."""
        words, kind = self._failure["message"], self._failure["kind"]
        self._raised = UserError(words) if kind == "user" else ProcessFailed(words, dead=kind == "dead")
        return self._raised

    def _publish(self, failure: dict) -> None:
        # Only the first counts; and without its service there is nobody to be told.
        with contextlib.suppress(jax.errors.JaxRuntimeError):
            self._client.key_value_set(f"{self._place}/failure/first", json.dumps(failure))

    def _keep_watch(self) -> None:
        beats, last = itertools.count(), {}  # process -> (what it said last, when that was new)
        told = relayed = False
        while not self._left.wait(_POLL_SECONDS):
            try:
                self._client.key_value_set(f"{self._place}/alive/{self.index}", str(next(beats)), allow_overwrite=True)
                signal = self._interruption and self._interruption.signal
                if signal and not told:
                    self._client.key_value_set(f"{self._place}/signal/{self.index}", str(signal))
                    told = True
                failures = self._client.key_value_dir_get(f"{self._place}/failure/")
                if self.leads:
                    relayed = relayed or self._relay_signal()
                    self._notice_silence(last)
            except jax.errors.JaxRuntimeError:
                return  # process 0 is gone; JAX ends this one
            if failures:
                self._failure = json.loads(failures[0][1])
                break
        if not self._noticed.wait(_GRACE_SECONDS) and not self._left.is_set():
            self._end_at_once()

    def _relay_signal(self) -> bool:
        heard = self._client.key_value_dir_get(f"{self._place}/signal/")
        if not heard or self._interruption is None:
            return False
        if self._interruption.signal is None:
            _thread.interrupt_main(int(heard[0][1]))
        return True

    def _notice_silence(self, last: dict) -> None:
        """Publishes the death of a process that has not been heard of; ``last`` is kept from call to call."""
        now = time.monotonic()
        for name, beat in self._client.key_value_dir_get(f"{self._place}/alive/"):
            if last.get(name, (None,))[0] != beat:
                last[name] = beat, now
            elif now - last[name][1] > SILENCE_SECONDS:
                index = name.rsplit("/", 1)[-1]
                words = f"process {index} of the run has died: no sign of life for {SILENCE_SECONDS:g} s."
                self._publish({"kind": "dead", "message": words})

    def _end_at_once(self) -> None:
        """Ends a process whose main thread hangs in a collective that will never return."""
        print(f"error: {self._failure['message']}", file=sys.stderr, flush=True)
        if self._failure["kind"] != "dead":
            jax.distributed.shutdown()  # the others wait for it when they leave
        os._exit(2)


def _store():
    """The key-value store of ``jax.distributed``; JAX has no public name for it."""
    from jax._src import distributed

    return distributed.global_state.client


def _is_broken_connection(error: BaseException) -> bool:
    """Whether it came out of a collective that lost its peer.

    JAX has no type of its own for that, and raises ValueError or JaxRuntimeError; but the text begins with XLA's
    status, as no error of ours does.
    """
    words = r"[A-Z_]+: (?s:.*)(?i:gloo|nccl|connection (?:closed|reset|refused)|socket closed)"
    return re.match(words, str(error)) is not None


def _first_line(error: BaseException) -> str:
    return str(error).strip().split("\n")[0]
