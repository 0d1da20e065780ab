"""The table of a search over settings, made from the records of its cells."""

from __future__ import annotations

import dataclasses
import itertools
import pathlib

from reporting.removed import removed_files
from rvdt_jax.report.cells import COMMAND_SUFFIX
from rvdt_jax.report.records import read_json
from rvdt_jax.report.render import markdown_table
from rvdt_jax.report.results import plus_minus


@dataclasses.dataclass(frozen=True)
class Tried:
    """One cell of a search.

    Attributes:
        setting, task, variant: of the run.
        seeds: the tuning seeds.
        scores: ``selection@target`` -> (mean, std over seeds) of the final checkpoint's normalised score.
        headline: the entry of ``scores`` by which settings are compared.
        command: the command that repeats the run.
    """

    setting: str
    task: str
    variant: str
    seeds: tuple[int, ...]
    scores: dict[str, tuple[float, float | None]]
    headline: str
    command: str


_SAME = ("steps", "environment")  # of scores that are compared with the run's own


def read_search(root: pathlib.Path) -> list[Tried]:
    """Every finished cell below ``root``, laid out as ``<setting>/<task>/<variant>``.

    Raises:
        UserError: a record is damaged; the message names it.
    """
    return [_read_cell(path) for path in sorted(root.glob("*/*/*/results.json"))]


def _read_cell(path: pathlib.Path) -> Tried:
    results, folder = read_json(path), path.parent
    scores: dict[str, tuple[float, float | None]] = {}
    others = map(read_json, sorted(folder.glob("scores-*.json")))
    same = [record for record in others if all(record.get(name) == results.get(name) for name in _SAME)]
    for record in (*same, results):  # where both have a score, the run's own counts
        for target, entry in record["final"].items():
            cell = entry["aggregate"]
            name = f"{record['action_selection']}@{target.removesuffix('.0')}"
            scores[name] = cell["normalized_score"], cell["normalized_score_std"]
    command = folder.with_name(folder.name + COMMAND_SUFFIX)
    return Tried(
        setting=folder.parent.parent.name,
        task=results["task"],
        variant=results["variant"],
        seeds=tuple(results["seeds"]),
        scores=scores,
        headline=f"{results['action_selection']}@{results['headline_target'].removesuffix('.0')}",
        command=command.read_text(encoding="utf-8").strip() if command.exists() else "",
    )


def search_table(cells: list[Tried], reasons: dict[str, str], tasks: tuple[str, ...], averaged: tuple[str, ...]) -> str:
    """Markdown: one row per setting and variant, in the order of ``reasons``; then the scores of each action selection.

    Args:
        cells: the finished runs.
        reasons: setting -> one sentence on what it changes.
        tasks: the columns.
        averaged: the tasks of the last column; its mean stands only where all of them were run.
    """
    found = {(cell.setting, cell.variant, cell.task): cell for cell in cells}
    variants, rows = sorted({cell.variant for cell in cells}), []
    for setting, variant in itertools.product(reasons, variants):
        row = [found.get((setting, variant, task)) for task in tasks]
        if any(row):
            shown = [plus_minus(*cell.scores[cell.headline]) if cell else "-" for cell in row]
            means = [cell.scores[cell.headline][0] for cell in row if cell and cell.task in averaged]
            complete = len(means) == len(averaged) and None not in means
            mean = f"{sum(means) / len(means):.1f}" if complete else "-"
            rows.append([setting, variant, *shown, mean, reasons[setting]])
    lines = [markdown_table(("setting", "variant", *tasks, f"mean of {len(averaged)}", "what it is"), rows)]
    lines += ["", "Every cell under each action selection, `selection@target`:", ""]
    for setting in reasons:
        for cell in (cell for cell in cells if cell.setting == setting):
            shown = ", ".join(f"{name} {plus_minus(*score)}" for name, score in sorted(cell.scores.items()))
            lines.append(f"* {setting}, {cell.task}, {cell.variant}, seeds {', '.join(map(str, cell.seeds))}: {shown}")
    lines += ["", "Commands (the scores above come from `experiments/evaluate.py` on their run directories):", ""]
    commands = [cell.command for cell in cells if cell.setting in reasons]
    lines += [removed, ""] if (removed := removed_files("\n".join(commands))) else []
    lines += ["```text", *commands, "```"]
    return "\n".join(lines) + "\n"
