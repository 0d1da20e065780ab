"""TensorBoard events, where ``tensorboardX`` is installed (``pip install 'rvdt-jax[tensorboard]'``).

They are written at once, and not by its ``SummaryWriter``, whose thread dies where the disk is full and would have
training wait for it. The records beside them are what counts: an event that cannot be written ends no run.
"""

from __future__ import annotations

import logging
import os
import pathlib
import platform
import struct
import time
from collections.abc import Callable

from rvdt_jax.errors import not_installed

log = logging.getLogger(__name__)


class Writer:
    """Writes records as scalars, one TensorBoard run per seed.

    Args:
        folder: of the runs.
        open_events: makes the event file of a folder; None, without ``tensorboardX``, and then nothing is written.
    """

    def __init__(self, folder: pathlib.Path, open_events: Callable[[pathlib.Path], Events] | None):
        self._folder, self._open_events = folder, open_events
        self._seeds: dict[int, Events] = {}

    def write(self, record: dict) -> None:
        """Writes every value of a record that is not ``step`` or ``seed``."""
        if self._open_events is None:
            return
        try:
            seed = record["seed"]
            if seed not in self._seeds:
                self._seeds[seed] = self._open_events(self._folder / f"seed-{seed}")
            values = {name: value for name, value in record.items() if name not in ("step", "seed")}
            self._seeds[seed].write(record["step"], values)
        except OSError as error:
            log.warning("no more TensorBoard events: %s", error)
            self.close()
            self._open_events = None

    def close(self) -> None:
        """Closes the files."""
        while self._seeds:
            _, events = self._seeds.popitem()
            events.close()


class Events:
    """One event file."""

    def __init__(self, folder: pathlib.Path):
        from tensorboardX.proto import event_pb2, summary_pb2
        from tensorboardX.record_writer import masked_crc32c

        self._event, self._summary, self._checksum = event_pb2.Event, summary_pb2.Summary, masked_crc32c
        folder.mkdir(parents=True, exist_ok=True)
        # A name of its own for every start of a run, so that none overwrites another's.
        name = f"events.out.tfevents.{time.time():.0f}.{platform.node()}.{os.getpid()}"
        self._file = (folder / name).open("wb")
        self._put(self._event(wall_time=time.time(), file_version="brain.Event:2"))

    def write(self, step: int, values: dict[str, float]) -> None:
        """One event with all values of a step."""
        scalars = [self._summary.Value(tag=name, simple_value=value) for name, value in values.items()]
        self._put(self._event(wall_time=time.time(), step=step, summary=self._summary(value=scalars)))

    def _put(self, event) -> None:
        content = event.SerializeToString()
        length = struct.pack("<Q", len(content))
        parts = (length, struct.pack("<I", self._checksum(length)), content)
        self._file.write(b"".join(parts) + struct.pack("<I", self._checksum(content)))
        self._file.flush()  # to the system, for whoever looks on; the disk can wait

    def close(self) -> None:
        """Closes the file, whatever there is still to write."""
        try:
            self._file.close()
        except OSError as error:
            log.warning("TensorBoard events are lost: %s", error)


def make_writer(run_folder: pathlib.Path) -> Writer:
    """A writer into ``run_folder/tensorboard``."""
    try:
        import tensorboardX  # noqa: F401  whether it is there
    except ImportError as error:
        log.info("no TensorBoard events: %s", not_installed(error) or error)
        return Writer(run_folder / "tensorboard", None)
    return Writer(run_folder / "tensorboard", Events)
