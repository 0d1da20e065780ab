"""Several runs of one task side by side: a table, the differences with their standard errors, and a picture."""

from __future__ import annotations

import math
import pathlib

from rvdt_jax.errors import UserError
from rvdt_jax.report.plots import plot_learning_curves
from rvdt_jax.report.records import read_json, read_lines
from rvdt_jax.report.results import data_label, hardware_label, plus_minus, subject, target_name


def compare(folders: list[pathlib.Path], output: pathlib.Path, *, references: dict[str, float]) -> str:
    """Draws ``learning_curves.png`` and writes ``table.txt`` into ``output``; returns the table.

    Args:
        folders: finished run directories of one task.
        output: the folder of the two files.
        references: label -> normalised score, shown for orientation.

    Raises:
        UserError: the runs are of several tasks, or one has no evaluations on record; nothing is written.
    """
    runs = [read_json(folder / "results.json") for folder in folders]
    subjects = {subject(run) for run in runs}
    if len(subjects) > 1:
        raise UserError(f"runs of several tasks cannot be compared: {', '.join(sorted(subjects))}.")
    labels = [f"{run['variant']} ({target_name(run)})" for run in runs]
    curves = {
        label if labels.count(label) == 1 else f"{label}, {folder.name}": _headline_curve(run, folder)
        for label, run, folder in zip(labels, runs, folders, strict=True)
    }
    recreated = any(run["provenance"].get("recreated") for run in runs)
    plot_learning_curves(
        curves,
        output / "learning_curves.png",
        title=f"{subject(runs[0])}{' (recreated data)' if recreated else ''}",
        ref_min_return=runs[0]["ref_min_return"],
        ref_max_return=runs[0]["ref_max_return"],
        references=references,
    )
    table = format_table(runs, references)
    (output / "table.txt").write_text(table + "\n", encoding="utf-8")
    return f"\n{table}\n\nRecords, table and picture: {output}"


def _headline_curve(run: dict, folder: pathlib.Path) -> tuple[list[dict], object]:
    """The evaluation records, and the headline target in the type that they hold."""
    evaluations = read_lines(folder / "evaluations.jsonl")
    targets = [record["target"] for record in evaluations if str(record["target"]) == run["headline_target"]]
    if not targets:
        raise UserError(
            f"{folder}: evaluations.jsonl has no evaluation at the target {run['headline_target']}. Leave this run out."
        )
    return evaluations, targets[0]


def _headline(run: dict) -> dict:
    """The aggregate cell of the final checkpoint at the headline target."""
    return run["final"][run["headline_target"]]["aggregate"]


def format_table(runs: list[dict], references: dict[str, float]) -> str:
    """The table of the final checkpoints, and below it the difference of the last run from each of the others."""
    distinct = dict.fromkeys(f"({data_label(run['provenance'])}; {hardware_label(run)})" for run in runs)
    lines = [
        f"{subject(runs[0])}: normalised score of the final checkpoint, mean +- std over seeds",
        *distinct,
        f"{'':<28}{'score':>16}{'return':>16}{'target':>10}{'updates':>9}{'seeds':>7}{'episodes':>10}",
    ]
    lines += [f"{label:<28}{score:>16.1f}" for label, score in references.items()]
    for run in runs:
        cell = _headline(run)
        lines.append(
            f"{run['variant']:<28}{plus_minus(cell['normalized_score'], cell['normalized_score_std']):>16}"
            f"{plus_minus(cell['return'], cell['return_std']):>16}{run['headline_target'].removesuffix('.0'):>10}"
            f"{run['steps']:>9}{cell['num_seeds']:>7}{cell['episodes']:>10}"
        )
    last = runs[-1]
    several_seeds = [run for run in runs if _headline(run)["normalized_score_std"] is not None]
    lines += [_difference(last, run) for run in several_seeds if last in several_seeds and run is not last]
    return "\n".join(lines)


def _difference(run: dict, other: dict) -> str:
    """The difference of two headline scores with its standard error over seeds."""
    ours, theirs = _headline(run), _headline(other)
    error = math.sqrt(sum(cell["normalized_score_std"] ** 2 / cell["num_seeds"] for cell in (ours, theirs)))
    gap = ours["normalized_score"] - theirs["normalized_score"]
    return f"{run['variant']} - {other['variant']}: {gap:.1f}, standard error {error:.1f}"
