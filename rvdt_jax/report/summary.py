"""Score tables for a terminal."""

from __future__ import annotations

import pathlib


def format_scores(results: dict, table: str = "final") -> list[str]:
    """One line per target: normalised score and raw return, mean and standard deviation over seeds."""
    lines = []
    for target, entry in results[table].items():
        cell = entry["aggregate"]
        score = plus_minus(cell["normalized_score"], cell["normalized_score_std"])
        lines.append(
            f"{results['variant']:<12} {target:>12} {score:>16} "
            f"{plus_minus(cell['return'], cell['return_std']):>16} {cell['num_seeds']:>6} {cell['episodes']:>9}"
            + "".join(f"  {text}" for text in _outcomes(cell))
        )
    return lines


def _outcomes(cell: dict) -> list[str]:
    """What the environment tells besides the return."""
    found = []
    if "failed_episodes" in cell:
        found.append(f"{cell['failed_episodes']} of {cell['episodes']} episodes failed: no score")
    if cell.get("success_rate") is not None:
        found.append(f"success {100 * cell['success_rate']:.1f} %")
    if cell.get("tasks_completed") is not None:
        found.append(f"{cell['tasks_completed']:.2f} sub-tasks")
    return found


def data_label(provenance: dict) -> str:
    """What the scores rest on, for a reader: recreated data is never called by another name."""
    share = provenance.get("subset")
    part = f" with {share['episodes']} of {share['of']} trajectories" if share else ""
    if provenance.get("recreated"):
        return f"{provenance['dataset_id']}{part}: recreated data, not D4RL's files"
    return f"data: {provenance['dataset_id']}{part}"


def hardware_label(results: dict) -> str:
    """What a run was made on, for a reader. Older records name no processor."""
    return results["hardware"].replace(" x cpu", " x CPU (name not recorded)")


def target_name(run: dict) -> str:
    """The headline target of a run's results."""
    return "no target" if run["headline_target"] == "none" else f"target {run['headline_target'].removesuffix('.0')}"


def plus_minus(mean: float | None, std: float | None) -> str:
    """``mean +- std``, the mean alone for a single seed, or - where there is no score."""
    if mean is None:
        return "-"
    return f"{mean:.1f}" if std is None else f"{mean:.1f} +- {std:.1f}"


def print_results(results: list[dict], folder: pathlib.Path, what: str = "Records and learning curve") -> None:
    """Prints the final-checkpoint scores of runs on one task, and where ``what`` is."""
    first = results[0]
    label = data_label(first["provenance"])
    subject = first["task"] or first["provenance"]["dataset_id"]
    print(f"\n{subject}: final checkpoint after {first['steps']} updates ({label})")
    if not first["final"]:
        print(f"Nothing was scored. Records: {folder}")
        return
    print(f"{'variant':<12} {'target':>12} {'score':>16} {'return':>16} {'seeds':>6} {'episodes':>9}")
    for result in results:
        print("\n".join(format_scores(result)))
    if first.get("environment"):
        print(f"Scored in {first['environment']}.")
    print(f"{what}: {folder}")
