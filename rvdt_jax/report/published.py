"""The published scores, where their source contradicts itself, and the protocol of QT's scores.

QT publishes the maximum over the evaluations of a training, each of ten episodes. It is a maximum over noisy
evaluations, so it lies above the score of the final checkpoint. The tables show it in a column of its own, headed
``(max)``, and compute it from the raw returns in ``evaluations.jsonl``.
"""

from __future__ import annotations

import csv
import dataclasses
import functools
import math
from importlib import resources
from typing import NamedTuple

from rvdt_jax.errors import UserError
from rvdt_jax.report.records import mean_return

TABLES = ("gym", "adroit", "kitchen", "maze2d", "antmaze", "maze2d-reward", "low-data", "ablation")
AVERAGE = "average"
EPISODES = 10  # per evaluation in QT's protocol
_HALF_A_DIGIT = 0.05 + 1e-9


@dataclasses.dataclass(frozen=True)
class Published:
    """One printed cell.

    Attributes:
        table: one of ``TABLES``.
        regime: D1 to D4 in the table ``low-data``, else "".
        task: the row as the source names it; ``average`` for its printed averages.
        d4rl_task: the task as ``rvdt_jax.tasks`` names it; "" if the source names no data set.
        reward: ``sparse``, ``dense``, or "" if there is one kind only.
        method: the column.
        mean, std: normalised score; None if nothing is printed.
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
    found = []
    for row in csv.DictReader(text.splitlines()):
        table, _, regime = row["table"].partition("-D")  # low-data-D1 to -D4
        row |= {name: float(row[name]) if row[name] else None for name in ("mean", "std")}
        found.append(Published(**row | {"table": table, "regime": regime and f"D{regime}"}))
    return tuple(found)


def cells_of(table: str) -> tuple[Published, ...]:
    """The cells of one table.

    Raises:
        UserError: there is no such table.
    """
    if table not in TABLES:
        raise UserError(f"--table: there is no table {table!r}; choose one of {', '.join(TABLES)}.")
    return tuple(cell for cell in published_scores() if cell.table == table)


def wrong_averages(table: str) -> list[str]:
    """The printed averages of a table that differ from the rounded means of its printed cells, in words."""
    cells, found = cells_of(table), []
    for printed in cells:
        if printed.task != AVERAGE or printed.mean is None:
            continue
        column = printed.method, printed.regime
        parts = [cell.mean for cell in cells if (cell.method, cell.regime) == column and cell.task != AVERAGE]
        mean = math.nan if None in parts else sum(parts) / len(parts)
        if abs(mean - printed.mean) > _HALF_A_DIGIT:
            where = f"{printed.regime}, {printed.method}" if printed.regime else printed.method
            found.append(f"{where}: printed {printed.mean:.1f}, mean of its cells {mean:.2f}")
    return found


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


class Maxima(NamedTuple):
    """The scores of one run by QT's protocol: of each seed the highest mean return, or NaN if every evaluation failed.

    ``evaluations`` is the number that each maximum was taken over, ``episodes`` the number averaged in each of them.
    """

    returns: dict[int, float]
    evaluations: int
    episodes: int


def maxima(evaluations: list[dict], target: str) -> Maxima:
    """The highest evaluation of each seed, the final one included.

    An evaluation in which one of the first ten episodes failed does not count.

    Args:
        evaluations: the records of ``evaluations.jsonl``.
        target: the headline target, as ``results.json`` spells it.
    """
    records = [record for record in evaluations if str(record["target"]) == target]
    means: dict[int, list[float]] = {}
    for record in records:
        means.setdefault(record["seed"], []).append(mean_return({"returns": record["returns"][:EPISODES]}))
    finite = {seed: [mean for mean in values if math.isfinite(mean)] for seed, values in means.items()}
    return Maxima(
        returns={seed: max(values, default=math.nan) for seed, values in finite.items()},
        evaluations=min(map(len, means.values()), default=0),
        episodes=min((len(record["returns"][:EPISODES]) for record in records), default=0),
    )
