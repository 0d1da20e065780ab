"""The README's results: of every table the rows of which we ran something, beside the published ones."""

from __future__ import annotations

from rvdt_jax.report.cells import Cell, Key
from rvdt_jax.report.published import TABLES
from rvdt_jax.report.render import emphasised, our_text, published_text
from rvdt_jax.report.sections import markdown_table
from rvdt_jax.report.tables import Column, Row, Table, make_table

MARKERS = ("<!-- results: make tables -->", "<!-- end of results -->")
# The table maze2d holds three of the rows of maze2d-reward, whose footnotes say where the two differ.
_SHOWN = tuple(name for name in TABLES if name != "maze2d")


def results_section(cells: dict[Key, Cell]) -> str:
    """Markdown: our rows beside the published ones, what they rest on, what was not run, and the commands."""
    tables = [make_table(name, cells) for name in _SHOWN]
    parts = [part for table in tables for part in _table(table)]
    if not parts:
        return "Nothing was run yet."
    return "\n\n".join([*parts, *_commands(cells)])


def _table(table: Table) -> list[str]:
    rows = [row for row in table.rows if any(table.cell(row, variant) for variant in table.variants)]
    if not rows:
        return []
    compared = any(row.published for row in rows)
    headings = [""]
    for column in table.columns:
        headings += [f"{column.variant}, published"] if _has_published(table, column, compared) else []
        headings += [column.heading if compared else column.heading.replace(", ours", "")]
    rows += [row for row in table.rows if row.average and any(table.average(row, each) for each in table.columns)]
    body = [[row.label, *_scores(table, row, compared)] for row in rows]
    parts = [f"**{table.title}**", markdown_table(headings, body), f"Ours: {_rests_on(table)}."]
    missing = [f"{row.label} {variant}" for row, variant in table.missing() if row in rows]
    parts += [f"Not run: {', '.join(missing)}."] if missing else []
    return [*parts, "\n".join(f"* {note}" for note in table.notes)]


def _has_published(table: Table, column: Column, compared: bool) -> bool:
    """Whether a published column stands before this one of ours: once a variant, if the source has it."""
    return compared and not column.maximum and column.variant in table.methods


def _scores(table: Table, row: Row, compared: bool) -> list[str]:
    found = []
    for column in table.columns:
        if _has_published(table, column, compared):
            found.append(published_text(row.published.get(column.variant), " ± "))
        found.append(emphasised(column, our_text(table, row, column, " ± ")))
    return found


def _rests_on(table: Table) -> str:
    """What the numbers of ours in one table rest on."""
    cells = [cell for _, _, cell in table.cells()]
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
    return "; ".join(_one_of(alternatives) for alternatives in words if alternatives)


def _one_of(alternatives: set[str]) -> str:
    """``a or b``; where there are several, those with commas stand in brackets."""
    bracketed = [f"({words})" if "," in words and len(alternatives) > 1 else words for words in sorted(alternatives)]
    return " or ".join(bracketed)


def _commands(cells: dict[Key, Cell]) -> list[str]:
    commands = [cell.command for cell in cells.values() if cell.command]
    if not commands:
        return []
    lines = "\n".join(commands)
    return [f"<details><summary>The command of each cell</summary>\n\n```text\n{lines}\n```\n\n</details>"]
