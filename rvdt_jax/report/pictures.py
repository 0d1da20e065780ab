"""Pictures of our cells: scores by row beside the published ones, learning curves, and the returns of all episodes."""

from __future__ import annotations

import io
import math
import pathlib
from collections.abc import Callable

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np

from rvdt_jax.report.cells import Cell
from rvdt_jax.report.plots import COLOURS, draw_curve
from rvdt_jax.report.records import read_lines
from rvdt_jax.report.tables import Table, headline_columns
from rvdt_jax.tasks import get_task

Draw = Callable[[plt.Axes, str, dict[str, Cell]], None]
_COLUMNS = 3  # of panels
# A variant has one colour in all pictures.
_COLOUR_OF = dict(zip(("DT", "QT", "VDT", "RVDT", "RDT", "DT-Dup", "RVDT-Determ", "RVDT-Dup"), COLOURS, strict=True))


def score_picture(table: Table) -> plt.Figure:
    """A group of bars a row that was run: our means with their std over seeds, and published scores as dashed lines."""
    columns = headline_columns(table)
    rows = [row for row in table.rows if any(table.cell(row, column.variant) for column in columns)]
    figure, axes = plt.subplots(figsize=(max(6.0, 1.6 * len(rows)), 3.6), layout="constrained")
    width = 0.8 / max(1, len(columns))
    for number, column in enumerate(columns):
        colour = _COLOUR_OF[column.variant]
        for place, row in enumerate(rows):
            left = place - 0.4 + number * width
            cell, published = table.cell(row, column.variant), row.published.get(column.variant)
            if cell and cell.mean is not None:
                axes.bar(left, cell.mean, width * 0.9, align="edge", color=colour)
                axes.errorbar(left + width * 0.45, cell.mean, cell.score()[1], color="black", elinewidth=0.8)
            if published and published.mean is not None:
                axes.hlines(published.mean, left, left + width * 0.9, color="black", linestyle="--", linewidth=1.2)
        axes.bar(0, 0, color=colour, label=f"{column.variant}, ours")
    if any(column.variant in row.published for column in columns for row in rows):
        axes.plot([], [], color="black", linestyle="--", label="published")
    axes.set(xticks=range(len(rows)), ylabel="normalised score")
    axes.set_xticklabels([row.label for row in rows], fontsize=7)
    return _finish(figure)


def task_pictures(cells: dict[tuple[str, str], dict[str, Cell]], draw: Draw) -> plt.Figure:
    """A panel for each task and regime. ``cells``: (task, regime) -> variant -> cell; ``draw``: one of those below."""
    columns = min(_COLUMNS, len(cells))
    size = math.ceil(len(cells) / columns), columns
    figure, grid = plt.subplots(*size, figsize=(4.2 * size[1], 3.2 * size[0]), layout="constrained", squeeze=False)
    for axes in grid.flat[len(cells) :]:
        axes.remove()
    for axes, ((task, regime), by_variant) in zip(grid.flat, cells.items(), strict=False):
        draw(axes, task, by_variant)
        axes.set_title(f"{task} {regime}".strip(), fontsize=9)
    return _finish(figure)


def draw_curves(axes: plt.Axes, task: str, cells: dict[str, Cell]) -> None:
    """Normalised score against updates, a colour for each variant."""
    references = get_task(task).ref_min_return, get_task(task).ref_max_return
    for variant, cell in cells.items():
        records = _records(cell)
        if records:  # results.json may be kept alone
            draw_curve(axes, records, records[0]["target"], references, colour=_COLOUR_OF[variant], label=variant)
    axes.set(xlabel="updates", ylabel="score (mean and range over seeds)")


def draw_returns(axes: plt.Axes, task: str, cells: dict[str, Cell]) -> None:
    """Of all final episodes of all seeds the share whose return is at most x; a dotted line at the return asked for."""
    targets = set()
    for variant, cell in cells.items():
        finals = [record for record in _records(cell) if record["final"]]
        returns = np.sort([value for record in finals for value in record["returns"] if value is not None])
        if returns.size:
            shares = np.arange(1, returns.size + 1) / returns.size
            axes.step(returns, shares, where="post", color=_COLOUR_OF[variant], label=variant)
        targets |= {record["target"] for record in finals}
    for target in sorted(target for target in targets if isinstance(target, (int, float))):
        axes.axvline(target, color="grey", linestyle=":", linewidth=1.2)
    axes.set(xlabel="return of an episode (dotted: asked for)", ylabel="share with at most that", ylim=(0, 1))


def save(figure: plt.Figure, path: pathlib.Path) -> None:
    """Writes a PNG. Equal records give equal bytes, for one version of matplotlib."""
    figure.savefig(path, dpi=110, metadata={"Software": None})
    plt.close(figure)


def as_svg(figure: plt.Figure) -> str:
    """The figure as an SVG element; equal pictures are equal text, and words stay text."""
    file = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": "rvdt_jax", "svg.fonttype": "none"}):
        figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None})
    plt.close(figure)
    return file.getvalue()[file.getvalue().index("<svg") :]


def _records(cell: Cell) -> list[dict]:
    """The evaluations of a cell at its headline target."""
    records = [record for folder in cell.folders for record in read_lines(folder / "evaluations.jsonl")]
    return [record for record in records if str(record["target"]) == cell.target]


def _finish(figure: plt.Figure) -> plt.Figure:
    """One legend above all panels: looking for the best place inside takes seconds where there are many points."""
    entries = {}
    for axes in figure.axes:
        axes.spines[["top", "right"]].set_visible(False)
        handles, labels = axes.get_legend_handles_labels()
        entries |= dict(zip(labels, handles, strict=True))
    columns = max(3, int(figure.get_figwidth() / 1.3))
    figure.legend(entries.values(), entries, loc="outside upper left", frameon=False, fontsize=8, ncols=columns)
    return figure
