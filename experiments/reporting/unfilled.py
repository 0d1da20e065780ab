"""The published rows without scores of ours: what they lack, and the commands that fill them."""

from __future__ import annotations

from reporting.aggregate import CLAIM
from rvdt_jax.report.cells import Cell, Key
from rvdt_jax.report.published import TABLES
from rvdt_jax.report.render import markdown_table
from rvdt_jax.report.tables import Row, Table, make_table
from rvdt_jax.tasks import get_task


def unfilled_section(cells: dict[Key, Cell]) -> str:
    """Markdown: how many published rows have our DT, QT and RVDT, and of the others what they lack and the commands."""
    tables = [make_table(name, cells) for name in TABLES]
    published = [(table, row) for table in tables for row in table.published_rows]
    missing = [(table, row, lacking) for table, row in published if (lacking := _lacking(table, row))]
    count = (
        f"{len(published) - len(missing)} of the {len(published)} published rows have scores of ours for DT, QT and "
        "RVDT (of low data, whose source has no DT, for QT and RVDT)."
    )
    if not missing:
        return count
    lines = [[table.title, row.label, ", ".join(lacking), _need(row.task)] for table, row, lacking in missing]
    return "\n\n".join(
        [
            f"{count} The others:",
            markdown_table(("table", "row", "not run", "lacks"), lines),
            "\n".join(["```text", *_commands(missing), "```"]),
        ]
    )


def _lacking(table: Table, row: Row) -> list[str]:
    cells = {variant: table.cell(row, variant) for variant in CLAIM if variant in table.methods}
    return [variant for variant, cell in cells.items() if not cell or cell.failed]


def _need(task: str) -> str:
    """What a row lacks besides the time of its runs."""
    if get_task(task).source("recipe"):
        return "time: `recreate.py` makes its data"
    return "a download: Minari's data set, which a run fetches itself, or D4RL's file by `import_d4rl.py`"


def _commands(missing: list[tuple[Table, Row, list[str]]]) -> list[str]:
    """One sweep a table; it leaves finished cells alone."""
    commands = {}
    for table, row, lacking in missing:
        tasks, variants = commands.setdefault((table.name, get_task(row.task).family), ({}, {}))
        tasks[row.task] = None
        variants |= dict.fromkeys(lacking)
    return [
        f"python experiments/sweep.py --table={table} --config=configs/{family}.py:small --tasks={','.join(tasks)} "
        f"--variants={','.join(variants)}"
        for (table, family), (tasks, variants) in commands.items()
    ]
