"""The published tables with our cells beside them, made from the records of runs alone; JAX is not needed.

    python experiments/tables.py --table=maze2d [--tasks=TASK,...] [--records=FOLDER,...] [--format=markdown|latex|csv]

prints one. ``--table=all --out=FOLDER`` writes every table in every format, and ``--write_readme`` writes the generated
sections of ``experiments/results/README.md`` and the headline of ``README.md`` (``make tables`` does both with the
committed records). ``--aggregate`` adds the interquartile mean over tasks and probabilities of improvement with
bootstrap intervals, ``--html=FILE`` one page with tables and pictures for the browser.
"""

import dataclasses
import pathlib

from absl import app, flags

from launcher import parse_flags, refuse_flags, report_errors
from rvdt_jax.errors import UserError

ROOT = pathlib.Path(__file__).resolve().parents[1]
RECORDS = ROOT / "experiments" / "results" / "runs"
COVERAGE = ROOT / "experiments" / "results" / "coverage"
_SUFFIXES = {"markdown": "md", "latex": "tex", "csv": "csv"}

_TABLE = flags.DEFINE_string("table", None, "The table; all: every one.", required=True)
_TASKS = flags.DEFINE_list("tasks", None, "Only the rows of these tasks; unset: all.")
_RECORDS = flags.DEFINE_list("records", None, "Folders of runs; unset: the committed ones.")
_FORMAT = flags.DEFINE_enum("format", "markdown", list(_SUFFIXES), "Format of the printed table.")
_OUT = flags.DEFINE_string("out", None, "Write the tables into this folder, in every format, instead of printing.")
_AGGREGATE = flags.DEFINE_bool("aggregate", False, "Add statistics over tasks; needs the extra 'report'.")
_COVERAGE = flags.DEFINE_list(
    "coverage", None, "For --html: folders of coverage.json files; unset: the committed ones."
)
_HTML = flags.DEFINE_string("html", None, "Write one self-contained page.")
_WRITE_README = flags.DEFINE_bool("write_readme", False, "Write the generated sections of the two README files.")


def main(argv: list[str]) -> int:
    """Reads the records, prints or writes."""
    from reporting.sections import write_pages

    from rvdt_jax.config.serialization import used_settings
    from rvdt_jax.report.cells import read_cells
    from rvdt_jax.report.published import TABLES
    from rvdt_jax.report.render import as_csv, latex, markdown
    from rvdt_jax.report.tables import make_table

    _check_flags()
    if not (_RECORDS.value or RECORDS.is_dir()):
        raise UserError("--records is missing: the committed records are in a checkout of the repository alone.")
    cells = read_cells([pathlib.Path(folder) for folder in _RECORDS.value or [RECORDS]], used_settings)
    tables = [make_table(name, cells) for name in (TABLES if _TABLE.value == "all" else [_TABLE.value])]
    if _TASKS.value:
        tables = [_rows_of(table, _TASKS.value) for table in tables]
    writers = {"markdown": markdown, "latex": latex, "csv": as_csv}
    if _OUT.value:
        folder = pathlib.Path(_OUT.value)
        folder.mkdir(parents=True, exist_ok=True)
        for table in tables:
            for name, write in writers.items():
                (folder / f"{table.name}.{_SUFFIXES[name]}").write_text(write(table), encoding="utf-8")
        print(f"{len(tables)} tables: {folder}")
    elif not _HTML.value:
        print("\n".join(writers[_FORMAT.value](table) for table in tables))
    if _AGGREGATE.value:
        from reporting.aggregate import aggregates

        for table in tables:
            print(aggregates(table))
    if _HTML.value:
        write_page(tables, pathlib.Path(_HTML.value))
    if _WRITE_README.value:
        write_pages(ROOT, cells)
    return 0


def _check_flags() -> None:
    """Refuses flags that would be ignored, or write the pages from other records than theirs."""
    if not _HTML.value:
        refuse_flags("Without --html there is no place for return coverage", _COVERAGE)
    if _OUT.value or _HTML.value:
        refuse_flags("--out writes every format, and --html a page", _FORMAT)
    if _WRITE_README.value:
        refuse_flags("--write_readme writes the pages of the committed records", _RECORDS)
    if _WRITE_README.value or _OUT.value:
        refuse_flags("What is written holds every task", _TASKS)


def _rows_of(table, tasks: list[str]):
    """The table with the rows of some tasks alone."""
    known = [row.task for row in table.rows if row.task]
    for task in tasks:
        if task not in known:
            raise UserError(f"--tasks: {table.name} has no row of {task!r}. It has {', '.join(dict.fromkeys(known))}.")
    return dataclasses.replace(table, rows=tuple(row for row in table.rows if row.task in tasks))


def write_page(tables: list, path: pathlib.Path) -> None:
    """Writes the HTML page."""
    from rvdt_jax.report.page import page, read_coverages

    folders = [pathlib.Path(folder) for folder in _COVERAGE.value or [COVERAGE]]
    coverages = read_coverages(folders)
    if _COVERAGE.value and not coverages:
        raise UserError(
            f"--coverage: no coverage.json of a task in {', '.join(map(str, folders))}; coverage.py writes it."
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page(tables, coverages), encoding="utf-8")
    print(f"Page: {path}")


if __name__ == "__main__":
    app.run(report_errors(main), flags_parser=parse_flags)
