"""TensorBoard events, if ``tensorboardX`` is installed (``pip install 'rvdt-jax[tensorboard]'``).

Events are written directly: the thread of tensorboardX's ``SummaryWriter`` dies when the disk is full, and training
would then wait for it forever. The JSON records are authoritative, so an event that cannot be written ends no run.
"""

from __future__ import annotations

import logging
import os
import pathlib
import platform
import struct
import time

from rvdt_jax.errors import not_installed

log = logging.getLogger(__name__)


class Writer:
    """Writes records as scalars below a folder, one run per seed; without ``tensorboardX`` it writes nothing."""

    def __init__(self, folder: pathlib.Path):
        self._folder, self._files, self._enabled = folder, {}, True
        try:
            from tensorboardX.proto import event_pb2, summary_pb2
            from tensorboardX.record_writer import masked_crc32c
        except ImportError as error:
            log.info("no TensorBoard events: %s", not_installed(error) or error)
            self._enabled = False
            return
        self._event, self._summary, self._checksum = event_pb2.Event, summary_pb2.Summary, masked_crc32c

    def write(self, record: dict) -> None:
        """Writes every value of a record except ``step`` and ``seed``."""
        if not self._enabled:
            return
        seed = record["seed"]
        try:
            if seed not in self._files:
                self._open(seed)
            values = {name: value for name, value in record.items() if name not in ("step", "seed")}
            scalars = [self._summary.Value(tag=name, simple_value=value) for name, value in values.items()]
            self._put(seed, step=record["step"], summary=self._summary(value=scalars))
        except OSError as error:
            log.warning("no more TensorBoard events: %s", error)
            self.close()
            self._enabled = False

    def _open(self, seed: int) -> None:
        folder = self._folder / f"seed-{seed}"
        folder.mkdir(parents=True, exist_ok=True)
        # Every start of a run has a file name of its own, so that none overwrites another's.
        name = f"events.out.tfevents.{time.time():.0f}.{platform.node()}.{os.getpid()}"
        self._files[seed] = (folder / name).open("wb")
        self._put(seed, file_version="brain.Event:2")

    def _put(self, seed: int, **fields) -> None:
        content = self._event(wall_time=time.time(), **fields).SerializeToString()
        length = struct.pack("<Q", len(content))
        parts = (length, struct.pack("<I", self._checksum(length)), content)
        self._files[seed].write(b"".join(parts) + struct.pack("<I", self._checksum(content)))
        self._files[seed].flush()  # to the operating system, so that readers see it; no fsync

    def close(self) -> None:
        """Closes the files, even if their last bytes cannot be written."""
        while self._files:
            try:
                self._files.popitem()[1].close()
            except OSError as error:
                log.warning("TensorBoard events are lost: %s", error)
