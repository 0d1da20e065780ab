"""Files written whole or not at all, and limits on what files claim: 1e12 steps fit into a few bytes."""

from __future__ import annotations

import contextlib
import glob
import logging
import math
import os
import pathlib
import platform
import zipfile
from collections.abc import Iterator

from rvdt_jax.errors import UserError

log = logging.getLogger(__name__)
MOST_JSON = 64 * 2**20  # bytes; the largest record of ours, and the largest metadata, have a hundredth of it
# Deflate packs at most 1032 to 1. What claims to be packed more tightly than this is damaged, or meant to be harmful.
_MOST_PACKED, _HARMLESS = 1100, 64 * 2**20


@contextlib.contextmanager
def atomic_write(path: pathlib.Path) -> Iterator[pathlib.Path]:
    """Gives a hidden name beside ``path``, with the same suffix; what is written there replaces ``path`` in one move.

    After an exception the partial file is removed. One that a killed process left is removed by the next writer.

    Raises:
        OSError: it cannot be written; the file is named.
    """
    before, after = f".{path.stem}.", f".partial{path.suffix}"
    for partial in path.parent.glob(f"{glob.escape(before)}*{glob.escape(after)}"):
        if has_died(partial.name.removeprefix(before).removesuffix(after)):
            partial.unlink(missing_ok=True)
    partial = path.with_name(f"{before}{owner()}{after}")
    try:
        with naming(path, partial):
            yield partial
            with partial.open("rb") as file:
                os.fsync(file.fileno())
            os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


@contextlib.contextmanager
def naming(path: pathlib.Path, partial: pathlib.Path | None = None) -> Iterator[None]:
    """Names the file in an OSError that names none or ``partial``: Python names it if opening fails, but not later."""
    try:
        yield
    except OSError as error:
        if error.errno is not None and error.filename in (None, str(partial)):
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise


def owner() -> str:
    """This process, as part of the name of an unfinished file."""
    return f"{os.getpid()}-{platform.node()}"


def has_died(name: str) -> bool:
    """Whether that ``owner`` was a process of this machine and has ended. Nothing is known of other machines."""
    process, _, host = name.partition("-")
    if not process.isdigit() or host != platform.node():
        return False
    try:
        os.kill(int(process), 0)
    except OSError as error:
        return isinstance(error, ProcessLookupError)
    return False


def read_text(path: pathlib.Path, most: int = MOST_JSON) -> str:
    """A file's text.

    Raises:
        OSError: it cannot be read.
        ValueError: it is larger than ``most`` bytes, or no UTF-8.
    """
    with path.open("rb") as file:
        content = file.read(most + 1)  # whatever its size is said to be
    if len(content) > most:
        raise ValueError(f"it has more than {most >> 20} MiB, which no such file has")
    return content.decode("utf-8")


def check_memory(claimed: int, what: str) -> None:
    """Refuses what cannot be held.

    Args:
        claimed: bytes.
        what: of the message.

    Raises:
        ValueError: this machine has less memory than that.
    """
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if claimed > memory:
        raise ValueError(f"{what} claims {_size(claimed)}, and this machine has {_size(memory)} of memory")


def check_room(name: str, claimed: int, remedy: str) -> None:
    """Says what data will take in memory, if that is much.

    Args:
        name: of the data.
        claimed: bytes of their numbers as float32; training holds them twice, as read and as stored on the device.
        remedy: the end of the message.

    Raises:
        UserError: this machine has less memory.
    """
    try:
        check_memory(2 * claimed, f"{name}, as read and as trained on,")
    except ValueError as error:
        raise UserError(f"{error}. {remedy}") from error
    if claimed > 2**30:
        log.info("%s: its numbers take %s of memory as float32", name, _size(claimed))


def check_stored(claimed: int, stored: int, what: str) -> None:
    """Refuses what claims far more bytes than its stored ones can unpack to.

    Raises:
        ValueError: it does.
    """
    if claimed > max(_HARMLESS, _MOST_PACKED * stored):
        raise ValueError(f"{what} claims {_size(claimed)}, and {_size(stored)} are stored")


def check_hdf5(file) -> None:
    """Refuses an ``h5py.File`` in which an array claims more than it stores, or all of them more than can be held.

    Takes 50 microseconds an array, of which a data set may have 1e5: for that it stays below h5py's own objects.

    Raises:
        ValueError: one does, or all together do.
    """
    check_memory(_claims(file.id, ""), "it")


def _claims(group, path: str) -> int:
    """The bytes that all arrays of a group claim, each of which is checked."""
    import h5py

    total = 0
    for name in group:
        item, where = h5py.h5o.open(group, name), f"{path}{name.decode()}"
        if isinstance(item, h5py.h5g.GroupID):
            total += _claims(item, f"{where}/")
        elif isinstance(item, h5py.h5d.DatasetID):  # none is kept open, for that takes 85 KB each
            claimed = item.get_space().get_simple_extent_npoints() * item.get_type().get_size()
            if claimed > _HARMLESS:
                check_stored(claimed, item.get_storage_size(), where)
            total += claimed
    return total


def check_npz(path: pathlib.Path) -> None:
    """Refuses a NumPy archive whose arrays claim more than the archive holds, or more than can be held.

    Raises:
        ValueError: one does.
        zipfile.BadZipFile: it is no archive.
    """
    import numpy as np

    total = 0
    with zipfile.ZipFile(path) as archive:
        for entry in archive.infolist():
            # What the archive says of itself is a claim, too; how long it is, is not.
            check_stored(entry.file_size, min(entry.compress_size, path.stat().st_size), entry.filename)
            with archive.open(entry) as file:
                version = np.lib.format.read_magic(file)
                read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
                shape, _, dtype = read(file)
            claimed = math.prod(shape) * dtype.itemsize
            if claimed > entry.file_size:
                raise ValueError(f"{entry.filename} claims {_size(claimed)}, and {_size(entry.file_size)} are stored")
            total += claimed
    check_memory(total, "it")


def _size(count: float) -> str:
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:.3g} {unit}"
        count /= 1024
    return f"{count:.3g} TiB"
