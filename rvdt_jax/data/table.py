"""What a log is to the importer: named columns, read in batches of rows."""

from __future__ import annotations

import dataclasses
import fnmatch
from collections.abc import Iterator, Mapping
from types import MappingProxyType

import numpy as np

from rvdt_jax.errors import UserError

BATCH = 131_072  # rows that are in memory besides the result


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
        left_out: arrays of another number of rows than most, and their number.
        notes: sentences on how it was brought to one row a step.
    """

    name: str
    columns: dict[str, Column]
    rows: int
    left_out: Mapping[str, int] = MappingProxyType({})
    notes: tuple[str, ...] = ()

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
        others = ", ".join(f"{name} ({rows} rows)" for name, rows in list(self.left_out.items())[:20])
        others = (
            f" Other arrays have not {self.rows} rows: {others}. Cut them to one row for each step." if others else ""
        )
        return f"The columns are {', '.join(shown[:60])}{more}.{others}"


def as_rows(name: str, values) -> np.ndarray:
    """What has one row a step as an array; a time with a zone, which pandas gives as objects, in UTC.

    Raises:
        UserError: it is a dict, or a list whose entries have several lengths; the message names it by ``name``.
    """
    has_zone = str(getattr(values, "dtype", "")).startswith("datetime64[ns, ")
    try:
        array = np.asarray(values, "datetime64[ns]" if has_zone else None)
        first = array.flat[0] if array.dtype.kind == "O" and array.size else None
        if isinstance(first, Mapping):
            raise ValueError("it is a dict")
        return np.stack(list(array)) if isinstance(first, list | np.ndarray) else array  # pandas' columns of lists
    except ValueError as error:
        raise UserError(
            f"{name}: not one array of one row a step: {str(error).rstrip('.')}. Lay episodes behind each "
            "other, as np.concatenate does, and name episode ids; lay the entries of a dict beside each other."
        ) from error
