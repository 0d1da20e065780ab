"""Reading logs of any layout as columns: CSV, Parquet, NPZ and HDF5, one file or many, in batches of rows."""

from __future__ import annotations

import fnmatch
import pathlib
import re
from collections.abc import Iterator, Mapping

import numpy as np

from rvdt_jax.data.layouts import EPISODE, FILE, by_step, is_by_step
from rvdt_jax.data.table import BATCH, Column, Table, as_rows
from rvdt_jax.errors import UserError, optional_imports
from rvdt_jax.files import check_room

SUFFIXES = {".csv": "csv", ".tsv": "csv", ".txt": "csv", ".parquet": "parquet", ".pq": "parquet", ".npz": "npz"}
SUFFIXES |= {".hdf5": "hdf5", ".h5": "hdf5"}


def open_table(files: list[pathlib.Path], group: str | None = None) -> Table:
    """The log in these files, which are of one kind and laid behind each other.

    Args:
        files: one or more.
        group: of an HDF5 file, a glob of groups that hold one episode each (``data/demo_*``); their numbers become the
            column ``EPISODE``.

    Raises:
        UserError: a file is missing, of another kind than can be read, or has other columns than the first.
    """
    for file in files:
        if not file.is_file():
            what = f"this is a folder. Name its files: '{file}/*.csv'" if file.is_dir() else "there is no such file"
            raise UserError(f"{file}: {what}.")
    kinds = {SUFFIXES.get(_suffix(file), _suffix(file)) for file in files}
    if len(kinds) > 1 or not kinds <= set(SUFFIXES.values()):
        raise UserError(
            f"{files[0]}: files must be of one kind, and end in one of {', '.join(SUFFIXES)}; these end in "
            f"{', '.join(sorted({_suffix(file) for file in files}))}."
        )
    if group is not None and kinds != {"hdf5"}:
        raise UserError("--group is for HDF5 files, whose groups hold one episode each.")
    kind = kinds.pop()
    options = () if group is None else (group,)
    with optional_imports(str(files[0])):
        parts = [_reader(kind)(file, *options) for file in files]
    return parts[0] if len(parts) == 1 else _Chain(parts)


def _suffix(file: pathlib.Path) -> str:
    """The end of its name in small letters; of a packed CSV file that of the file inside."""
    suffixes = [suffix.lower() for suffix in file.suffixes]
    is_packed = suffixes[-1:] == [".gz"] and SUFFIXES.get("".join(suffixes[-2:-1])) == "csv"
    return "".join(suffixes[-2:-1] if is_packed else suffixes[-1:])


def _reader(kind: str):
    """What opens a file of that kind."""
    if kind in ("csv", "parquet"):
        from rvdt_jax.data import arrow

        return {"csv": arrow.CsvTable, "parquet": arrow.ParquetTable}[kind]
    return {"npz": _npz_table, "hdf5": _hdf5_table}[kind]


class _Chain(Table):
    """Several tables of equal columns, one behind the other."""

    def __init__(self, parts: list[Table]):
        self._parts, self.name, self.columns = parts, f"{parts[0].name} and {len(parts) - 1} more", parts[0].columns
        self.rows = sum(part.rows for part in parts)
        self.columns, self.left_out = self.columns | {FILE: Column(FILE, 1, "i")}, parts[0].left_out
        self.notes = tuple(dict.fromkeys(note for part in parts for note in part.notes))
        for part in parts[1:]:
            other = {name: column.width for name, column in part.columns.items()}
            if other != {name: column.width for name, column in parts[0].columns.items()}:
                raise UserError(f"{part.name}: its columns are not those of {parts[0].name}. {part.listing()}")

    def batches(self, names: tuple[str, ...]) -> Iterator[dict[str, np.ndarray]]:
        of_parts, before = tuple(name for name in names if name != FILE), 0
        for number, part in enumerate(self._parts):
            for batch in part.batches(of_parts):
                if EPISODE in batch:  # every file counts its own from 0
                    batch[EPISODE] = batch[EPISODE] + before
                    after = int(batch[EPISODE][-1]) + 1
                rows = len(next(iter(batch.values())))
                yield batch | ({FILE: np.full(rows, number)} if FILE in names else {})
            before = after if EPISODE in names else 0


class ArrayTable(Table):
    """Arrays in memory, also in the layouts of ``by_step``: those that have as many rows as most of them.

    Args:
        name: for messages.
        arrays: by name; anything that NumPy takes for an array of one or more dimensions, a pandas column included.
            Those of a dict inside it are named ``outer/inner``. What is masked becomes NaN.
    """

    def __init__(self, name: str, arrays: Mapping):
        self.name = name
        given = {key: array for key, array in _flat(arrays) if array.ndim}
        self._arrays = by_step(given)
        if self._arrays is not given:
            episodes = self._arrays[EPISODE][-1] + 1
            self.notes = (f"its arrays hold {episodes} episodes, stacked or with their ends: one row a step was made",)
        self.rows, self.columns, self.left_out = _array_columns(name, self._arrays)

    def batches(self, names: tuple[str, ...]) -> Iterator[dict[str, np.ndarray]]:
        for start in range(0, self.rows, BATCH):
            yield {name: _rows_of(self._arrays[name], start) for name in names}


def _flat(arrays: Mapping, prefix: str = "") -> Iterator[tuple[str, np.ndarray]]:
    for key in arrays:
        name, values = f"{prefix}{key}", arrays[key]
        if isinstance(values, Mapping):
            yield from _flat(values, f"{name}/")
        else:
            masked = np.ma.is_masked(values) and values.dtype.kind in "fiub"
            yield name, np.ma.filled(values.astype(np.float64), np.nan) if masked else as_rows(name, values)


def _npz_table(file: pathlib.Path) -> ArrayTable:
    """The arrays of a NumPy archive."""
    from rvdt_jax.files import check_npz

    try:
        check_npz(file)
        with np.load(file, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except Exception as error:  # a damaged zip file makes NumPy raise almost anything
        raise UserError(f"{file}: not readable as a NumPy archive: {error}") from error
    return ArrayTable(file.name, arrays)


def _hdf5_table(file: pathlib.Path, group: str | None = None) -> Table:
    """The arrays of an HDF5 file, read in batches; in memory where they have not one row a step."""
    table = Hdf5Table(file, group)
    if group is not None or is_by_step(table.arrays):
        return table
    size = sum(array.nbytes for array in table.arrays.values())
    check_room(file.name, size, "Write it with one row a step, which is read in parts.")
    return ArrayTable(file.name, {name: array[()] for name, array in table.arrays.items()})


class Hdf5Table(Table):
    """The arrays of an HDF5 file by their paths; or those of all groups that a glob names, one episode each."""

    def __init__(self, file: pathlib.Path, group: str | None = None):
        import h5py

        self.name = file.name
        try:
            self._file = h5py.File(file, "r")
        except OSError as error:
            raise UserError(f"{file}: not readable as HDF5: {error}") from error
        self.arrays = arrays = {}
        self._file.visititems(lambda name, item: arrays.update({name: item} if getattr(item, "ndim", 0) else {}))
        self._groups = {"": arrays} if group is None else _grouped(self.name, arrays, group)
        self._counts = {}
        for number, (place, each) in enumerate(self._groups.items()):
            where = f"{self.name}: {place}" if place else self.name
            rows, columns, left_out = _array_columns(where, each, may_end_later=group is not None)
            self._counts[place] = rows
            if number == 0:
                self.columns, self.left_out = columns, left_out
                longer = ", ".join(key for key in columns if each[key].shape[0] > rows)
                self.notes = (f"the last row of every group's {longer} is left out",) if longer else ()
        if group is not None:
            self.columns = self.columns | {EPISODE: Column(EPISODE, 1, "i")}
        self.rows = sum(self._counts.values())

    def listing(self) -> str:
        places: dict[str, set] = {}
        for found in filter(None, (re.match(r"(.*?\d[^/]*)/", path) for path in self.arrays)):
            places.setdefault(re.sub(r"\d+", "*", found[1]), set()).add(found[1])
        alike = [place for place, names in places.items() if len(names) > 1 and self._groups.keys() == {""}]
        hint = f" If each of its groups is one episode, pass --group='{alike[0]}'." if alike else ""
        return super().listing() + hint

    def batches(self, names: tuple[str, ...]) -> Iterator[dict[str, np.ndarray]]:
        for number, (place, arrays) in enumerate(self._groups.items()):
            for start in range(0, self._counts[place], BATCH):
                count = min(BATCH, self._counts[place] - start)
                batch = {}
                for name in names:
                    if name != EPISODE and name not in arrays:
                        raise UserError(f"{self.name}: group {place} has no array {name!r}.")
                    batch[name] = np.full(count, number) if name == EPISODE else _rows_of(arrays[name], start, count)
                yield batch


def _array_columns(name: str, arrays: dict, *, may_end_later: bool = False):
    """How many rows most arrays have, those that have as many, and the number of rows of the others.

    With ``may_end_later`` arrays of one row more are among them: observations up to where the episode ended.
    """
    if not arrays:
        raise UserError(f"{name}: there are no arrays in it.")
    counts = [array.shape[0] for array in arrays.values()]
    rows = max(set(counts), key=counts.count)
    rows -= may_end_later and rows - 1 in counts
    columns = {
        key: Column(key, int(np.prod(array.shape[1:])), array.dtype.kind)
        for key, array in arrays.items()
        if array.shape[0] in (rows, rows + may_end_later)
    }
    return rows, columns, {key: array.shape[0] for key, array in arrays.items() if key not in columns}


def _rows_of(array, start: int, count: int = BATCH) -> np.ndarray:
    part = np.asarray(array[start : start + count])
    rows = part.reshape(len(part), -1)
    return rows[:, 0] if rows.shape[1] == 1 else rows


def _grouped(name: str, arrays: dict, group: str) -> dict[str, dict]:
    """Group -> its arrays by their paths inside, in the order of the numbers in the groups' names."""
    found: dict[str, dict] = {}
    depth = group.strip("/").count("/") + 1
    for path, array in arrays.items():
        parts = path.split("/")
        place = "/".join(parts[:depth])
        if len(parts) > depth and fnmatch.fnmatch(place, group.strip("/")):
            found.setdefault(place, {})["/".join(parts[depth:])] = array
    if not found:
        raise UserError(f"{name}: no group matches {group!r}.")
    return dict(
        sorted(found.items(), key=lambda item: [int(n) if n.isdigit() else n for n in re.split(r"(\d+)", item[0])])
    )
