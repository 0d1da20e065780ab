"""Our rows of the published tables beside the published ones, for the pages; and the headline with its picture."""

from __future__ import annotations

import pathlib

from reporting.removed import removed_files
from rvdt_jax.report.cells import Cell, Key
from rvdt_jax.report.published import TABLES
from rvdt_jax.report.render import emphasised, markdown_table, our_text, published_text
from rvdt_jax.report.tables import Column, Row, Table, cells_by_row, make_table, others_of

# The table maze2d holds three of the rows of maze2d-reward, whose footnotes say where the two differ.
_SHOWN = tuple(name for name in TABLES if name != "maze2d")
_HEADLINE = ("maze2d-reward", "gym", "antmaze", "low-data")


def results_section(cells: dict[Key, Cell]) -> str:
    """Markdown for every table with a row of ours: scores, data and hardware, what was not run; then the commands."""
    tables = [make_table(name, cells) for name in _SHOWN]
    parts = [part for table in tables if (rows := _run_rows(table)) for part in _table_with_notes(table, rows)]
    parts += _others(make_table("maze2d", cells))
    if not parts:
        return "Nothing was run yet."
    commands = "\n".join(cell.command for cell in cells.values() if cell.command)
    if commands:
        remark = f"{removed}\n\n" if (removed := removed_files(commands)) else ""
        parts.append(
            f"<details><summary>The command of each cell</summary>\n\n{remark}```text\n{commands}\n```\n\n</details>"
        )
    return "\n\n".join(parts)


def statistics_section(cells: dict[Key, Cell]) -> str:
    """Markdown: of every table with a row of ours, what can be said of the claim RVDT above QT above DT."""
    from reporting.aggregate import claims

    tables = [table for name in _SHOWN if _run_rows(table := make_table(name, cells))]
    return claims(tables) if tables else "Nothing was run yet."


def headline_section(cells: dict[Key, Cell]) -> str:
    """Markdown: a line a table, our mean final score over its rows beside the published mean over the same rows.

    A row counts if it has two runs of each of DT, QT and RVDT that was run in the table at all. The probabilities that
    a run of one is above a run of another have their 95 % intervals.
    """
    from reporting.aggregate import CLAIM, PAIRS, claim_of

    lines, used = [], []
    for table in (make_table(name, cells) for name in _HEADLINE):
        claim = claim_of(table)
        if not claim.rows:
            continue
        line = [table.title, f"{len(claim.rows)} of {len(table.published_rows)}"]
        for variant in CLAIM:
            line += [_mean_published(claim.rows, variant), _mean_ours(table, claim.rows, variant)]
        lines.append(line + [claim.texts.get(pair, "") for pair in PAIRS])
        used += [cell for row in claim.rows for variant in CLAIM if (cell := table.cell(row, variant))]
    if not lines:
        return "Nothing was run yet."
    headings = [f"{variant}, {whose}" for variant in CLAIM for whose in ("published", "ours")]
    return f"{markdown_table(('', 'rows', *headings, *PAIRS), lines)}\n\n{_rests_on(used, brief=True)}"


def _mean_published(rows: list[Row], variant: str) -> str:
    means = [row.published[variant].mean for row in rows if variant in row.published]
    return f"{sum(means) / len(means):.1f}" if means else ""


def _mean_ours(table: Table, rows: list[Row], variant: str) -> str:
    """Blank unless every row has a score: else it would stand beside a mean over other rows."""
    cells = [table.cell(row, variant) for row in rows]
    means = [cell.score()[0] for cell in cells if cell and not cell.failed]
    return emphasised(Column(variant), f"{sum(means) / len(means):.1f}" if len(means) == len(rows) else "")


def _others(table: Table) -> list[str]:
    """Other algorithms: a row each, final checkpoints beside published scores."""
    variants = [variant for variant in table.variants if variant in others_of(table.name)]
    if not any(variant in variants for _, variant, _ in table.cells()):
        return []
    rows = [row for row in table.rows if row.task]
    headings = ["", *(f"{row.label}, {whose}" for row in rows for whose in ("published", "ours"))]
    lines = [[variant, *_both(table, rows, variant)] for variant in variants]
    rests_on = _rests_on([cell for _, variant, cell in table.cells() if variant in variants])
    return [f"### {table.title}, other algorithms", markdown_table(headings, lines), rests_on]


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
    rests_on = _rests_on([cell for _, _, cell in table.cells()])
    parts = [f"### {table.title}", _beside_published(table, rows, table.columns), rests_on]
    missing = [f"{row.label} {variant}" for row, variant in table.missing() if row in rows]
    parts += [f"Not run: {', '.join(missing)}."] if missing else []
    notes = "\n".join(f"* {note}" for note in table.notes)
    return [*parts, notes, f"With every published method: {files}.", *_pictures(table)]


def _pictures(table: Table) -> list[str]:
    """The pictures that ``draw_tables`` makes; the larger ones are folded."""
    if not cells_by_row(table):
        return []
    large = (("curves", "Learning curves"), ("returns", "Returns of all final episodes"))
    folded = "\n\n".join(f'<img src="pictures/{table.name}-{kind}.png" alt="{title}">' for kind, title in large)
    title = f"{table.title}: normalised scores, ours as bars, the published ones as lines"
    return [
        f'<img src="pictures/{table.name}.png" alt="{title}">',
        f"<details><summary>Learning curves and returns</summary>\n\n{folded}\n\n</details>",
    ]


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


def _rests_on(cells: list[Cell], brief: bool = False) -> str:
    """A sentence: data, model, updates, episodes, hardware of cells of ours; if brief, no names, sizes or cores."""
    data = {cell.data for cell in cells if cell.data}
    if all(cell.recreated for cell in cells if cell.data):
        names = ", ".join(sorted({name.split(":")[0] for name in data}))
        data = {f"recreated data, not D4RL's files{'' if brief else f' ({names})'}"}
    words = (
        data,
        {cell.size for cell in cells if cell.size and not brief},
        {f"{cell.steps:,} updates" for cell in cells if cell.steps and not brief},
        _seeds_and_episodes(cells),
        {_processor(cell.hardware) if brief else cell.hardware for cell in cells if cell.hardware},
    )
    return f"Ours: {'; '.join(_one_of(alternatives) for alternatives in words if alternatives)}."


def _seeds_and_episodes(cells: list[Cell]) -> set[str]:
    """``3 or 10 seeds of 100 episodes``, one text for each number of episodes."""
    seeds: dict[int, set[int]] = {}
    for cell in cells:
        if cell.scores:
            seeds.setdefault(cell.episodes, set()).add(len(cell.scores))
    return {f"{' or '.join(map(str, sorted(n)))} seeds of {episodes} episodes" for episodes, n in seeds.items()}


def _processor(hardware: str) -> str:
    """``AMD EPYC`` of ``1 x AMD EPYC (2 cores)``."""
    return hardware.split(" x ", 1)[-1].split(" (")[0]


def _one_of(alternatives: set[str]) -> str:
    """``a or b``; of several, those with commas stand in brackets."""
    bracketed = [f"({words})" if "," in words and len(alternatives) > 1 else words for words in sorted(alternatives)]
    return " or ".join(bracketed)


def draw_tables(cells: dict[Key, Cell], folder: pathlib.Path) -> None:
    """Draws the scores of every table with a row of ours, and of those shown curves and returns, into ``folder``."""
    from rvdt_jax.report.pictures import draw_curves, draw_returns, save, score_picture, task_pictures

    folder.mkdir(exist_ok=True)
    for table in (make_table(name, cells) for name in TABLES):
        if by_row := cells_by_row(table):
            save(score_picture(table), folder / f"{table.name}.png")
        if by_row and table.name in _SHOWN:
            save(task_pictures(by_row, draw_curves), folder / f"{table.name}-curves.png")
            save(task_pictures(by_row, draw_returns), folder / f"{table.name}-returns.png")
