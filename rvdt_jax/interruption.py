"""SIGINT and SIGTERM as a polite request: finish the compiled call in flight, save, stop."""

from __future__ import annotations

import signal


class Interrupted(Exception):
    """Raised where stopping at once loses nothing, because a checkpoint has just been written."""


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
        for number in (signal.SIGINT, signal.SIGTERM):
            self._previous[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *exception) -> None:
        self._restore()

    def _handle(self, number: int, frame) -> None:
        self.signal = number
        self._restore()
        if self.immediate:
            raise Interrupted

    def _restore(self) -> None:
        while self._previous:
            signal.signal(*self._previous.popitem())
