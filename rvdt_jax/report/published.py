"""Every published score of the tables that this package reproduces, and where the source contradicts itself."""

from __future__ import annotations

import csv
import dataclasses
import functools
from importlib import resources

from rvdt_jax.errors import UserError

TABLES = ("gym", "adroit", "kitchen", "maze2d", "antmaze", "maze2d-reward", "low-data", "ablation")
AVERAGE = "average"
_LOW_DATA = "low-data-"


@dataclasses.dataclass(frozen=True)
class Published:
    """One printed cell.

    Attributes:
        table: one of ``TABLES``.
        regime: D1 to D4 in the table ``low-data``, else "".
        task: the row as the source names it; ``average`` for its printed averages.
        d4rl_task: the task as ``rvdt_jax.tasks`` names it; "" where the source names no data set.
        reward: ``sparse``, ``dense``, or "" where there is one kind only.
        method: the column.
        mean, std: normalised score; None where nothing is printed.
    """

    table: str
    regime: str
    task: str
    d4rl_task: str
    reward: str
    method: str
    mean: float | None
    std: float | None


@functools.cache
def published_scores() -> tuple[Published, ...]:
    """Every cell, in the order of the reference file."""
    text = (resources.files("rvdt_jax") / "reference" / "published_scores.csv").read_text(encoding="utf-8")
    return tuple(_cell(row) for row in csv.DictReader(text.splitlines()))


def _cell(row: dict[str, str]) -> Published:
    low_data = row["table"].startswith(_LOW_DATA)
    return Published(
        table="low-data" if low_data else row["table"],
        regime=row["table"].removeprefix(_LOW_DATA) if low_data else "",
        task=row["task"],
        d4rl_task=row["d4rl_task"],
        reward=row["reward"],
        method=row["method"],
        mean=_number(row["mean"]),
        std=_number(row["std"]),
    )


def _number(text: str) -> float | None:
    return float(text) if text else None


def cells_of(table: str) -> tuple[Published, ...]:
    """The cells of one table.

    Raises:
        UserError: there is no such table.
    """
    if table not in TABLES:
        raise UserError(f"--table: there is no table {table!r}; choose one of {', '.join(TABLES)}.")
    return tuple(cell for cell in published_scores() if cell.table == table)


def wrong_averages(table: str) -> list[str]:
    """The printed averages of a table that are not the means of its printed cells, rounded as they are, in words."""
    cells, found = cells_of(table), []
    for printed in cells:
        if printed.task != AVERAGE or printed.mean is None:
            continue
        parts = [
            cell.mean
            for cell in cells
            if (cell.method, cell.regime) == (printed.method, printed.regime) and cell.task != AVERAGE
        ]
        if None in parts:
            continue
        mean = sum(parts) / len(parts)
        if abs(mean - printed.mean) > _HALF_A_DIGIT:
            where = f"{printed.regime}, {printed.method}" if printed.regime else printed.method
            found.append(f"{where}: printed {printed.mean:.1f}, mean of its cells {mean:.2f}")
    return found


_HALF_A_DIGIT = 0.05 + 1e-9


def contradictions() -> list[str]:
    """The scores of one method on one task that differ between two tables, in words."""
    values: dict[tuple[str, str], dict[str, float]] = {}
    for cell in published_scores():
        if cell.d4rl_task and not cell.regime and cell.mean is not None:
            values.setdefault((cell.method, cell.d4rl_task), {})[cell.table] = cell.mean
    return [
        f"{method} on {task}: " + ", ".join(f"{mean:.1f} in the table {table}" for table, mean in by_table.items())
        for (method, task), by_table in values.items()
        if len(set(by_table.values())) > 1
    ]
