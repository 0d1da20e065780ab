"""The peer in a process of its own: memory and threads that one library leaves behind must not slow the other.

In one process, our reference update took a fifth longer in turns with PyTorch's than alone, PyTorch's no longer.
"""

from __future__ import annotations

import contextlib
import multiprocessing
from multiprocessing.connection import Connection

import numpy as np

from rvdt_jax.config.settings import Config
from rvdt_jax.data.episodes import Episodes


class PeerProcess:
    """A contestant: a call does its updates there and returns when they are done. Close it after use.

    Args:
        config, episodes, experts, sizes, name, updates: as for ``peer.make_peer``.

    Attributes:
        notes: on the peer, from ``make_peer``.

    Raises:
        RuntimeError: there is no PyTorch, or the peer failed; the message is the one of its error.
    """

    def __init__(
        self,
        config: Config,
        episodes: Episodes,
        experts: np.ndarray,
        sizes: tuple[int, int, int],
        name: str,
        updates: int,
    ):
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        arguments = (theirs, config, episodes, experts, sizes, name, updates)
        self._process = context.Process(target=_serve, args=arguments, daemon=True)
        self._process.start()
        theirs.close()  # so that the end of the process is seen here
        try:
            self.notes: dict = self._answer()
        except BaseException:
            self.close()
            raise

    def __call__(self) -> None:
        with contextlib.suppress(BrokenPipeError):  # of a process that ended: the answer says so
            self._pipe.send("go")
        self._answer()

    def close(self) -> None:
        """Ends the process."""
        self._pipe.close()  # which it hears, and returns
        self._process.join(timeout=30)
        self._process.kill()
        self._process.join()

    def _answer(self) -> dict:
        try:
            failure, notes = self._pipe.recv()
        except (EOFError, ConnectionResetError):
            self._process.join()
            raise RuntimeError(f"the peer's process ended with status {self._process.exitcode}") from None
        if failure:
            raise RuntimeError(failure)
        return notes


def _serve(pipe: Connection, *arguments) -> None:
    try:
        from benchmark.peer import make_peer  # torch is an extra

        call, notes = make_peer(*arguments)
        pipe.send((None, notes))
        while pipe.recv() == "go":
            call()
            pipe.send((None, {}))
    except EOFError:  # closed
        return
    except Exception as error:  # its message is all that the other side can use
        pipe.send((f"{type(error).__name__}: {error}", {}))
