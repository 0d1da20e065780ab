"""One self-contained HTML page: the tables, and by task learning curves, the returns of all episodes, and coverage."""

from __future__ import annotations

import html
import pathlib

from rvdt_jax.errors import UserError
from rvdt_jax.report.cells import Cell
from rvdt_jax.report.coverage import coverage_picture, verdict
from rvdt_jax.report.pictures import as_svg, draw_curves, draw_returns, score_picture, task_pictures
from rvdt_jax.report.records import read_json
from rvdt_jax.report.render import caption, details, our_text, published_text
from rvdt_jax.report.tables import Column, Row, Table, cells_by_row

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
        + (f"{_figure('Final checkpoints', as_svg(score_picture(table)))}" if cells_by_row(table) else "")
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
    """Task -> content of its ``coverage.json``, anywhere below the folders; of other data there is no place for one.

    Raises:
        UserError: there are two of one task.
    """
    found: dict[str, dict] = {}
    for path in (path for root in roots for path in sorted(root.rglob("coverage.json"))):
        measured = read_json(path)
        task = measured.get("task")
        if task in found:
            raise UserError(f"{path}: is a second coverage of {task}. Name one folder: --coverage.")
        if task is not None:
            found[task] = measured
    return found


def _pictures(tables: list[Table], coverages: dict[str, dict]) -> str:
    """Pictures for every task with a cell of ``tables.variants_of``, in whichever tables it stands."""
    by_row: dict[tuple[str, str], dict[str, Cell]] = {}
    for table in tables:
        for row, cells in cells_by_row(table).items():
            by_row.setdefault(row, {}).update(cells)
    parts = []
    for row, cells in by_row.items():
        name = html.escape(" ".join(row).strip())
        recreated = " (recreated data)" if any(cell.recreated for cell in cells.values()) else ""
        parts.append(f"<h2>{name}{recreated}</h2>")
        for title, draw in (("Learning curves", draw_curves), ("Returns of the final episodes", draw_returns)):
            parts.append(_figure(title, as_svg(task_pictures({row: cells}, draw))))
        if row[0] in coverages and not row[1]:
            parts.append(_coverage(coverages[row[0]]))
    return "\n".join(parts)


def _coverage(measured: dict) -> str:
    words = html.escape(f"Asked for {measured['target']:g}, which need not be the target of our cells. ")
    words += html.escape(verdict(measured)).replace("\n", "<br>")
    figure = _figure("Return coverage", as_svg(coverage_picture(measured, title=measured["data"])))
    return f'{figure}<p class="note">{words}</p>'


def _figure(title: str, picture: str) -> str:
    return f"<figure><figcaption>{title}</figcaption>{picture}</figure>"
