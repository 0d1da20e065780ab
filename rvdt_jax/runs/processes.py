"""Several processes that train one run: what process 0 does for all, what they agree on, how they stop together.

Messages are collectives of ``multihost_utils``, so every process must call the same methods in the same order. An
exception inside one of these methods is raised in all processes. If a process ends elsewhere, JAX ends the others: see
``train.cluster``. On CPUs, XLA gives up a collective after half an hour; if process 0 evaluates for longer, set
``XLA_FLAGS=--xla_cpu_collective_timeout_seconds=N``.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from typing import TypeVar

import jax
import numpy as np
from jax.experimental import multihost_utils

from rvdt_jax.errors import UserError, differences

T = TypeVar("T")


class ProcessFailed(RuntimeError):
    """Another process of the run has failed."""


class Group:
    """The processes of a run, as a context manager around it. A process on its own does no communication.

    Attributes:
        index: which process this is; process 0 leads.
        count: how many there are.

    Raises:
        UserError: the processes have different numbers of devices.
    """

    def __init__(self):
        several = jax.distributed.is_initialized() and jax.process_count() > 1
        self.index, self.count = (jax.process_index(), jax.process_count()) if several else (0, 1)
        devices = Counter(device.process_index for device in jax.devices()) if several else {}
        if len(set(devices.values())) > 1:
            raise UserError(f"The processes have {list(devices.values())} devices. Give each the same number.")
        self._raised_in_all = False

    def __enter__(self) -> Group:
        return self

    def __exit__(self, kind, *exception) -> None:
        """Waits for process 0, which may still be writing; else JAX would end it when this process ends."""
        if self.count > 1 and (kind is None or self._raised_in_all):
            self._gather(None)

    @property
    def leads(self) -> bool:
        """Whether this is process 0, which alone writes."""
        return self.index == 0

    def attempt(self, work: Callable[[], T]) -> T:
        """Does the work in every process; returns this process's value, of any type.

        Raises:
            UserError: the work raised a UserError or an OSError in some process.
            ProcessFailed: it raised anything else in another process, or Ctrl-C interrupted it there.
        """
        if self.count == 1:
            return work()
        value = failure = None
        try:
            value = work()
        except (Exception, KeyboardInterrupt) as error:
            failure = error
        user = isinstance(failure, UserError | OSError)
        words = failure and (str(failure) if user else f"{type(failure).__name__}: {failure}".removesuffix(": "))
        failures = self._gather(failure and [user, words])
        self._raised_in_all = any(failures)
        if failure is not None:
            raise failure
        for index, other in enumerate(failures):
            if other and other[0]:
                raise UserError(other[1] if index == 0 else f"process {index}: {other[1]}")
            if other:
                raise ProcessFailed(f"process {index} failed: {other[1]}")
        return value

    def lead(self, work: Callable[[], T]) -> T:
        """Does the work in process 0; every process returns its value, which JSON must be able to hold.

        Raises:
            UserError, ProcessFailed: as ``attempt``.
        """
        value = self.attempt(work if self.leads else lambda: None)
        return value if self.count == 1 else self._gather(value)[0]

    def in_turn(self, work: Callable[[], T]) -> T:
        """Does the work in process 0, then in all others: they find what it leaves on a shared disk.

        Raises:
            UserError, ProcessFailed: as ``attempt``.
        """
        first = self.attempt(work if self.leads else lambda: None)
        other = self.attempt((lambda: None) if self.leads else work)
        return first if self.leads else other

    def agree(self, values: dict) -> None:
        """Refuses to go on unless the values, nested dicts that JSON can hold, are the same in all processes.

        Raises:
            UserError: naming the first process that differs, and in what.
        """
        if self.count == 1:
            return
        first, *others = self._gather(values)
        for index, other in enumerate(others, start=1):
            differing = differences(other, first)
            if differing:
                self._raised_in_all = True
                raise UserError(
                    f"process {index} differs from process 0: {'; '.join(differing)}. Start all processes with the "
                    "same settings, data and packages; runs of their own need --nodistributed."
                )

    def any_signal(self, signal: int | None, failure: Exception | None = None) -> int | None:
        """The number of a signal that any process has received, the same in all; None if there was none.

        Raises:
            UserError, ProcessFailed: as ``attempt``, for a ``failure`` of any process.
        """
        if self.count == 1:
            return signal
        state = np.array([signal or 0, failure is not None], np.int32)
        received, failed = multihost_utils.process_allgather(state).max(axis=0).tolist()
        if failed:
            self.attempt(lambda: _raise(failure))
        return received or None

    def _gather(self, value) -> list:
        """The JSON value of every process, in every process."""
        text = np.frombuffer(json.dumps(value).encode(), np.uint8)
        sizes = multihost_utils.process_allgather(np.int32(text.size))
        padded = np.zeros(1 << int(sizes.max()).bit_length(), np.uint8)  # few sizes, as each is compiled once
        padded[: text.size] = text
        rows = multihost_utils.process_allgather(padded)
        return [json.loads(row[:size].tobytes()) for row, size in zip(rows, sizes, strict=True)]


def _raise(failure: Exception | None) -> None:
    if failure is not None:
        raise failure
