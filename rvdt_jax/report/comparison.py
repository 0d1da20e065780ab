"""Several runs of one task side by side: a table, the differences with their standard errors, and a picture."""

from __future__ import annotations

import json
import math
import pathlib

from rvdt_jax.report.plots import plot_learning_curves, read_evaluations
from rvdt_jax.report.summary import plus_minus


def compare(folders: list[pathlib.Path], output: pathlib.Path, *, references: dict[str, float]) -> str:
    """Draws ``learning_curves.png`` and writes ``table.txt`` into ``output``; returns the table.

    Args:
        folders: finished run directories of one task.
        output: where the two files go.
        references: label -> normalised score, for orientation.
    """
    runs = [json.loads((folder / "results.json").read_text(encoding="utf-8")) for folder in folders]
    tasks = {run["task"] for run in runs}
    if len(tasks) > 1:
        raise ValueError(f"runs of several tasks cannot be compared: {', '.join(sorted(tasks))}.")
    curves = {
        f"{run['variant']} ({target_name(run)})": (read_evaluations(folder), _target(run))
        for run, folder in zip(runs, folders, strict=True)
    }
    task = runs[0]
    recreated = all(run["provenance"].get("recreated") for run in runs)
    plot_learning_curves(
        curves,
        output / "learning_curves.png",
        title=f"{task['task']}{' (recreated data)' if recreated else ''}",
        ref_min_return=task["ref_min_return"],
        ref_max_return=task["ref_max_return"],
        references=references,
    )
    table = format_table(runs, references, recreated)
    (output / "table.txt").write_text(table + "\n", encoding="utf-8")
    return f"\n{table}\n\nRecords, table and picture: {output}"


def _target(run: dict):
    """The headline target as the records hold it."""
    name = run["headline_target"]
    return name if name == "none" or " " in name else float(name)


def target_name(run: dict) -> str:
    """The headline target for a reader."""
    return "no target" if run["headline_target"] == "none" else f"target {run['headline_target'].removesuffix('.0')}"


def headline(run: dict) -> dict:
    """The aggregate cell of the final checkpoint at the headline target."""
    return run["final"][run["headline_target"]]["aggregate"]


def format_table(runs: list[dict], references: dict[str, float], recreated: bool) -> str:
    """The table: final checkpoints only."""
    first = runs[0]
    kind = "data recreated by D4RL's recipe, not D4RL's files" if recreated else first["provenance"]["dataset_id"]
    lines = [
        f"{first['task']}: normalised score of the final checkpoint, mean +- std over seeds",
        f"({kind}; {first['hardware']})",
        f"{'':<28}{'score':>16}{'return':>16}{'target':>10}{'updates':>9}{'seeds':>7}{'episodes':>10}",
    ]
    lines += [f"{label:<28}{score:>16.1f}" for label, score in references.items()]
    for run in runs:
        cell = headline(run)
        lines.append(
            f"{run['variant']:<28}{plus_minus(cell['normalized_score'], cell['normalized_score_std']):>16}"
            f"{plus_minus(cell['return'], cell['return_std']):>16}{run['headline_target'].removesuffix('.0'):>10}"
            f"{run['steps']:>9}{cell['num_seeds']:>7}{cell['episodes']:>10}"
        )
    last = runs[-1]
    lines += [difference(last, run) for run in runs[:-1] if headline(run)["normalized_score_std"] is not None]
    return "\n".join(lines)


def difference(run: dict, other: dict) -> str:
    """The difference of two headline scores with its standard error over seeds."""
    ours, theirs = headline(run), headline(other)
    error = math.sqrt(sum(cell["normalized_score_std"] ** 2 / cell["num_seeds"] for cell in (ours, theirs)))
    gap = ours["normalized_score"] - theirs["normalized_score"]
    return f"{run['variant']} - {other['variant']}: {gap:.1f}, standard error {error:.1f}"
