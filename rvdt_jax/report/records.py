"""The record files of a run directory. JSON lines are only appended to; JSON files are replaced as a whole.

metrics.jsonl      {"step", "seed", <metric>: mean since the last line, ...}; equal runs write equal bytes
timing.jsonl       {"step", "seconds", "updates_per_second"}; wall-clock time, so kept apart from the metrics; a call
                   that was compiled first has "compile_seconds" too, which the other fields exclude
evaluations.jsonl  {"step", "seed", "target", "final", "returns": [...], "lengths": [...]}; every raw episode; if the
                   environment reports them also "success": [true, ...] and "tasks": [[name, ...], ...]; if episodes
                   failed also "failed": [reason or null, ...], and their returns are null
holdout.jsonl      {"step", "seed", "action_error", "nll", "bins": [{"returns", "episodes", "steps", "action_error",
                   "nll"}, ...]}; of ``data.holdout``, see ``summarise_holdout``
results.json       see ``summarise``
"""

from __future__ import annotations

import json
import math
import os
import pathlib
from collections.abc import Callable, Iterable

import numpy as np

from rvdt_jax.errors import UserError
from rvdt_jax.files import atomic_write, check_memory, naming, read_text
from rvdt_jax.tasks import normalized_score


def append_lines(path: pathlib.Path, records: Iterable[dict]) -> None:
    """Appends one line per record and flushes it to the disk; an ``OSError`` names the file."""
    with naming(path), path.open("a", encoding="utf-8") as file:
        file.writelines(json.dumps(record) + "\n" for record in records)
        file.flush()
        os.fsync(file.fileno())


def read_lines(path: pathlib.Path) -> list[dict]:
    """Every complete record, in order; [] if there is no file. An incomplete last line is left out.

    Raises:
        UserError: a line is damaged (the message names it), or the file is larger than memory.
    """
    if not path.exists():
        return []
    try:
        check_memory(path.stat().st_size, "it")
        text = path.read_text(encoding="utf-8")
    except ValueError as error:  # too large, or not UTF-8
        raise UserError(f"{path}: {error}. Repair or remove it.") from error
    records = []
    for number, line in enumerate(text.split("\n")[:-1], start=1):
        try:
            records.append(json.loads(line))
        except ValueError as error:
            raise UserError(f"{path}, line {number}: not valid JSON ({error}). Repair or remove that line.") from error
    return records


def write_json(path: pathlib.Path, value: dict) -> None:
    """Replaces the file atomically."""
    with atomic_write(path) as partial:
        partial.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")


def read_json(path: pathlib.Path) -> dict:
    """The content of a JSON file.

    Raises:
        UserError: the file cannot be read, or is too large for a record; the message names it.
    """
    try:
        return json.loads(read_text(path))
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path}: cannot be read ({type(error).__name__}: {error}).") from error


def keep_lines(path: pathlib.Path, keep: Callable[[dict], bool]) -> None:
    """Keeps the records for which ``keep`` is true; replaces the file atomically."""
    change_lines(path, lambda record: record if keep(record) else None)


def change_lines(path: pathlib.Path, change: Callable[[dict], dict | None]) -> None:
    """Replaces every record by ``change(record)``, or drops it if that is None; replaces the file atomically."""
    if path.exists():
        changed = [record for record in map(change, read_lines(path)) if record is not None]
        with atomic_write(path) as partial:
            partial.write_text("".join(json.dumps(record) + "\n" for record in changed), encoding="utf-8")


def mean_return(record: dict) -> float:
    """The mean return of a record of ``evaluations.jsonl``.

    NaN if an episode failed: the mean of the remaining episodes would be biased.
    """
    returns = record["returns"]
    return math.nan if None in returns else float(np.mean(returns))


def extrapolation(record: dict) -> str:
    """A warning if more than 1 % of an evaluation's steps had a return-to-go outside the data's range, else ""."""
    share = record.get("steps_outside", 0) / max(1, sum(record["lengths"]))
    if share <= 0.01:
        return ""
    return (
        f"seed {record['seed']}, target {record['target']}: {share:.0%} of the steps were conditioned on a "
        "return-to-go outside the data's range"
    )


def best_step(evaluations: list[dict]) -> int | None:
    """The update with the highest mean return over seeds at the headline target; None without evaluations.

    The headline target is the first record's. The checkpoint of this update is kept, and ``best`` in ``results.json``
    holds its scores. It is chosen by noisy evaluations.
    """
    by_step: dict[int, list[float]] = {}
    for record in evaluations:
        if record["target"] == evaluations[0]["target"]:
            by_step.setdefault(record["step"], []).append(mean_return(record))
    means = {step: np.mean(values) for step, values in by_step.items() if np.isfinite(values).all()}
    # Of equal means the earliest step, in whatever order the records come.
    return max(sorted(means), key=means.get, default=None)


def summarise(evaluations: list[dict], ref_min_return: float | None, ref_max_return: float | None) -> dict:
    """Scores per seed and target, and over seeds, of the final checkpoint and of the best one.

    Args:
        evaluations: the records of ``evaluations.jsonl``; the first is at the headline target.
        ref_min_return, ref_max_return: the returns that score 0 and 100; None if there are none.

    Returns:
        ``{"final": table, "best": table}``. A table maps a target to ``{"seeds": {seed: cell}, "aggregate": cell}``.
        A cell holds ``return``, ``normalized_score`` (null without references) and ``episodes``; a seed's also
        ``step``; an aggregate's also ``num_seeds`` and a ``..._std`` of each mean (null for a single seed); if the
        environment reports them, ``success_rate`` (share of episodes) and ``tasks_completed`` (mean number). If
        episodes failed, ``failed_episodes`` is their number and the other values are null.

        ``best`` holds the evaluations after ``best_step``, for all seeds and targets. That step was chosen by these
        evaluations, so its scores are biased upwards: never mix the two tables. Older files hold each seed's own
        maximum there; the cells' ``step`` shows which.

    Raises:
        ValueError: two evaluations of one seed, update and target.
    """
    best, references = best_step(evaluations), (ref_min_return, ref_max_return)
    return {
        "final": _table([record for record in evaluations if record["final"]], *references),
        "best": _table([record for record in evaluations if record["step"] == best], *references),
    }


def _table(records: list[dict], *references: float | None) -> dict:
    table: dict = {}
    for record in records:
        seeds = table.setdefault(str(record["target"]), {"seeds": {}})["seeds"]
        if str(record["seed"]) in seeds:
            raise ValueError(f"two evaluations of seed {record['seed']} at step {record['step']}, one target.")
        seeds[str(record["seed"])] = _cell(record, *references)
    for entry in table.values():
        entry["aggregate"] = aggregate(list(entry["seeds"].values()))
    return table


def _cell(record: dict, *references: float | None) -> dict:
    value = mean_return(record)
    value = None if math.isnan(value) else value
    score = None if None in (value, *references) else normalized_score(value, *references)
    cell = {"return": value, "normalized_score": score, "episodes": len(record["returns"]), "step": record["step"]}
    if "failed" in record:
        cell["failed_episodes"] = sum(reason is not None for reason in record["failed"])
    if "success" in record:
        cell["success_rate"] = None if value is None else float(np.mean(record["success"]))
    if "tasks" in record:
        cell["tasks_completed"] = None if value is None else float(np.mean([len(tasks) for tasks in record["tasks"]]))
    return cell


def aggregate(cells: list[dict]) -> dict:
    """Mean and standard deviation (of the sample, n - 1) over the cells of several seeds."""
    result: dict = {"episodes": sum(cell["episodes"] for cell in cells), "num_seeds": len(cells)}
    failed = sum(cell.get("failed_episodes", 0) for cell in cells)
    if failed:
        result["failed_episodes"] = failed
    for name in ("return", "normalized_score", "success_rate", "tasks_completed"):
        if name in cells[0]:
            result |= _mean_and_std(name, [cell[name] for cell in cells])
    return result


def _mean_and_std(name: str, values: list[float | None]) -> dict[str, float | None]:
    known = None not in values
    std = float(np.std(values, ddof=1)) if known and len(values) > 1 else None
    return {name: float(np.mean(values)) if known else None, f"{name}_std": std}


HELD_OUT = ("action_error", "nll")


def summarise_holdout(records: list[dict]) -> dict:
    """What the last update's policies do on held-out trajectories: means and standard deviations over seeds.

    ``action_error`` is the squared error of the policy's mean action under the trajectory's own returns-to-go, in the
    environment's units of action, a mean over the numbers of an action and over steps. ``nll`` is the loss that
    ``metrics.jsonl`` calls ``policy/nll``; an algorithm may have none. ``bins`` are tenths of the trajectories (single
    ones, where there are fewer), ordered by return, with their smallest and largest return.
    """
    last = [record for record in records if record["step"] == records[-1]["step"]]
    bins = [_over_seeds(cells) for cells in zip(*(record["bins"] for record in last), strict=True)]
    about = ("returns", "episodes", "steps")
    bins = [{name: first[name] for name in about} | cell for first, cell in zip(last[0]["bins"], bins, strict=True)]
    return {"step": last[0]["step"]} | _over_seeds(last) | {"bins": bins}


def _over_seeds(cells) -> dict[str, float | None]:
    summary = {}
    for name in HELD_OUT:
        if name in cells[0]:
            summary |= _mean_and_std(name, [cell[name] for cell in cells])
    return summary


def describe_holdout(summary: dict) -> str:
    """``summarise_holdout`` in one line."""
    errors = [bin["action_error"] for bin in summary["bins"]]
    nll = f", NLL {summary['nll']:.4g}" if "nll" in summary else ""
    return f"action error {summary['action_error']:.4g} (lowest returns {errors[0]:.4g}, highest {errors[-1]:.4g}){nll}"
