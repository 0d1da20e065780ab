"""Tables as Markdown, LaTeX and CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from rvdt_jax.report.cells import Cell
from rvdt_jax.report.published import Published
from rvdt_jax.report.results import plus_minus
from rvdt_jax.report.tables import Column, Row, Table

_DETAILS = (
    *("task", "variant", "ours", "published", "difference", "ours (max)", "evaluations", "seeds", "episodes a seed"),
    *("updates", "target", "model", "data", "hardware", "commit"),
)


def markdown_table(headings: Sequence[str], rows: list[list[str]]) -> str:
    """A Markdown table with a line of headings."""
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def markdown(table: Table) -> str:
    """The table, below it one line for each of our cells, and the notes."""
    header = ["", *table.methods, *(column.heading for column in table.columns)]
    body = [
        [
            row.label,
            *(published_text(row.published.get(method)) for method in table.methods),
            *(emphasised(column, our_text(table, row, column)) for column in table.columns),
        ]
        for row in table.rows
    ]
    parts = [f"### {table.title}", caption(table), markdown_table(header, body)]
    headings, lines = details(table)
    if lines:
        parts += ["Our cells:", markdown_table(headings, lines)]
    parts += ["\n".join(f"* {note}" for note in table.notes)] if table.notes else []
    return "\n\n".join(parts) + "\n"


def caption(table: Table) -> str:
    """What the numbers mean. The data and hardware of our cells are listed cell by cell."""
    cells = [cell for _, _, cell in table.cells()]
    text = (
        "Normalised score, mean ± std over seeds. Published columns as printed; ours: the final checkpoint, run by "
        "this package. A blank cell was not run."
    )
    if any(column.maximum for column in table.columns):
        text += " Columns headed (max) follow the protocol of QT's published scores: see the notes."
    if any(cell.recreated for cell in cells):
        text += " Ours rest on recreated data where the list of cells says so, which are not D4RL's files."
    sizes = sorted({cell.size for cell in cells if cell.size})
    return text + (f" Our models: {'; '.join(sizes)}." if sizes else "")


def latex(table: Table) -> str:
    """The table alone, for booktabs."""
    columns = [*table.methods, *(column.heading for column in table.columns)]
    lines = [
        f"% {caption(table)}",
        *(f"% {note}" for note in table.notes),
        r"\begin{tabular}{l" + "r" * len(columns) + "}",
        r"\toprule",
        " & ".join(["", *map(_escape, columns)]) + r" \\",
        r"\midrule",
    ]
    for row in table.rows:
        cells = [published_text(row.published.get(method), r" $\pm$ ") for method in table.methods]
        cells += [our_text(table, row, column, r" $\pm$ ") for column in table.columns]
        lines.append(" & ".join([_escape(row.label), *cells]) + r" \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}"]) + "\n"


_PUBLISHED = ("table", "regime", "task", "method", "published_mean", "published_std")
_OURS = (
    *("our_mean", "our_std", "difference", "our_max_mean", "our_max_std", "evaluations", "episodes_per_evaluation"),
    *("seeds", "episodes_per_seed", "updates", "target", "model", "data", "hardware", "commit"),
    *("failed", "command"),
)


def as_csv(table: Table) -> str:
    """One line per cell, published or ours; our columns are blank if nothing was run.

    ``our_mean`` is the final checkpoint's; ``our_max_mean`` follows the protocol of QT's published scores.
    """
    text = io.StringIO()
    writer = csv.DictWriter(text, (*_PUBLISHED, *_OURS), restval="", lineterminator="\n")
    writer.writeheader()
    for row in table.rows:
        for method in dict.fromkeys((*table.methods, *table.variants)):
            if method in row.published or (row.task and method in table.variants):
                writer.writerow(_csv_line(table, row, method))
    return text.getvalue()


def _csv_line(table: Table, row: Row, method: str) -> dict[str, object]:
    published = row.published.get(method)
    task = row.label.removeprefix(row.regime).strip()
    printed = ("", "") if published is None else (_plain(published.mean), _plain(published.std))
    line = dict(zip(_PUBLISHED, (table.name, row.regime, task, method, *printed), strict=True))
    if method not in table.variants:
        return line
    if row.average:
        mean, highest = (table.average(row, Column(method, maximum)) for maximum in (False, True))
        ours = {"our_mean": _plain(mean), "difference": _plain(_gap(mean, published)), "our_max_mean": _plain(highest)}
        return line | ours
    cell = table.cell(row, method)
    if cell is None:
        return line
    scores = *map(_plain, cell.score()), _plain(_gap(cell.mean, published)), *map(_plain, cell.score(maximum=True))
    counts = cell.evaluations, cell.evaluation_episodes, len(cell.scores), cell.episodes, cell.steps
    words = cell.target, cell.size, cell.data, cell.hardware, cell.commit, cell.failed, cell.command
    return line | dict(zip(_OURS, (*scores, *counts, *words), strict=True))


def our_text(table: Table, row: Row, column: Column, sign: str = " ± ") -> str:
    """Our cell, or our average, as printed; ``sign`` stands between mean and std."""
    if row.average:
        return plus_minus(table.average(row, column), None, sign, blank="")
    cell = table.cell(row, column.variant)
    if cell is None:
        return ""
    return "failed" if cell.failed else plus_minus(*cell.score(column.maximum), sign, blank="")


def published_text(cell: Published | None, sign: str = " ± ") -> str:
    """A published cell as printed."""
    return "" if cell is None else plus_minus(cell.mean, cell.std, sign, blank="")


def emphasised(column: Column, text: str) -> str:
    """Our Markdown cell: only the headline is bold."""
    return f"**{text}**" if text and not column.maximum else text


def details(table: Table) -> tuple[tuple[str, ...], list[list[str]]]:
    """Headings, and one line for each of our cells."""
    return _DETAILS, [_detail(row, variant, cell) for row, variant, cell in table.cells()]


def _detail(row: Row, variant: str, cell: Cell) -> list[str]:
    published = row.published.get(variant)
    gap = _gap(cell.mean, published)
    return [
        row.label,
        variant,
        f"failed: {cell.failed}" if cell.failed else plus_minus(*cell.score(), " ± ", blank=""),
        published_text(published),
        "" if gap is None else f"{gap:+.1f}",
        plus_minus(*cell.score(maximum=True), " ± ", blank=""),
        f"{cell.evaluations} x {cell.evaluation_episodes}" if cell.maxima else "",
        *map(str, (len(cell.scores), cell.episodes, cell.steps)),
        cell.target.removesuffix(".0"),
        cell.size,
        cell.data.removeprefix("data: "),
        cell.hardware,
        cell.commit,
    ]


def _gap(ours: float | None, published: Published | None) -> float | None:
    return None if ours is None or published is None or published.mean is None else ours - published.mean


def _plain(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def _escape(text: str) -> str:
    return text.replace("%", r"\%").replace("_", r"\_").replace("&", r"\&")
