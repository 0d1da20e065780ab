"""TensorBoard events, where ``tensorboardX`` is installed (``pip install rvdt-jax[tensorboard]``)."""

from __future__ import annotations

import logging
import pathlib

log = logging.getLogger(__name__)


class Writer:
    """Writes records as scalars, one TensorBoard run per seed; does nothing without ``tensorboardX``."""

    def __init__(self, folder: pathlib.Path, summary_writer):
        self._folder, self._summary_writer = folder, summary_writer
        self._seeds: dict[int, object] = {}

    def write(self, record: dict) -> None:
        """Writes every value of a record that is not ``step`` or ``seed``."""
        if self._summary_writer is None:
            return
        seed = record["seed"]
        if seed not in self._seeds:
            self._seeds[seed] = self._summary_writer(str(self._folder / f"seed-{seed}"))
        for name, value in record.items():
            if name not in ("step", "seed"):
                self._seeds[seed].add_scalar(name, value, record["step"])

    def close(self) -> None:
        """Flushes and closes the files."""
        for writer in self._seeds.values():
            writer.close()


def make_writer(run_folder: pathlib.Path) -> Writer:
    """A writer into ``run_folder/tensorboard``."""
    try:
        from tensorboardX import SummaryWriter
    except ImportError:
        log.info("no TensorBoard events: tensorboardX is not installed (pip install rvdt-jax[tensorboard])")
        SummaryWriter = None
    return Writer(run_folder / "tensorboard", SummaryWriter)
