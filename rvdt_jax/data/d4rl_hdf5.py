"""D4RL's original HDF5 files: opening one, refusing whatever is not one, and reading it block by block.

A file is one recording of N steps: ``observations`` (N, S), ``actions`` (N, A), ``rewards`` and ``terminals`` (N,) or
(N, 1), in most files ``timeouts`` (N,), in gym's -v2 ``next_observations`` (N, S). Whatever else is there, ``infos``
and ``metadata``, is never read. Numbers only: objects, which h5py would unpickle or follow, are refused by their type.
"""

from __future__ import annotations

import contextlib
import math
import pathlib
import re
from collections.abc import Iterator

import numpy as np

from rvdt_jax.errors import UserError, nearest
from rvdt_jax.files import check_memory, check_stored

BLOCK = 65_536  # rows read at once; of 60 numbers in double precision 31 MB

REQUIRED = ("observations", "actions", "rewards", "terminals")
OPTIONAL = ("timeouts", "next_observations")
_VECTORS = ("observations", "actions", "next_observations")
_FLAGS = ("terminals", "timeouts")

# How files begin that are saved under the wrong name -> what they are, and what to do about it.
_OTHER_FILES = {
    b"\x1f\x8b": "is packed (gzip). Unpack it: gunzip",
    b"PK\x03\x04": "is packed (zip). Unpack it: unzip",
    b"version https://git-lfs": "is a Git LFS pointer, not the data. Fetch it (git lfs pull), or",
}


class D4rlFile:
    """An open file whose keys have been checked for being there, for type, rank and length; their values have not.

    Args:
        path: the file's.
        url: where D4RL has it, for messages.
        file: the open ``h5py.File``.

    Attributes:
        steps: N.
        observation_size, action_size: S and A.

    Raises:
        UserError: naming the file, the key and the remedy.
    """

    def __init__(self, path: pathlib.Path, url: str, file):
        self.path, self.url, self._file = path, url, file
        try:
            self._names = list(file)
        except (OSError, RuntimeError) as error:
            raise UserError(f"{path}: the file is damaged ({error}). Download it again from {url}") from error
        present = [key for key in OPTIONAL if key in self._names]
        self._arrays = {key: self._find(key) for key in (*REQUIRED, *present)}
        for key, array in self._arrays.items():
            claimed = math.prod(array.shape) * array.dtype.itemsize
            try:
                check_stored(claimed, array.id.get_storage_size(), "it")
                check_memory(claimed, "it")
            except ValueError as error:
                raise self.error(key, str(error), f"download the file again from {url}") from error
        lengths = {key: array.shape[0] for key, array in self._arrays.items()}
        self.steps = lengths["observations"]
        for key, length in lengths.items():
            if length == 0:
                raise self.error(key, "it has no rows", f"download the file again from {url}")
            if length != self.steps:
                found = f"it has {length} rows and observations have {self.steps}"
                raise self.error(key, found, f"download the file again from {url}")
        self.observation_size, self.action_size = (self._arrays[key].shape[1] for key in REQUIRED[:2])
        if "next_observations" in self and self._arrays["next_observations"].shape[1] != self.observation_size:
            found = f"its rows have {self._arrays['next_observations'].shape[1]} numbers"
            raise self.error("next_observations", f"{found} and observations {self.observation_size}", "repair it")

    def __contains__(self, key: str) -> bool:
        return key in self._arrays

    def error(self, key: str, found: str, remedy: str) -> UserError:
        """The error that says what is wrong with a key."""
        end = "" if remedy.endswith(self.url) else "."  # an address is copied with whatever stands behind it
        return UserError(f"{self.path}: {key}: {found}; {remedy}{end}")

    def read(self, key: str, start: int, stop: int) -> np.ndarray:
        """Rows ``start`` to ``stop``: (n, columns) of a vector, else (n,); as they are in the file.

        Raises:
            UserError: the file is damaged there.
        """
        try:
            rows = self._arrays[key][start:stop]
        except (OSError, RuntimeError) as error:  # a damaged block, or one packed by a filter that h5py lacks
            found = f"rows {start} to {stop - 1} cannot be read ({error})"
            raise self.error(key, found, f"download the file again from {self.url}") from error
        return rows if key in _VECTORS else rows.reshape(len(rows))

    def blocks(self, key: str) -> Iterator[tuple[int, np.ndarray]]:
        """All rows, at most ``BLOCK`` at a time, each block with the number of its first row."""
        for start in range(0, self.steps, BLOCK):
            yield start, self.read(key, start, min(start + BLOCK, self.steps))

    def flags(self, key: str) -> np.ndarray:
        """(N,) bool of terminals or timeouts.

        Raises:
            UserError: a value other than 0 and 1, with its row.
        """
        flags = np.empty(self.steps, bool)
        for start, rows in self.blocks(key):
            wrong = np.flatnonzero((rows != 0) & (rows != 1))
            if wrong.size:
                found = f"row {start + wrong[0]} is {rows[wrong[0]]}, and flags are 0 or 1"
                raise self.error(key, found, "download the file again, or mend that row")
            flags[start : start + len(rows)] = rows
        return flags

    def _find(self, key: str):
        import h5py

        if key not in self._names:
            raise self._missing(key)
        link = self._file.get(key, getlink=True)
        if isinstance(link, h5py.ExternalLink):
            raise self._outside(key, f"a link to {link.filename}")
        try:
            found = self._file[key]
        except (KeyError, OSError, RuntimeError) as error:
            what = f"it is a link to {link.path}, " if isinstance(link, h5py.SoftLink) else "it "
            raise self.error(key, f"{what}which cannot be opened ({error})", f"get it from {self.url}") from error
        if not isinstance(found, h5py.Dataset):
            parts = f" (of {', '.join(found)})" if isinstance(found, h5py.Group) else ""
            raise self.error(key, f"it is a group{parts}, not an array", f"get D4RL's file from {self.url}")
        if found.file != self._file:  # a soft link over an external one
            raise self._outside(key, f"a link to {found.file.filename}")
        if found.external or found.is_virtual:
            raise self._outside(key, "a reference to data in other files")
        self._check_array(key, found)
        return found

    def _check_array(self, key: str, array) -> None:
        shape, remedy = array.shape, f"get D4RL's file from {self.url}"
        try:
            kind = array.dtype.kind
        except TypeError as error:
            raise self.error(key, f"it holds no numbers ({error})", remedy) from error
        if kind not in ("fiub" if key in _FLAGS else "fiu"):
            what = "objects, text or lists of any length" if kind == "O" else f"values of type {array.dtype}"
            raise self.error(key, f"it holds {what}, not numbers", remedy)
        if key in _VECTORS:
            fits, expected = shape is not None and len(shape) == 2 and shape[1] > 0, "(steps, numbers)"
        else:
            fits, expected = shape is not None and shape[1:] in ((), (1,)) and shape != (), "(steps,) or (steps, 1)"
        if not fits:
            raise self.error(key, f"it has shape {shape}, expected {expected}", remedy)

    def _missing(self, key: str) -> UserError:
        if any(name.startswith("episode_") for name in self._names):
            return self.error(
                key, "there is no such key: this is Minari's own format", "put its folder where Minari keeps data sets"
            )
        near = nearest(key, self._names)
        hint = f" The nearest is {near!r}: rename it if it is the same." if near else ""
        known = ", ".join(self._names[:20]) or "nothing at all"
        return self.error(key, f"there is no such key; the file has {known}.{hint}", f"D4RL's own is at {self.url}")

    def _outside(self, key: str, what: str) -> UserError:
        return self.error(key, f"it is {what}, and only what is in the file itself is read", "copy the values into it")


@contextlib.contextmanager
def open_d4rl(path: pathlib.Path, url: str) -> Iterator[D4rlFile]:
    """Opens a file for reading, and checks its layout.

    Raises:
        UserError: the file is missing, unreadable, of another kind, cut off, or not laid out as D4RL's are.
    """
    import h5py

    _check_file(path, url)
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        stored = re.search(r"truncated file: eof = (\d+).*stored_eof = (\d+)", str(error))
        found = f"is cut off after {stored[1]} of {stored[2]} bytes" if stored else f"cannot be opened ({error})"
        raise UserError(f"{path}: the file {found}. Download it again from {url}") from error
    with file:
        yield D4rlFile(path, url, file)


def _check_file(path: pathlib.Path, url: str) -> None:
    import h5py

    if path.is_dir():
        inside = sorted(file.name for file in path.glob("*.hdf5"))
        hint = f"; it has {', '.join(inside[:5])}" if inside else ""
        raise UserError(f"{path}: this is a folder. Name the .hdf5 file itself with --file{hint}.")
    if not path.exists():
        beside = [file.name for file in path.parent.glob("*.hdf5")]
        near = nearest(path.name, beside)
        hint = f" Did you mean {near!r}, which is there?" if near else ""
        raise UserError(f"{path}: there is no such file.{hint} D4RL's is at {url}")
    if not path.is_file():
        raise UserError(f"{path}: this is no regular file. Name a .hdf5 file with --file.")
    try:
        with path.open("rb") as file:
            start = file.read(4096)
    except OSError as error:
        raise UserError(f"{path}: the file cannot be read ({error.strerror}). See to its permissions.") from error
    if not start:
        raise UserError(f"{path}: the file is empty. Download it again from {url}")
    if not h5py.is_hdf5(path):
        raise UserError(f"{path}: {_diagnose(start)} the file from {url}")


def _diagnose(start: bytes) -> str:
    """What a file is that is not HDF5, and the beginning of the remedy."""
    for beginning, what in _OTHER_FILES.items():
        if start.startswith(beginning):
            return f"the file {what}; or download"
    if re.search(rb"<(!doctype|html|head|body|\?xml)", start[:1024].lower()):
        return "the file is a web page, perhaps an error message of the server. Open it to see, then download"
    if all(byte >= 32 or byte in b"\t\n\r\f" for byte in start):
        return "the file is text, not HDF5. Download"
    return "the file is not HDF5, or its beginning is lost. Download"
