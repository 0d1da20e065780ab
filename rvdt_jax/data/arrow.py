"""CSV and Parquet files as tables, read with pyarrow."""

from __future__ import annotations

import codecs
import gzip
import itertools
import pathlib
import re
from collections.abc import Iterator

import numpy as np

from rvdt_jax.data.table import BATCH, Column, Table
from rvdt_jax.errors import UserError, one_line

_BLOCK = 1 << 24  # bytes of a CSV file that are in memory at once
_TOP = 100  # rows that decide about the decimal sign
_EXACT = 2**53  # larger whole numbers are ids; float64 would merge neighbours


class CsvTable(Table):
    """A CSV file with a header; its separator is a comma, a semicolon or a tab, whichever the header has most of.

    Empty lines, and lines that begin with #, are skipped above the header; above numbers the last such line is the
    header, as NumPy writes it. A comma may be the decimal sign beside the other separators. Whole numbers are read as
    float64, since later rows of such a column may have a fraction.
    """

    def __init__(self, file: pathlib.Path):
        from pyarrow import csv

        self._file, self.name, self._csv = file, file.name, csv
        with gzip.open(file) if file.suffix.lower() == ".gz" else file.open("rb") as lines:
            self._skipped, comment, line = 0, b"", lines.readline().removeprefix(codecs.BOM_UTF8)
            while line and (not line.strip() or line.startswith(b"#")):
                self._skipped, comment, line = self._skipped + 1, line.strip(b"# \t\r\n") or comment, lines.readline()
            top = [line, *itertools.islice(lines, _TOP)]
            rest = sum(chunk.count(b"\n") for chunk in iter(lambda: lines.read(1 << 20), b""))
        self.rows = len(top) + rest + 1  # at most
        self._names, self._separator = _header(file.name, comment, line)
        self._decimal = _decimal_sign(top, self._separator)
        if self._decimal == b",":
            self.notes = ("commas are read as decimal signs",)
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
            include_columns=names or None, column_types=types or None, decimal_point=self._decimal.decode()
        )
        parse = csv.ParseOptions(delimiter=self._separator.decode())
        read = csv.ReadOptions(block_size=_BLOCK, skip_rows=self._skipped, column_names=self._names)
        try:
            with csv.open_csv(self._file, read_options=read, parse_options=parse, convert_options=convert) as reader:
                yield from reader
        except Exception as error:  # Arrow's own exception types, ValueErrors all
            raise UserError(f"{self.name}: not readable as CSV: {one_line(error)}") from error

    def batches(self, names: tuple[str, ...]) -> Iterator[dict[str, np.ndarray]]:
        for batch in self._read(names):
            yield {name: _from_arrow(self.name, name, batch.column(name)) for name in names}


def _header(name: str, comment: bytes, line: bytes) -> tuple[list[str] | None, bytes]:
    """The names, None where the line holds them, and the separator; ``comment`` is the last one above the line."""
    try:
        for header in (comment, line):
            header.decode()
            separator = max((b",", b";", b"\t"), key=header.count)
            fields = line.split(separator)
            same = header is comment and header.count(separator) == len(fields) - 1 > 0
            if same and any(_is_number(field) for field in fields):
                return [field.strip() for field in header.decode().split(separator.decode())], separator
    except UnicodeDecodeError as error:
        raise UserError(f"{name}: its header is not UTF-8. Save it with that encoding.") from error
    return None, separator


def _is_number(field: bytes) -> bool:
    try:
        float(field.replace(b",", b"."))
    except ValueError:
        return False
    return True


def _decimal_sign(rows: list[bytes], separator: bytes) -> bytes:
    """A comma where some number has one and none a point; 1,000 may be either and does not count."""
    fields = [field.strip() for row in rows for field in row.split(separator)] if separator != b"," else []
    commas = [field for field in fields if re.fullmatch(rb"[-+]?\d*,\d+", field)]
    has_points = any(re.fullmatch(rb"[-+]?\d*\.\d+", field) for field in fields)
    sure = any(not re.fullmatch(rb"[-+]?[1-9]\d{0,2},\d{3}", field) for field in commas)
    return b"," if sure and not has_points else b"."


class ParquetTable(Table):
    """A Parquet file; lists of fixed length are columns of that width."""

    def __init__(self, file: pathlib.Path):
        from pyarrow import parquet

        self.name = file.name
        try:
            self._file = parquet.ParquetFile(file, pre_buffer=False, buffer_size=1 << 20)
        except Exception as error:
            raise UserError(f"{file}: not readable as Parquet: {one_line(error)}") from error
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
