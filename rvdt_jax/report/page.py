"""One self-contained HTML page: the tables, and by task learning curves, the returns of all episodes, and coverage."""

from __future__ import annotations

import html
import io
import pathlib

import matplotlib

from rvdt_jax.errors import UserError

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np

from rvdt_jax.report.cells import Cell
from rvdt_jax.report.coverage import plot_coverage, verdict
from rvdt_jax.report.plots import COLOURS, curve, read_evaluations
from rvdt_jax.report.records import read_json
from rvdt_jax.report.render import caption, details, our_text, published_text
from rvdt_jax.report.tables import Column, Row, Table
from rvdt_jax.tasks import get_task, normalized_score

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #1c2430; max-width: 1200px; margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.7rem } h2 { margin-top: 3rem; border-bottom: 2px solid #0072b2; padding-bottom: .2rem }
.scroll { overflow-x: auto } table { border-collapse: collapse; font-size: .85rem; white-space: nowrap }
th, td { padding: .3rem .6rem; text-align: right; border-bottom: 1px solid #e3e8ee } th { background: #f4f7fa }
th:first-child, td:first-child { text-align: left; position: sticky; left: 0; background: #fff }
td.ours { background: #e8f3fb; font-weight: 600 } td.max { background: #f4f9fd }
td.failed { color: #b3261e } tr.average td { font-style: italic }
.note { color: #52606d; font-size: .85rem } figure { display: inline-block; margin: .5rem 1rem .5rem 0 }
figcaption { font-weight: 600 } details { margin: .5rem 0 } nav a { margin-right: 1rem }
"""


def page(tables: list[Table], coverages: dict[str, dict]) -> str:
    """The page's text; equal records give equal bytes.

    Args:
        tables: all that the page shows.
        coverages: task -> what ``experiments/coverage.py`` wrote of its data.
    """
    shown = [table for table in tables if table.rows]
    links = "".join(f'<a href="#{table.name}">{html.escape(table.title)}</a>' for table in shown)
    body = "\n".join(_section(table) for table in shown)
    pictures = _pictures(shown, coverages)
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>Results of rvdt_jax</title>'
        f"<style>{_STYLE}</style></head><body><h1>Results of rvdt_jax beside the published tables</h1>"
        f"<nav>{links}</nav>\n{body}\n{pictures}</body></html>\n"
    )


def _section(table: Table) -> str:
    heads = ["", *table.methods, *(column.heading for column in table.columns)]
    rows = "\n".join(_row(table, row) for row in table.rows)
    notes = "".join(f"<li>{html.escape(note)}</li>" for note in table.notes)
    headings, lines = details(table)
    cells = _plain_table(headings, lines) if lines else ""
    return (
        f'<h2 id="{table.name}">{html.escape(table.title)}</h2><p class="note">{html.escape(caption(table))}</p>'
        f'<div class="scroll"><table><tr>{_cells("th", heads)}</tr>\n{rows}</table></div>'
        f'<ul class="note">{notes}</ul>' + (f"<details><summary>Our cells</summary>{cells}</details>" if cells else "")
    )


def _row(table: Table, row: Row) -> str:
    published = [published_text(row.published.get(method), " ± ") for method in table.methods]
    ours = "".join(_our_cell(column, our_text(table, row, column, " ± ")) for column in table.columns)
    kind = ' class="average"' if row.average else ""
    return f"<tr{kind}>{_cells('td', [row.label, *published])}{ours}</tr>"


def _our_cell(column: Column, text: str) -> str:
    if not text:
        return "<td></td>"
    kind = ("max" if column.maximum else "ours") + (" failed" if text == "failed" else "")
    return f'<td class="{kind}">{html.escape(text)}</td>'


def _plain_table(headings, lines: list[list[str]]) -> str:
    rows = "".join(f"<tr>{_cells('td', line)}</tr>" for line in lines)
    return f'<div class="scroll"><table><tr>{_cells("th", headings)}</tr>{rows}</table></div>'


def _cells(tag: str, texts) -> str:
    return "".join(f"<{tag}>{html.escape(text)}</{tag}>" for text in texts)


def read_coverages(roots: list[pathlib.Path]) -> dict[str, dict]:
    """Task -> content of its ``coverage.json``, wherever below the folders that lies.

    Raises:
        UserError: there are two of one task.
    """
    found: dict[str, dict] = {}
    for path in (path for root in roots for path in sorted(root.rglob("coverage.json"))):
        measured = read_json(path)
        if measured["task"] in found:
            raise UserError(f"{path}: is a second coverage of {measured['task']}. Name one folder: --coverage.")
        found[measured["task"]] = measured
    return found


def _pictures(tables: list[Table], coverages: dict[str, dict]) -> str:
    """Pictures for every task of which we ran something, whatever the tables it stands in."""
    by_row: dict[tuple[str, str], dict[str, Cell]] = {}
    for table in tables:
        for row, variant, cell in table.cells():
            if not cell.failed:
                by_row.setdefault((row.task, row.regime), {})[variant] = cell
    parts = []
    for (task, regime), cells in by_row.items():
        name = html.escape(f"{task} {regime}".strip())
        recreated = " (recreated data)" if any(cell.recreated for cell in cells.values()) else ""
        parts.append(f"<h2>{name}{recreated}</h2>")
        for title, draw in (("Learning curves", _draw_curves), ("Returns of the final episodes", _draw_returns)):
            parts.append(f"<figure><figcaption>{title}</figcaption>{_svg(draw, task, cells)}</figure>")
        if task in coverages and not regime:
            parts.append(_coverage(coverages[task]))
    return "\n".join(parts)


def _coverage(measured: dict) -> str:
    with matplotlib.rc_context(_SVG):
        text = io.StringIO()
        plot_coverage(measured, text, title=measured["data"], kind="svg")
    words = html.escape(f"Asked for {measured['target']:g}, which need not be what our cells were asked for. ")
    words += html.escape(verdict(measured)).replace("\n", "<br>")
    picture = _inline(text)
    return f'<figure><figcaption>Return coverage</figcaption>{picture}</figure><p class="note">{words}</p>'


def _evaluations(cell: Cell) -> list[dict]:
    records = [record for folder in cell.folders for record in read_evaluations(pathlib.Path(folder))]
    return [record for record in records if str(record["target"]) == cell.target]


def _draw_curves(axes, task: str, cells: dict[str, Cell]) -> None:
    low, high = get_task(task).ref_min_return, get_task(task).ref_max_return
    for colour, (variant, cell) in zip(COLOURS * len(cells), cells.items(), strict=False):
        records = _evaluations(cell)
        steps, returns = curve(records, records[0]["target"])
        scores = normalized_score(returns, low, high)
        axes.plot(steps, scores.mean(1), color=colour, label=variant, linewidth=2)
        axes.fill_between(steps, scores.min(1), scores.max(1), color=colour, alpha=0.15, linewidth=0)
    axes.set(xlabel="updates", ylabel="normalised score (mean and range over seeds)")


def _draw_returns(axes, task: str, cells: dict[str, Cell]) -> None:
    """Of all episodes of all seeds: the share whose return is at most x."""
    for colour, (variant, cell) in zip(COLOURS * len(cells), cells.items(), strict=False):
        played = [value for r in _evaluations(cell) if r["final"] for value in r["returns"] if value is not None]
        returns = np.sort(played)
        axes.step(returns, np.arange(1, returns.size + 1) / returns.size, color=colour, label=variant, where="post")
    axes.set(xlabel="return of an episode", ylabel="share of episodes with at most that", ylim=(0, 1))


def _svg(draw, task: str, cells: dict[str, Cell]) -> str:
    with matplotlib.rc_context(_SVG):
        figure, axes = plt.subplots(figsize=(5.6, 3.6), layout="constrained")
        draw(axes, task, cells)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False, fontsize=8)
        text = io.StringIO()
        figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
        plt.close(figure)
    return _inline(text)


_SVG = {"svg.hashsalt": "rvdt_jax", "svg.fonttype": "none"}  # equal pictures are equal bytes, and text stays text


def _inline(text: io.StringIO) -> str:
    return text.getvalue()[text.getvalue().index("<svg") :]
