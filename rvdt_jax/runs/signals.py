"""SIGINT and SIGTERM as a polite request: finish the compiled call in flight, save, stop."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator


class Interrupted(BaseException):
    """Raised where stopping at once loses nothing, because a checkpoint has just been written.

    Like KeyboardInterrupt not an Exception, so that no library's ``except Exception`` swallows it.
    """


class Interruption:
    """A context manager that notes the first signal and lets a second one kill the process as usual.

    Attributes:
        signal: the number of the signal received, or None.
    """

    def __init__(self):
        self.signal: int | None = None
        self.immediate = False  # while True, the first signal raises ``Interrupted`` at once
        self._previous: dict[int, object] = {}

    def __enter__(self) -> Interruption:
        if threading.current_thread() is threading.main_thread():  # Python allows handlers in no other
            for number in (signal.SIGINT, signal.SIGTERM):
                self._previous[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *exception) -> None:
        self._restore()

    def _handle(self, number: int, frame) -> None:
        self.signal = number
        self._restore()
        os.write(2, b"\nstopping after the updates in flight, with a checkpoint; once more kills at once\n")
        if self.immediate:
            raise Interrupted

    @contextlib.contextmanager
    def at_once(self) -> Iterator[None]:
        """While inside, a signal (or one that came before) raises ``Interrupted`` without delay."""
        self.immediate = True
        try:
            if self.signal is not None:
                raise Interrupted
            yield
        finally:
            self.immediate = False

    def _restore(self) -> None:
        while self._previous:
            signal.signal(*self._previous.popitem())
