"""The layout of the published tables with our cells beside them. ``report.render`` writes them."""

from __future__ import annotations

import dataclasses

from rvdt_jax.report.cells import Cell, Key
from rvdt_jax.report.published import (
    AVERAGE,
    EPISODES,
    Published,
    cells_of,
    contradictions,
    published_scores,
    wrong_averages,
)
from rvdt_jax.tasks import get_task

OURS = ("DT", "QT", "RVDT")
WITH_VDT = ("DT", "QT", "VDT", "RVDT")
ABLATION = ("DT", "DT-Dup", "RDT", "QT", "VDT", "RVDT-Dup", "RVDT-Determ", "RVDT")
# The variants of each table that are ours to fill.
VARIANTS_OF = {
    **dict.fromkeys(("gym", "antmaze", "maze2d", "maze2d-reward"), WITH_VDT),
    "low-data": ("QT", "RVDT"),
    "ablation": ABLATION,
}
# Algorithms that stand beside them, by final checkpoints alone; ``sweep.py --variants`` runs them.
OTHERS_OF = {"maze2d": ("BC", "QDT", "TD3+BC", "ReBRAC", "IQL", "O-RL", "CQL", "BCQ", "BEAR", "D-QL")}
# The source's ablation names no data set. That its rows rest on these is our conclusion; see ``_ablation_note``.
ABLATION_DATA = {robot: f"{robot}-medium-expert-v2" for robot in ("halfcheetah", "hopper", "walker2d")}
ABLATION_TASKS = ("maze2d-umaze-v1", "maze2d-medium-v1")  # rows of our own

TITLES = {
    "gym": "Locomotion",
    "adroit": "Adroit",
    "kitchen": "Kitchen",
    "maze2d": "maze2d",
    "antmaze": "AntMaze",
    "maze2d-reward": "maze2d, sparse and dense rewards",
    "low-data": "Low-data regimes",
    "ablation": "Ablation: the eight variants",
}


@dataclasses.dataclass(frozen=True)
class Row:
    """One row: a task, or the averages.

    ``task`` and ``regime`` are of our cells in it; task is "" for averages and if the source names no data set.
    """

    label: str
    task: str
    regime: str
    average: bool
    published: dict[str, Published]  # by method


@dataclasses.dataclass(frozen=True)
class Column:
    """One of our columns: a variant's final checkpoint, which is the headline, or its maximum by QT's protocol."""

    variant: str
    maximum: bool = False

    @property
    def heading(self) -> str:
        """Beside published columns."""
        return f"{self.variant}, ours{' (max)' if self.maximum else ''}"


@dataclasses.dataclass(frozen=True)
class Table:
    """A published table and our cells.

    Attributes:
        methods: the published columns.
        variants: the variants with columns of ours: of ``variants_of`` and ``others_of`` those run or published.
        rows: in the source's order, ours after them.
        notes: footnotes, one or a few sentences each.
    """

    name: str
    title: str
    methods: tuple[str, ...]
    variants: tuple[str, ...]
    rows: tuple[Row, ...]
    ours: dict[Key, Cell]
    notes: tuple[str, ...] = ()

    def cell(self, row: Row, variant: str) -> Cell | None:
        """Our cell, or None if nothing was run."""
        return self.ours.get((row.task, variant, row.regime)) if row.task else None

    @property
    def columns(self) -> tuple[Column, ...]:
        """Our columns: each variant's final checkpoint, and beside it, but for the others, the maximum on record."""
        others = others_of(self.name)
        kinds = {variant: (False, True) for _, variant, cell in self.cells() if cell.maxima and variant not in others}
        return tuple(Column(variant, kind) for variant in self.variants for kind in kinds.get(variant, (False,)))

    @property
    def published_rows(self) -> list[Row]:
        """The rows of the source that stand for one task, without its averages and without rows of our own."""
        return [row for row in self.rows if row.task and row.published]

    def average(self, row: Row, column: Column) -> float | None:
        """Our mean over the rows that a printed average stands for; None unless each of them was run and has a score.

        Rows of our own, which the source does not have, belong to no average of the source's.
        """
        rows = [each for each in self.published_rows if each.regime == row.regime]
        cells = [self.cell(each, column.variant) for each in rows]
        means = [None if cell is None else cell.score(column.maximum)[0] for cell in cells]
        return sum(means) / len(means) if means and None not in means else None

    def cells(self) -> list[tuple[Row, str, Cell]]:
        """Our existing cells, each with its row and variant."""
        return [(row, variant, cell) for row, variant in self._places() if (cell := self.cell(row, variant))]

    def missing(self) -> list[tuple[Row, str]]:
        """Row and variant of every cell that was not run."""
        return [(row, variant) for row, variant in self._places() if row.task and not self.cell(row, variant)]

    def _places(self) -> list[tuple[Row, str]]:
        return [(row, variant) for row in self.rows for variant in self.variants]


def variants_of(table: str) -> tuple[str, ...]:
    """The variants that are ours to run for a table."""
    return VARIANTS_OF.get(table, OURS)


def others_of(table: str) -> tuple[str, ...]:
    """The variants that stand beside them for comparison."""
    return OTHERS_OF.get(table, ())


def headline_columns(table: Table) -> list[Column]:
    """The columns of final checkpoints, without the others."""
    return [column for column in table.columns if not column.maximum and column.variant in variants_of(table.name)]


def cells_by_row(table: Table) -> dict[tuple[str, str], dict[str, Cell]]:
    """(task, regime) -> variant -> cell, of those that have a score; without the others."""
    found: dict[tuple[str, str], dict[str, Cell]] = {}
    for row, variant, cell in table.cells():
        if not cell.failed and variant in variants_of(table.name):
            found.setdefault((row.task, row.regime), {})[variant] = cell
    return found


def make_table(name: str, ours: dict[Key, Cell]) -> Table:
    """Lays out a table.

    Raises:
        UserError: there is no such table.
    """
    cells, rows = cells_of(name), {}
    for cell in cells:
        label = " ".join(filter(None, (cell.regime, cell.d4rl_task or cell.task)))
        task = cell.d4rl_task or (ABLATION_DATA.get(cell.task, "") if name == "ablation" else "")
        row = Row(label, task, cell.regime, cell.task == AVERAGE, {})
        rows.setdefault((cell.regime, cell.task, cell.d4rl_task), row).published[cell.method] = cell
    rows = list(rows.values())
    if name == "ablation":
        rows += [Row(task, task, "", False, {}) for task in ABLATION_TASKS]
    methods = tuple(dict.fromkeys(cell.method for cell in cells))
    run = {variant for row in rows for task, variant, regime in ours if (task, regime) == (row.task, row.regime)}
    variants = tuple(
        variant for variant in (*variants_of(name), *others_of(name)) if variant in run or variant in methods
    )
    table = Table(name, TITLES[name], methods, variants, tuple(rows), ours)
    return dataclasses.replace(table, notes=tuple(_notes(table)))


def _notes(table: Table) -> list[str]:
    name, notes = table.name, []
    wrong = wrong_averages(name)
    if wrong:
        notes.append(f"Printed averages that are not the means of their cells: {'; '.join(wrong)}.")
    if name in ("maze2d", "maze2d-reward"):
        notes.append(f"The source prints two values of one score: {'; '.join(contradictions())}.")
    if name == "ablation":
        notes.append(_ablation_note())
    if name == "low-data":
        notes.append(
            "The source does not define its regimes. Ours keep 10, 5, 2 and 1 % of the trajectories (D1 to D4), drawn "
            "at random and nested: `--config.data.regime`; every run has a draw of its own."
        )
    notes.append(
        f"QT's published scores are maxima over {_qt_evaluations(table)} of {EPISODES} episodes in training. Ours are "
        "the final checkpoint's at the headline target."
    )
    notes += _maximum_note(table)
    return notes


def _ablation_note() -> str:
    """Why the rows of the ablation are taken for medium-expert: two variants stand in both tables."""
    tasks = ABLATION_DATA.values()
    values = {
        (cell.table, cell.d4rl_task or ABLATION_DATA.get(cell.task), cell.method): cell.mean
        for cell in published_scores()
    }
    parts = [
        f"{variant} in the table {table} {', '.join(f'{values[table, task, variant]:.1f}' for task in tasks)}"
        for variant in ("DT", "QT")
        for table in ("ablation", "gym")
    ]
    return (
        f"The source does not say which data sets its rows {', '.join(ABLATION_DATA)} rest on. Its scores are closest "
        f"to those of medium-expert ({'; '.join(parts)}), so our cells of these rows are medium-expert: a conclusion "
        "of ours. The mazes are rows of our own."
    )


def _qt_evaluations(table: Table) -> str:
    """``51 evaluations``; without a number if the source does not name the tasks of its rows."""
    if not all(row.task for row in table.rows if row.published and not row.average):
        return "the evaluations"
    counts = {get_task(row.task).evaluations for row in table.published_rows}
    return f"{' to '.join(map(str, sorted({min(counts), max(counts)})))} evaluations"


def _maximum_note(table: Table) -> list[str]:
    """What the columns headed (max) are, and how many evaluations each of their cells had."""
    cells: dict[str, list[str]] = {}
    for row, variant, cell in table.cells():
        if cell.maxima and variant not in others_of(table.name):
            count = f"{_count(cell.evaluations, 'evaluation')} of {_count(cell.evaluation_episodes, 'episode')}"
            cells.setdefault(count, []).append(f"{row.label} {variant}")
    if not cells:
        return []
    words = [f"{count} in {', '.join(labels) if len(cells) > 1 else 'every cell'}" for count, labels in cells.items()]
    return [
        f"Columns headed (max) follow QT's protocol: for each seed the highest mean return over the first {EPISODES} "
        "episodes of an evaluation, the final one included; then mean ± std over seeds. Ours are maxima over "
        f"{'; '.join(words)}. A maximum over noisy evaluations is biased upwards, and grows with their number: compare "
        "(max) with QT's published scores only."
    ]


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
