"""Reads D4RL's original HDF5 files, and refuses any other file.

A file is one recording of N steps: ``observations`` (N, S), ``actions`` (N, A), ``rewards`` and ``terminals`` (N,) or
(N, 1), in most files ``timeouts`` (N,), in gym's -v2 ``next_observations`` (N, S). Other keys, such as ``infos`` and
``metadata``, are never read. Only arrays of numbers are read: h5py would unpickle objects and follow references.
"""

from __future__ import annotations

import dataclasses
import math
import pathlib
import re

import numpy as np

from rvdt_jax.errors import UserError, nearest
from rvdt_jax.files import check_memory, check_stored

REQUIRED = ("observations", "actions", "rewards", "terminals")
OPTIONAL = ("timeouts", "next_observations")
_VECTORS = ("observations", "actions", "next_observations")
_FLAGS = ("terminals", "timeouts")

# Beginnings of files with a wrong name (regular expressions) -> what they are, and the start of the remedy.
_OTHER_FILES = {
    rb"\x1f\x8b": "the file is packed (gzip). Unpack it: gunzip; or download",
    rb"PK\x03\x04": "the file is packed (zip). Unpack it: unzip; or download",
    rb"version https://git-lfs": "the file is a Git LFS pointer, not the data. Fetch it (git lfs pull), or download",
    rb"(?si).{0,1000}<(!doctype|html|head|body|\?xml)": "the file is a web page, perhaps an error message of the "
    "server. Open it to see, then download",
    rb"[ -\xff\t\n\r\f]+\Z": "the file is text, not HDF5. Download",
    rb"": "the file is not HDF5, or its beginning is lost. Download",
}


@dataclasses.dataclass(frozen=True)
class D4rlFile:
    """The arrays of one file. Keys, types and shapes have been checked, values have not.

    Attributes:
        path: the file's.
        url: D4RL's address of it, for messages.
        state: ``file_state`` before it was read.
        arrays: by key: (N, columns) vectors; (N,) rewards and flags; in the types of the file.
    """

    path: pathlib.Path
    url: str
    state: tuple[int, int]
    arrays: dict[str, np.ndarray] = dataclasses.field(default_factory=dict)

    @property
    def steps(self) -> int:
        """N."""
        return len(self.arrays["rewards"])

    def error(self, key: str, found: str, remedy: str = "") -> UserError:
        """The error for a key; by default the remedy is to download the file again."""
        # No full stop follows an address, so that it can be copied.
        end = f"{remedy}." if remedy else f"get D4RL's file from {self.url}"
        return UserError(f"{self.path}: {key}: {found}; {end}")


def read_d4rl(path: pathlib.Path, url: str) -> D4rlFile:
    """Reads the arrays of a file into memory, and checks its layout.

    Args:
        path: the file.
        url: D4RL's address of it, for messages.

    Raises:
        UserError: the file is missing, damaged, of another kind, larger than memory, or not laid out as D4RL's are.
    """
    import h5py

    _check_file(path, url)
    state = file_state(path)
    try:
        opened = h5py.File(path, "r")
    except OSError as error:
        sizes = re.search(r"truncated file: eof = (\d+).*stored_eof = (\d+)", str(error))
        found = f"is cut off after {sizes[1]} of {sizes[2]} bytes" if sizes else f"cannot be opened ({error})"
        raise UserError(f"{path}: the file {found}. Download it again from {url}") from error
    with opened:
        file = D4rlFile(path, url, state)
        try:
            names = list(opened)
        except (OSError, RuntimeError) as error:
            raise UserError(f"{path}: the file is damaged ({error}). Download it again from {url}") from error
        keys = (*REQUIRED, *(key for key in OPTIONAL if key in names))
        datasets = {key: _find(file, opened, key, names) for key in keys}
        _check_shapes(file, {key: dataset.shape for key, dataset in datasets.items()})
        for key, dataset in datasets.items():
            file.arrays[key] = _read(file, key, dataset)
    return file


def file_state(path: pathlib.Path) -> tuple[int, int]:
    """Size and time of the last change, by which a changed file is noticed."""
    status = path.stat()
    return status.st_size, status.st_mtime_ns


def _read(file: D4rlFile, key: str, dataset) -> np.ndarray:
    claimed = math.prod(dataset.shape) * dataset.dtype.itemsize
    try:
        check_stored(claimed, dataset.id.get_storage_size(), "it")
        check_memory(claimed + sum(array.nbytes for array in file.arrays.values()), "it, with the keys before it,")
        values = dataset[()]
    except ValueError as error:
        raise file.error(key, str(error)) from error
    except (OSError, RuntimeError) as error:  # a damaged block, or one packed by a filter that h5py lacks
        raise file.error(key, f"its values cannot be read ({error})") from error
    return values if key in _VECTORS else values.reshape(len(values))


def _find(file: D4rlFile, opened, key: str, names: list[str]):
    """The h5py data set of a key, which lies in this file and holds numbers."""
    import h5py

    if key not in names:
        raise _missing(file, key, names)
    found = "its values lie in another file, and only what is in the file itself is read"
    elsewhere = file.error(key, found, "copy the values into it")
    link = opened.get(key, getlink=True)
    if isinstance(link, h5py.ExternalLink):
        raise elsewhere
    try:
        found = opened[key]
        kind = found.dtype.kind if isinstance(found, h5py.Dataset) else None
    except (KeyError, OSError, RuntimeError, TypeError) as error:  # TypeError: NumPy has no such type
        what = f"it is a link to {link.path}, which" if isinstance(link, h5py.SoftLink) else "it"
        raise file.error(key, f"{what} cannot be opened ({error})") from error
    if kind is None:
        parts = f" (of {', '.join(found)})" if isinstance(found, h5py.Group) else ""
        raise file.error(key, f"it is a group{parts}, not an array")
    if found.file != opened or found.external or found.is_virtual:  # the first by a soft link over an external one
        raise elsewhere
    if kind not in ("fiub" if key in _FLAGS else "fiu"):
        what = "objects, text or lists of any length" if kind == "O" else f"values of type {found.dtype}"
        raise file.error(key, f"it holds {what}, not numbers")
    return found


def _check_shapes(file: D4rlFile, shapes: dict[str, tuple[int, ...] | None]) -> None:
    for key, shape in shapes.items():
        if key in _VECTORS:
            fits, expected = shape is not None and len(shape) == 2 and shape[1] > 0, "(steps, numbers)"
        else:
            fits, expected = bool(shape) and shape[1:] in ((), (1,)), "(steps,) or (steps, 1)"
        if not fits:
            raise file.error(key, f"it has shape {shape}, expected {expected}")
    steps, size = shapes["observations"]
    for key, shape in shapes.items():
        if shape[0] == 0:
            raise file.error(key, "it has no rows")
        if shape[0] != steps:
            raise file.error(key, f"it has {shape[0]} rows and observations have {steps}")
    _, following = shapes.get("next_observations", (steps, size))
    if following != size:
        raise file.error("next_observations", f"its rows have {following} numbers and observations {size}", "repair it")


def _missing(file: D4rlFile, key: str, names: list[str]) -> UserError:
    if any(name.startswith("episode_") for name in names):
        found = "there is no such key: this is Minari's own format"
        return file.error(key, found, "put its folder where Minari keeps data sets")
    near = nearest(key, names)
    hint = f" The nearest is {near!r}: rename it if it is the same." if near else ""
    return file.error(key, f"there is no such key; the file has {', '.join(names[:20]) or 'nothing at all'}.{hint}")


def _check_file(path: pathlib.Path, url: str) -> None:
    """Refuses a path that holds no HDF5 file, and says what is there instead."""
    import h5py

    if not path.exists():
        near = nearest(path.name, [file.name for file in path.parent.glob("*.hdf5")])
        hint = f" Did you mean {near!r}, which is there?" if near else ""
        raise UserError(f"{path}: there is no such file.{hint} D4RL's is at {url}")
    if not path.is_file():
        inside = sorted(file.name for file in path.glob("*.hdf5"))
        hint = f"; it has {', '.join(inside[:5])}" if inside else ""
        raise UserError(f"{path}: this is no file. Name the .hdf5 file itself with --file{hint}.")
    try:
        with path.open("rb") as file:
            start = file.read(4096)
    except OSError as error:
        raise UserError(f"{path}: the file cannot be read ({error.strerror}). Correct its permissions.") from error
    if not start:
        raise UserError(f"{path}: the file is empty. Download it again from {url}")
    if not h5py.is_hdf5(path):
        what = next(what for beginning, what in _OTHER_FILES.items() if re.match(beginning, start))
        raise UserError(f"{path}: {what} the file from {url}")
