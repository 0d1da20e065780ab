"""The published tables with our cells beside them: what stands where. ``report.render`` writes them down."""

from __future__ import annotations

import dataclasses

from rvdt_jax.report.cells import Cell, Key
from rvdt_jax.report.published import AVERAGE, Published, cells_of, contradictions, wrong_averages

OURS = ("DT", "QT", "RVDT")
ABLATION = ("DT", "DT-Dup", "RDT", "QT", "VDT", "RVDT-Dup", "RVDT-Determ", "RVDT")
# The variants of each table that are ours to fill.
VARIANTS_OF = {"low-data": ("QT", "RVDT"), "ablation": ABLATION}
# The source's ablation names no data set, so nothing of ours can stand beside its rows: these are rows of our own.
ABLATION_TASKS = ("maze2d-umaze-v1", "maze2d-medium-v1")

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

    Attributes:
        label: as printed.
        task, regime: what our cells of this row are; task is "" for averages and where the source names no data set.
        average: whether this row holds averages.
        published: method -> cell.
    """

    label: str
    task: str
    regime: str
    average: bool
    published: dict[str, Published]


@dataclasses.dataclass(frozen=True)
class Table:
    """A published table and our cells.

    Attributes:
        name, title: of the table.
        methods: the published columns.
        variants: our columns.
        rows: in the source's order, ours after them.
        ours: our cells, by what they are.
        notes: what a reader must know, one sentence each.
    """

    name: str
    title: str
    methods: tuple[str, ...]
    variants: tuple[str, ...]
    rows: tuple[Row, ...]
    ours: dict[Key, Cell]
    notes: tuple[str, ...]

    def cell(self, row: Row, variant: str) -> Cell | None:
        """Our cell, or None where nothing was run."""
        return self.ours.get((row.task, variant, row.regime)) if row.task else None

    def average(self, row: Row, variant: str) -> float | None:
        """Our mean over the rows that a printed average stands for; None unless each of them was run and has a score.

        Rows of our own, which the source does not have, belong to no average of the source's.
        """
        means = []
        for other in self.rows:
            if other.task and other.published and other.regime == row.regime:
                cell = self.cell(other, variant)
                means.append(None if cell is None else cell.mean)
        return sum(means) / len(means) if means and None not in means else None

    def cells(self) -> list[tuple[Row, str, Cell]]:
        """Every cell of ours that there is, with its row and variant."""
        found = [(row, variant, self.cell(row, variant)) for row in self.rows for variant in self.variants]
        return [(row, variant, cell) for row, variant, cell in found if cell is not None]

    def missing(self) -> list[tuple[Row, str]]:
        """Every cell that was not run."""
        return [
            (row, variant)
            for row in self.rows
            for variant in self.variants
            if row.task and self.cell(row, variant) is None
        ]


def variants_of(table: str) -> tuple[str, ...]:
    """The variants that are ours to fill."""
    return VARIANTS_OF.get(table, OURS)


def make_table(name: str, ours: dict[Key, Cell]) -> Table:
    """Lays a table out.

    Raises:
        ValueError: there is no such table.
    """
    cells = cells_of(name)
    rows = _rows(cells)
    if name == "ablation":
        rows += [Row(task, task, "", False, {}) for task in ABLATION_TASKS]
    return Table(
        name=name,
        title=TITLES[name],
        methods=tuple(dict.fromkeys(cell.method for cell in cells)),
        variants=variants_of(name),
        rows=tuple(rows),
        ours=ours,
        notes=tuple(_notes(name)),
    )


def _rows(cells: tuple[Published, ...]) -> list[Row]:
    rows: dict[tuple, Row] = {}
    for cell in cells:
        key = (cell.regime, cell.task, cell.d4rl_task)
        label = " ".join(filter(None, (cell.regime, cell.d4rl_task or cell.task)))
        row = Row(label, cell.d4rl_task, cell.regime, cell.task == AVERAGE, {})
        rows.setdefault(key, row).published[cell.method] = cell
    return list(rows.values())


def _notes(name: str) -> list[str]:
    notes = []
    wrong = wrong_averages(name)
    if wrong:
        notes.append(f"Printed averages that are not the means of their cells: {'; '.join(wrong)}.")
    differing = [words for words in contradictions() if name in ("maze2d", "maze2d-reward")]
    if differing:
        notes.append(f"The source prints two values of one score: {'; '.join(differing)}.")
    if name == "ablation":
        notes.append(
            "The source's ablation does not say which data sets its rows rest on, so no cell of ours stands beside "
            "them: our rows are tasks of our own choice."
        )
    if name == "low-data":
        notes.append(
            "The source does not define its regimes. Ours keep 10, 5, 2 and 1 % of the trajectories (D1 to D4), drawn "
            "at random and nested: `--config.data.regime`."
        )
    if "QT" in variants_of(name):
        notes.append(
            "QT's published scores are the best over training; ours are the final checkpoint's at the headline target."
        )
    if name.startswith(("maze2d", "low", "ablation")):
        notes.append(
            "The settings of the small model (width 32) were chosen on maze2d-medium-v1 with seeds 100 and 101, mostly "
            "by RVDT's scores, and are the same for every task and variant: see configs/maze2d_small.py."
        )
    return notes
