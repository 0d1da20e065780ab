"""Our rows of the published tables beside the published ones, for the pages; and the headline with its picture."""

from __future__ import annotations

import pathlib
from collections.abc import Sequence

from rvdt_jax.report.cells import Cell, Key
from rvdt_jax.report.published import TABLES
from rvdt_jax.report.render import emphasised, markdown_table, our_text, published_text
from rvdt_jax.report.tables import Column, Row, Table, make_table, others_of, variants_of

# The table maze2d holds three of the rows of maze2d-reward, whose footnotes say where the two differ.
_SHOWN = tuple(name for name in TABLES if name != "maze2d")


def results_section(cells: dict[Key, Cell]) -> str:
    """Markdown for every table with a row of ours: scores, data and hardware, what was not run; then the commands."""
    tables = [make_table(name, cells) for name in _SHOWN]
    parts = [part for table in tables if (rows := _run_rows(table)) for part in _table_with_notes(table, rows)]
    parts += _others(make_table("maze2d", cells))
    if not parts:
        return "Nothing was run yet."
    commands = "\n".join(cell.command for cell in cells.values() if cell.command)
    if commands:
        parts.append(f"<details><summary>The command of each cell</summary>\n\n```text\n{commands}\n```\n\n</details>")
    return "\n\n".join(parts)


def headline_section(cells: dict[Key, Cell]) -> str:
    """Markdown: the maze2d rows, final checkpoints beside published scores, without footnotes."""
    table = make_table("maze2d", cells)
    rows = _run_rows(table)
    if not rows:
        return "Nothing was run yet."
    columns = _final(table)
    return f"{_beside_published(table, rows, columns)}\n\n{_rests_on(table, [column.variant for column in columns])}"


def _final(table: Table) -> list[Column]:
    """The columns of final checkpoints, without the algorithms that are compared with them."""
    return [column for column in table.columns if not column.maximum and column.variant in variants_of(table.name)]


def _others(table: Table) -> list[str]:
    """Other algorithms: a row each, final checkpoints beside published scores."""
    variants = [variant for variant in table.variants if variant in others_of(table.name)]
    if not any(variant in variants for _, variant, _ in table.cells()):
        return []
    rows = [row for row in table.rows if row.task]
    headings = ["", *(f"{row.label}, {whose}" for row in rows for whose in ("published", "ours"))]
    lines = [[variant, *_both(table, rows, variant)] for variant in variants]
    return [f"### {table.title}, other algorithms", markdown_table(headings, lines), _rests_on(table, variants)]


def _both(table: Table, rows: list[Row], variant: str) -> list[str]:
    column = Column(variant)
    pairs = ((row.published.get(variant), emphasised(column, our_text(table, row, column))) for row in rows)
    return [text for published, ours in pairs for text in (published_text(published), ours)]


def _run_rows(table: Table) -> list[Row]:
    """The rows with a cell of ours, and the averages that have a value."""
    rows = [row for row in table.rows if any(table.cell(row, variant) for variant in table.variants)]
    averages = [row for row in table.rows if row.average and any(table.average(row, each) for each in table.columns)]
    return rows + averages if rows else []


def _table_with_notes(table: Table, rows: list[Row]) -> list[str]:
    files = ", ".join(f"[{kind}](tables/{table.name}.{suffix})" for kind, suffix in _FILES)
    parts = [f"### {table.title}", _beside_published(table, rows, table.columns), _rests_on(table, table.variants)]
    missing = [f"{row.label} {variant}" for row, variant in table.missing() if row in rows]
    parts += [f"Not run: {', '.join(missing)}."] if missing else []
    return [*parts, "\n".join(f"* {note}" for note in table.notes), f"With every published method: {files}."]


_FILES = (("Markdown", "md"), ("LaTeX", "tex"), ("CSV", "csv"))


def _beside_published(table: Table, rows: list[Row], columns: list[Column]) -> str:
    """Each variant's published column, if the source has it for these rows, then ours."""
    compared = any(row.published for row in rows)
    headings, body = [""], [[row.label] for row in rows]
    for column in columns:
        if compared and not column.maximum and column.variant in table.methods:
            headings.append(f"{column.variant}, published")
            for line, row in zip(body, rows, strict=True):
                line.append(published_text(row.published.get(column.variant)))
        headings.append(column.heading if compared else column.heading.replace(", ours", ""))
        for line, row in zip(body, rows, strict=True):
            line.append(emphasised(column, our_text(table, row, column)))
    return markdown_table(headings, body)


def _rests_on(table: Table, variants: Sequence[str]) -> str:
    """A sentence: data, model, updates, episodes and hardware of our cells of some variants in one table."""
    cells = [cell for _, variant, cell in table.cells() if variant in variants]
    data = {cell.data for cell in cells if cell.data}
    if all(cell.recreated for cell in cells if cell.data):
        names = sorted(name.split(":")[0] for name in data)
        data = {f"recreated data, not D4RL's files ({', '.join(names)})"}
    words = (
        data,
        {cell.size for cell in cells if cell.size},
        {f"{cell.steps:,} updates" for cell in cells if cell.steps},
        {f"{len(cell.scores)} seeds of {cell.episodes} episodes" for cell in cells if cell.scores},
        {cell.hardware for cell in cells if cell.hardware},
    )
    return f"Ours: {'; '.join(_one_of(alternatives) for alternatives in words if alternatives)}."


def _one_of(alternatives: set[str]) -> str:
    """``a or b``; of several, those with commas stand in brackets."""
    bracketed = [f"({words})" if "," in words and len(alternatives) > 1 else words for words in sorted(alternatives)]
    return " or ".join(bracketed)


def draw_headline(cells: dict[Key, Cell], path: pathlib.Path) -> None:
    """Draws the headline's table: a group of bars per task, our mean and std over seeds, the published score as a line.

    Equal records give equal bytes, for one version of matplotlib.
    """
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    from rvdt_jax.report.plots import COLOURS

    table = make_table("maze2d", cells)
    rows, columns = [row for row in _run_rows(table) if row.task], _final(table)
    figure, axes = plt.subplots(figsize=(7.2, 3.6), layout="constrained")
    width = 0.8 / max(1, len(columns))
    for number, column in enumerate(columns):
        for place, row in enumerate(rows):
            left = place - 0.4 + number * width
            cell, published = table.cell(row, column.variant), row.published.get(column.variant)
            if cell and cell.mean is not None:
                axes.bar(left, cell.mean, width * 0.9, align="edge", color=COLOURS[number])
                axes.errorbar(left + width * 0.45, cell.mean, cell.score()[1], color="black", elinewidth=0.8)
            if published and published.mean is not None:
                axes.hlines(published.mean, left, left + width * 0.9, color="black", linestyle="--", linewidth=1.2)
        axes.bar(0, 0, color=COLOURS[number], label=f"{column.variant}, ours")
    axes.plot([], [], color="black", linestyle="--", label="published")
    axes.set(xticks=range(len(rows)), xticklabels=[row.label for row in rows], ylabel="normalised score")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=8, loc="lower left", bbox_to_anchor=(0, 1), ncols=len(columns) + 1)
    figure.savefig(path, dpi=130, metadata={"Software": None})
    plt.close(figure)
