"""The record files of a run directory: JSON lines that are only ever appended to, and JSON written whole or not at all.

metrics.jsonl      {"step", "seed", <metric>: mean since the last line, ...}; equal runs write equal bytes
timing.jsonl       {"step", "seconds", "updates_per_second"}; wall-clock, so kept apart; where a call had to be compiled
                   first, the time that took is "compile_seconds", and no part of the others
evaluations.jsonl  {"step", "seed", "target", "final", "returns": [...], "lengths": [...]}; raw, every episode;
                   where the environment tells, "success": [true, ...] and "tasks": [[name, ...], ...] completed too;
                   where episodes failed, "failed": [why or null, ...], and null for their returns
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
    """Appends one line a record, and sees it onto the disk.

    Raises:
        OSError: it cannot; the file is named.
    """
    with naming(path), path.open("a", encoding="utf-8") as file:
        file.writelines(json.dumps(record) + "\n" for record in records)
        file.flush()
        os.fsync(file.fileno())


def read_lines(path: pathlib.Path) -> list[dict]:
    """Every whole record of the file, in order; [] where there is no file. A last line cut short is left out.

    Raises:
        UserError: a line is damaged, which the message names, or the file is larger than memory.
    """
    if not path.exists():
        return []
    try:
        check_memory(path.stat().st_size, "it")
    except ValueError as error:
        raise UserError(f"{path}: {error}. Repair or remove it.") from error
    records = []
    for number, line in enumerate(path.read_text(encoding="utf-8").split("\n")[:-1], start=1):
        try:
            records.append(json.loads(line))
        except ValueError as error:
            raise UserError(f"{path}, line {number}: is no JSON ({error}). Repair or remove that line.") from error
    return records


def write_json(path: pathlib.Path, value: dict) -> None:
    """Replaces the file in one move."""
    with atomic_write(path) as partial:
        partial.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")


def read_json(path: pathlib.Path) -> dict:
    """The content of a JSON file.

    Raises:
        UserError: it cannot be read, or is larger than any such file; the message names it.
    """
    try:
        return json.loads(read_text(path))
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path}: cannot be read ({type(error).__name__}: {error}).") from error


def keep_lines(path: pathlib.Path, keep: Callable[[dict], bool]) -> None:
    """Drops the records that ``keep`` does not want, in one move."""
    change_lines(path, lambda record: record if keep(record) else None)


def change_lines(path: pathlib.Path, change: Callable[[dict], dict | None]) -> None:
    """Puts in place of every record what ``change`` makes of it, in one move; drops it where that is None."""
    if path.exists():
        changed = [record for record in map(change, read_lines(path)) if record is not None]
        with atomic_write(path) as partial:
            partial.write_text("".join(json.dumps(record) + "\n" for record in changed), encoding="utf-8")


def mean_return(record: dict) -> float:
    """Of a record of ``evaluations.jsonl``; NaN where an episode failed, for a mean of the others would flatter."""
    returns = record["returns"]
    return math.nan if None in returns else float(np.mean(returns))


def extrapolation(record: dict) -> str:
    """A sentence about a record of ``evaluations.jsonl`` whose policy was asked for returns that the data do not hold.

    "" where that is so at no more than a hundredth of its steps, and for policies that see no return.
    """
    share = record.get("steps_outside", 0) / max(1, sum(record["lengths"]))
    if share <= 0.01:
        return ""
    return (
        f"seed {record['seed']}, target {record['target']}: {share:.0%} of the steps were conditioned on a "
        "return-to-go outside the data's range"
    )


def best_step(evaluations: list[dict]) -> int | None:
    """The update after which the mean return over seeds at the headline target was highest; None without evaluations.

    The headline target is that of the first record. The checkpoint of this update is kept, and ``best`` in
    ``results.json`` holds its scores. It is chosen by noisy evaluations.
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
        ref_min_return, ref_max_return: the returns that score 0 and 100; None where there are none.

    Returns:
        ``{"final": table, "best": table}``. A table maps a target to ``{"seeds": {seed: cell}, "aggregate": cell}``,
        a cell holds ``return``, ``normalized_score`` (null without references), ``episodes`` (and ``step`` for a seed;
        ``return_std`` and ``normalized_score_std`` over seeds for an aggregate, null for a single seed); where the
        environment tells, ``success_rate`` (share of episodes) and ``tasks_completed`` (mean number) too. Where
        episodes failed ``failed_episodes`` is their number, and all else is null.

        ``best`` holds the evaluations after one update, the same for all seeds and targets: ``best_step``, whose
        checkpoint is kept. It was chosen by these evaluations, so its scores are biased upwards: never mix the two
        tables. Older files hold each seed's own maximum there; the cells' ``step`` tells them apart.

    Raises:
        UserError: two evaluations of one seed, update and target.
    """

    def cell(record: dict) -> dict:
        value = mean_return(record)
        value = None if math.isnan(value) else value
        known = None not in (value, ref_min_return)
        score = normalized_score(value, ref_min_return, ref_max_return) if known else None
        cell = {"return": value, "normalized_score": score, "episodes": len(record["returns"]), "step": record["step"]}
        if "failed" in record:
            cell["failed_episodes"] = sum(reason is not None for reason in record["failed"])
        if "success" in record:
            cell["success_rate"] = None if value is None else float(np.mean(record["success"]))
        if "tasks" in record:
            completed = [len(tasks) for tasks in record["tasks"]]
            cell["tasks_completed"] = None if value is None else float(np.mean(completed))
        return cell

    def table(records: list[dict]) -> dict:
        result: dict = {}
        for record in records:
            seeds = result.setdefault(str(record["target"]), {"seeds": {}})["seeds"]
            if str(record["seed"]) in seeds:
                raise ValueError(f"two evaluations of seed {record['seed']} at step {record['step']}, one target.")
            seeds[str(record["seed"])] = cell(record)
        for entry in result.values():
            entry["aggregate"] = aggregate(list(entry["seeds"].values()))
        return result

    best = best_step(evaluations)
    return {
        "final": table([record for record in evaluations if record["final"]]),
        "best": table([record for record in evaluations if record["step"] == best]),
    }


def aggregate(cells: list[dict]) -> dict:
    """Mean and standard deviation (of the sample, n - 1) over the cells of several seeds."""
    result: dict = {"episodes": sum(cell["episodes"] for cell in cells), "num_seeds": len(cells)}
    failed = sum(cell.get("failed_episodes", 0) for cell in cells)
    if failed:
        result["failed_episodes"] = failed
    for name in ("return", "normalized_score", "success_rate", "tasks_completed"):
        if name not in cells[0]:
            continue
        values = [cell[name] for cell in cells]
        known = None not in values
        result[name] = float(np.mean(values)) if known else None
        result[f"{name}_std"] = float(np.std(values, ddof=1)) if known and len(values) > 1 else None
    return result
