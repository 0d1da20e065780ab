"""Reading logs of any layout as columns: CSV, Parquet, NPZ and HDF5, one file or many, in batches of rows."""

from __future__ import annotations

import dataclasses
import fnmatch
import pathlib
import re
from collections.abc import Iterator, Mapping

import numpy as np

from rvdt_jax.errors import UserError, optional_imports

BATCH = 131_072  # rows that are in memory besides the result
SUFFIXES = {".csv": "csv", ".tsv": "csv", ".txt": "csv", ".parquet": "parquet", ".pq": "parquet", ".npz": "npz"}
SUFFIXES |= {".hdf5": "hdf5", ".h5": "hdf5"}


@dataclasses.dataclass(frozen=True)
class Column:
    """A column of a log.

    Attributes:
        name: as the file has it.
        width: numbers a row; 1 for plain columns.
        kind: the letter of its NumPy type: f, i, u, b are numbers; M a time of day; others cannot be learned from.
    """

    name: str
    width: int
    kind: str


class Table:
    """A log as columns; subclasses read one kind of file.

    Attributes:
        name: for messages.
        columns: what there is, by name.
        rows: N.
    """

    name: str
    columns: dict[str, Column]
    rows: int

    def batches(self, names: tuple[str, ...]) -> Iterator[dict[str, np.ndarray]]:
        """The columns of these names, a few rows at a time: (n,) arrays, or (n, width) where the width is above 1."""
        raise NotImplementedError

    def match(self, pattern: str) -> list[str]:
        """The names that a name or a glob means, in the order of the file.

        Raises:
            UserError: none; the message lists what there is.
        """
        found = [pattern] if pattern in self.columns else fnmatch.filter(self.columns, pattern)
        if not found:
            raise UserError(f"{self.name}: there is no column {pattern!r}. {self.listing()}")
        return found

    def listing(self) -> str:
        """The columns, for a message."""
        shown = [f"{each.name} ({each.width})" if each.width > 1 else each.name for each in self.columns.values()]
        more = f" and {len(shown) - 60} more" if len(shown) > 60 else ""
        return f"The columns are {', '.join(shown[:60])}{more}."


def open_table(files: list[pathlib.Path], group: str | None = None) -> Table:
    """The log in these files, which are of one kind and laid behind each other.

    Args:
        files: one or more.
        group: of an HDF5 file, a glob of groups that hold one episode each (``data/demo_*``); their numbers become the
            column ``(group)``.

    Raises:
        UserError: a file is missing, of another kind than can be read, or has other columns than the first.
    """
    for file in files:
        if not file.is_file():
            raise UserError(f"{file}: there is no such file.")
    kinds = {SUFFIXES.get(file.suffix.lower(), file.suffix) for file in files}
    if len(kinds) > 1 or not kinds <= set(SUFFIXES.values()):
        raise UserError(
            f"{files[0]}: files must be of one kind, and end in one of {', '.join(SUFFIXES)}; these end in "
            f"{', '.join(sorted({file.suffix for file in files}))}."
        )
    if group is not None and kinds != {"hdf5"}:
        raise UserError("--group is for HDF5 files, whose groups hold one episode each.")
    kind = kinds.pop()
    options = () if group is None else (group,)
    with optional_imports(str(files[0])):
        parts = [_KINDS[kind](file, *options) for file in files]
    return parts[0] if len(parts) == 1 else _Chain(parts)


class _Chain(Table):
    """Several tables of equal columns, one behind the other."""

    def __init__(self, parts: list[Table]):
        self._parts, self.name, self.columns = parts, f"{parts[0].name} and {len(parts) - 1} more", parts[0].columns
        self.rows = sum(part.rows for part in parts)
        for part in parts[1:]:
            other = {name: column.width for name, column in part.columns.items()}
            if other != {name: column.width for name, column in self.columns.items()}:
                raise UserError(f"{part.name}: its columns are not those of {parts[0].name}. {part.listing()}")

    def batches(self, names: tuple[str, ...]) -> Iterator[dict[str, np.ndarray]]:
        for part in self._parts:
            yield from part.batches(names)


class CsvTable(Table):
    """A CSV file with a header; the separator is a comma, a semicolon or a tab, whichever the header has most of."""

    def __init__(self, file: pathlib.Path):
        from pyarrow import csv

        self._file, self.name, self._csv = file, file.name, csv
        with file.open("rb") as lines:
            header = lines.readline()
            self.rows = sum(chunk.count(b"\n") for chunk in iter(lambda: lines.read(1 << 20), b""))
        self._separator = max(",;\t", key=lambda sign: header.count(sign.encode()))
        first = next(self._read(None), None)
        if first is None:
            raise UserError(f"{file.name}: there are no rows below the header.")
        self.columns = {field.name: _arrow_column(field, first.column(field.name)) for field in first.schema}
        with file.open("rb") as lines:
            lines.seek(-1, 2)
            self.rows += lines.read(1) != b"\n"  # the last line may end without one

    def _read(self, names: tuple[str, ...] | None):
        csv = self._csv
        convert = csv.ConvertOptions(include_columns=names) if names else csv.ConvertOptions()
        parse, read = csv.ParseOptions(delimiter=self._separator), csv.ReadOptions(block_size=1 << 24)
        try:
            with csv.open_csv(self._file, read_options=read, parse_options=parse, convert_options=convert) as reader:
                yield from reader
        except Exception as error:  # Arrow's own exception types, ValueErrors all
            raise UserError(f"{self.name}: not readable as CSV: {' '.join(str(error).split())}") from error

    def batches(self, names: tuple[str, ...]) -> Iterator[dict[str, np.ndarray]]:
        for batch in self._read(names):
            yield {name: _from_arrow(self.name, name, batch.column(name)) for name in names}


class ParquetTable(Table):
    """A Parquet file; lists of fixed length are columns of that width."""

    def __init__(self, file: pathlib.Path):
        from pyarrow import parquet

        self.name = file.name
        try:
            self._file = parquet.ParquetFile(file, pre_buffer=False, buffer_size=1 << 20)
        except Exception as error:
            raise UserError(f"{file}: not readable as Parquet: {' '.join(str(error).split())}") from error
        self.rows = self._file.metadata.num_rows
        first = next(self._file.iter_batches(batch_size=1), None)
        if first is None:
            raise UserError(f"{file.name}: there are no rows.")
        self.columns = {field.name: _arrow_column(field, first.column(field.name)) for field in first.schema}

    def batches(self, names: tuple[str, ...]) -> Iterator[dict[str, np.ndarray]]:
        for batch in self._file.iter_batches(batch_size=BATCH, columns=list(names)):
            yield {name: _from_arrow(self.name, name, batch.column(name)) for name in names}


class ArrayTable(Table):
    """Arrays in memory: those that have as many rows as most of them.

    Args:
        name: for messages.
        arrays: by name; anything that NumPy takes for an array of one or more dimensions, a pandas column included.
    """

    def __init__(self, name: str, arrays: Mapping):
        self.name = name
        converted = {str(key): np.asarray(arrays[key]) for key in arrays}
        self._arrays = {key: array for key, array in converted.items() if array.ndim}
        self.rows, self.columns = _array_columns(name, self._arrays)

    def batches(self, names: tuple[str, ...]) -> Iterator[dict[str, np.ndarray]]:
        for start in range(0, self.rows, BATCH):
            yield {name: _rows_of(self._arrays[name], start) for name in names}


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


class Hdf5Table(Table):
    """The arrays of an HDF5 file by their paths; or those of all groups that a glob names, one episode each."""

    def __init__(self, file: pathlib.Path, group: str | None = None):
        import h5py

        self.name = file.name
        try:
            self._file = h5py.File(file, "r")
        except OSError as error:
            raise UserError(f"{file}: not readable as HDF5: {error}") from error
        arrays: dict[str, h5py.Dataset] = {}
        self._file.visititems(lambda name, item: arrays.update({name: item} if getattr(item, "ndim", 0) else {}))
        self._groups = {"": arrays} if group is None else _grouped(self.name, arrays, group)
        self._counts = {}
        for number, (place, each) in enumerate(self._groups.items()):
            rows, columns = _array_columns(f"{self.name}: {place}" if place else self.name, each)
            self._counts[place] = rows
            if number == 0:
                self.columns = columns
        if group is not None:
            self.columns = self.columns | {"(group)": Column("(group)", 1, "i")}
        self.rows = sum(self._counts.values())

    def batches(self, names: tuple[str, ...]) -> Iterator[dict[str, np.ndarray]]:
        for number, (place, arrays) in enumerate(self._groups.items()):
            for start in range(0, self._counts[place], BATCH):
                count = min(BATCH, self._counts[place] - start)
                batch = {}
                for name in names:
                    if name != "(group)" and name not in arrays:
                        raise UserError(f"{self.name}: group {place} has no array {name!r}.")
                    batch[name] = np.full(count, number) if name == "(group)" else _rows_of(arrays[name], start, count)
                yield batch


_KINDS = {"csv": CsvTable, "parquet": ParquetTable, "npz": _npz_table, "hdf5": Hdf5Table}


def _arrow_column(field, values) -> Column:
    import pyarrow as pa

    kind, width = field.type, 1
    if pa.types.is_list(kind) or pa.types.is_fixed_size_list(kind) or pa.types.is_large_list(kind):
        width, kind = len(values[0].as_py() or ()), kind.value_type
    try:
        letter = np.dtype(kind.to_pandas_dtype()).kind
    except NotImplementedError:
        letter = "O"
    return Column(field.name, width, letter)


def _from_arrow(table: str, name: str, values) -> np.ndarray:
    """A column of a batch as NumPy; an empty entry becomes NaN."""
    import pyarrow as pa

    if pa.types.is_nested(values.type):
        flat = values.flatten()
        if values.null_count or len(flat) % max(len(values), 1):
            raise UserError(f"{table}: the lists of column {name!r} have different lengths.")
        return flat.to_numpy(zero_copy_only=False).reshape(len(values), -1)
    return values.to_numpy(zero_copy_only=False)


def _array_columns(name: str, arrays: dict) -> tuple[int, dict[str, Column]]:
    """How many rows most arrays have, and those that have as many."""
    if not arrays:
        raise UserError(f"{name}: there are no arrays in it.")
    counts = [array.shape[0] for array in arrays.values()]
    rows = max(set(counts), key=counts.count)
    columns = {
        key: Column(key, int(np.prod(array.shape[1:])), array.dtype.kind)
        for key, array in arrays.items()
        if array.shape[0] == rows
    }
    return rows, columns


def _rows_of(array, start: int, count: int = BATCH) -> np.ndarray:
    part = np.asarray(array[start : start + count])
    return part if part.ndim == 1 else part.reshape(len(part), -1)


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
