"""CSV and Parquet files as tables, read with pyarrow."""

from __future__ import annotations

import gzip
import pathlib
import re
from collections.abc import Iterator

import numpy as np

from rvdt_jax.data.table import BATCH, Column, Table
from rvdt_jax.errors import UserError

_BLOCK = 1 << 24  # bytes of a CSV file that are in memory at once
_EXACT = 2**53  # larger whole numbers are ids; float64 would merge neighbours


class CsvTable(Table):
    """A CSV file with a header; its separator is a comma, a semicolon or a tab, whichever the header has most of.

    Lines that begin with # above the header are skipped. Beside semicolons, a comma in the first row is a decimal one.
    Whole numbers are read as float64, since later rows of such a column may have a fraction.
    """

    def __init__(self, file: pathlib.Path):
        from pyarrow import csv

        self._file, self.name, self._csv = file, file.name, csv
        with gzip.open(file) if file.suffix.lower() == ".gz" else file.open("rb") as lines:
            self._skipped, header = _find_header(lines)
            row = lines.readline()
            self.rows = 2 + sum(chunk.count(b"\n") for chunk in iter(lambda: lines.read(1 << 20), b""))  # or one less
        try:
            header.decode()
        except UnicodeDecodeError as error:
            raise UserError(f"{file.name}: its header is not UTF-8. Save it with that encoding.") from error
        self._separator = max(",;\t", key=lambda sign: header.count(sign.encode()))
        self._decimal = "," if self._separator == ";" and b"," in row else "."
        first = next(self._read(None), None)
        if first is None:
            raise UserError(f"{file.name}: there are no rows below the header.")
        twice = sorted({name for name in first.schema.names if first.schema.names.count(name) > 1})
        if twice:
            raise UserError(f"{file.name}: its header has {', '.join(twice)} more than once. Rename one of them.")
        self.columns = {field.name: _arrow_column(field, first.column(field.name)) for field in first.schema}
        self._types = {name: "float64" for name in self.columns if _is_small_integer(first.column(name))}

    def _read(self, names: tuple[str, ...] | None):
        csv = self._csv
        types = {name: self._types[name] for name in names or () if name in self._types}
        convert = csv.ConvertOptions(
            include_columns=names or None, column_types=types or None, decimal_point=self._decimal
        )
        parse = csv.ParseOptions(delimiter=self._separator)
        read = csv.ReadOptions(block_size=_BLOCK, skip_rows=self._skipped)
        try:
            with csv.open_csv(self._file, read_options=read, parse_options=parse, convert_options=convert) as reader:
                yield from reader
        except Exception as error:  # Arrow's own exception types, ValueErrors all
            raise UserError(f"{self.name}: not readable as CSV: {' '.join(str(error).split())}") from error

    def batches(self, names: tuple[str, ...]) -> Iterator[dict[str, np.ndarray]]:
        for batch in self._read(names):
            yield {name: _from_arrow(self.name, name, batch.column(name)) for name in names}


def _find_header(lines) -> tuple[int, bytes]:
    """How many lines of comments come first, and the header below; NumPy's ``savetxt`` makes that one, too."""
    skipped, header = 0, lines.readline()
    while header.startswith(b"#"):
        mark = lines.tell()
        below = lines.readline()
        if not below.startswith(b"#") and re.match(rb"\s*[-+.\d]", below):  # numbers: their header begins with #
            lines.seek(mark)
            break
        skipped, header = skipped + 1, below
    return skipped, header


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


def _is_small_integer(values) -> bool:
    import pyarrow as pa
    from pyarrow import compute

    if not pa.types.is_integer(values.type):
        return False
    ends = compute.min_max(values).as_py().values()
    return all(end is None or abs(end) < _EXACT for end in ends)


def _from_arrow(table: str, name: str, values) -> np.ndarray:
    """A column of a batch as NumPy; an empty entry becomes NaN."""
    import pyarrow as pa

    if pa.types.is_nested(values.type):
        flat = values.flatten()
        if values.null_count or len(flat) % max(len(values), 1):
            raise UserError(f"{table}: the lists of column {name!r} have different lengths.")
        return flat.to_numpy(zero_copy_only=False).reshape(len(values), -1)
    return values.to_numpy(zero_copy_only=False)
