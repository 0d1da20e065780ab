"""One self-contained HTML page: the tables, and by task learning curves, the returns of all episodes, and coverage."""

from __future__ import annotations

import html
import io
import pathlib
from collections.abc import Callable

import matplotlib

from rvdt_jax.errors import UserError

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np

from rvdt_jax.report.cells import Cell
from rvdt_jax.report.coverage import plot_coverage, verdict
from rvdt_jax.report.plots import COLOURS, draw_curve
from rvdt_jax.report.records import read_json, read_lines
from rvdt_jax.report.render import caption, details, our_text, published_text
from rvdt_jax.report.tables import Column, Row, Table
from rvdt_jax.tasks import get_task

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
_SVG = {"svg.hashsalt": "rvdt_jax", "svg.fonttype": "none"}  # equal pictures are equal bytes, and text stays text


def page(tables: list[Table], coverages: dict[str, dict]) -> str:
    """The page's text; equal records give equal bytes. ``coverages``: task -> the content of its ``coverage.json``."""
    shown = [table for table in tables if table.rows]
    links = "".join(f'<a href="#{table.name}">{html.escape(table.title)}</a>' for table in shown)
    body = "\n".join(_section(table) for table in shown)
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>Results of rvdt_jax</title>'
        f"<style>{_STYLE}</style></head><body><h1>Results of rvdt_jax beside the published tables</h1>"
        f"<nav>{links}</nav>\n{body}\n{_pictures(shown, coverages)}</body></html>\n"
    )


def _section(table: Table) -> str:
    heads = ["", *table.methods, *(column.heading for column in table.columns)]
    notes = "".join(f"<li>{html.escape(note)}</li>" for note in table.notes)
    headings, lines = details(table)
    cells = _table(headings, [f"<tr>{_cells('td', line)}</tr>" for line in lines])
    return (
        f'<h2 id="{table.name}">{html.escape(table.title)}</h2><p class="note">{html.escape(caption(table))}</p>'
        f'{_table(heads, [_row(table, row) for row in table.rows])}<ul class="note">{notes}</ul>'
        + (f"<details><summary>Our cells</summary>{cells}</details>" if lines else "")
    )


def _row(table: Table, row: Row) -> str:
    published = [published_text(row.published.get(method)) for method in table.methods]
    ours = "".join(_our_cell(column, our_text(table, row, column)) for column in table.columns)
    kind = ' class="average"' if row.average else ""
    return f"<tr{kind}>{_cells('td', [row.label, *published])}{ours}</tr>"


def _our_cell(column: Column, text: str) -> str:
    if not text:
        return "<td></td>"
    kind = ("max" if column.maximum else "ours") + (" failed" if text == "failed" else "")
    return f'<td class="{kind}">{html.escape(text)}</td>'


def _table(headings, rows: list[str]) -> str:
    lines = "\n".join(rows)
    return f'<div class="scroll"><table><tr>{_cells("th", headings)}</tr>\n{lines}</table></div>'


def _cells(tag: str, texts) -> str:
    return "".join(f"<{tag}>{html.escape(text)}</{tag}>" for text in texts)


def read_coverages(roots: list[pathlib.Path]) -> dict[str, dict]:
    """Task -> content of its ``coverage.json``, anywhere below the folders.

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
    """Pictures for every task with a cell of ours, in whichever tables it stands."""
    by_row: dict[tuple[str, str], dict[str, Cell]] = {}
    for row, variant, cell in (entry for table in tables for entry in table.cells()):
        if not cell.failed:
            by_row.setdefault((row.task, row.regime), {})[variant] = cell
    parts = []
    for (task, regime), cells in by_row.items():
        name = html.escape(f"{task} {regime}".strip())
        recreated = " (recreated data)" if any(cell.recreated for cell in cells.values()) else ""
        parts.append(f"<h2>{name}{recreated}</h2>")
        for title, draw in (("Learning curves", _draw_curves), ("Returns of the final episodes", _draw_returns)):
            parts.append(_figure(title, lambda file, draw=draw: _plot(file, draw, task, cells)))  # noqa: B023
        if task in coverages and not regime:
            parts.append(_coverage(coverages[task]))
    return "\n".join(parts)


def _coverage(measured: dict) -> str:
    words = html.escape(f"Asked for {measured['target']:g}, which need not be the target of our cells. ")
    words += html.escape(verdict(measured)).replace("\n", "<br>")
    figure = _figure("Return coverage", lambda file: plot_coverage(measured, file, title=measured["data"], kind="svg"))
    return f'{figure}<p class="note">{words}</p>'


def _figure(title: str, draw: Callable[[io.StringIO], None]) -> str:
    """A figure with the SVG that ``draw`` writes into a file."""
    file = io.StringIO()
    with matplotlib.rc_context(_SVG):
        draw(file)
    picture = file.getvalue()
    return f"<figure><figcaption>{title}</figcaption>{picture[picture.index('<svg') :]}</figure>"


def _plot(file: io.StringIO, draw: Callable, task: str, cells: dict[str, Cell]) -> None:
    figure, axes = plt.subplots(figsize=(5.6, 3.6), layout="constrained")
    for colour, (variant, cell) in zip(COLOURS * len(cells), cells.items(), strict=False):
        records = [record for folder in cell.folders for record in read_lines(folder / "evaluations.jsonl")]
        draw(axes, task, [r for r in records if str(r["target"]) == cell.target], colour=colour, label=variant)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=8)
    figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None})
    plt.close(figure)


def _draw_curves(axes, task: str, records: list[dict], **look) -> None:
    references = get_task(task).ref_min_return, get_task(task).ref_max_return
    draw_curve(axes, records, records[0]["target"], references, **look)
    axes.set(xlabel="updates", ylabel="normalised score (mean and range over seeds)")


def _draw_returns(axes, task: str, records: list[dict], *, colour: str, label: str) -> None:
    """Of all episodes of all seeds: the share whose return is at most x."""
    returns = np.sort([value for r in records if r["final"] for value in r["returns"] if value is not None])
    axes.step(returns, np.arange(1, returns.size + 1) / returns.size, where="post", color=colour, label=label)
    axes.set(xlabel="return of an episode", ylabel="share of episodes with at most that", ylim=(0, 1))
