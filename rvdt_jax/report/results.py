"""The results of a run: ``results.json`` and its picture, made from its records alone, and how they are printed."""

from __future__ import annotations

import logging
import pathlib

from rvdt_jax.errors import UserError, not_installed
from rvdt_jax.report.records import describe_holdout, read_lines, summarise, summarise_holdout, write_json

log = logging.getLogger(__name__)


def write_results(settings: dict, folder: pathlib.Path, facts: dict) -> dict:
    """Writes ``results.json`` and ``learning_curve.png``; returns the former.

    Args:
        settings: the content of ``config.json``.
        folder: the run directory.
        facts: further entries of the results: ``ref_min_return``, ``ref_max_return`` (None without references),
            ``environment``, ``provenance``, ``hardware``, ``versions``, ``commit``.
    """
    evaluations = read_lines(folder / "evaluations.jsonl")
    results = assemble_results(settings, settings["train"]["steps"], evaluations, facts)
    held = read_lines(folder / "holdout.jsonl")
    if held:
        results["holdout"] = summarise_holdout(held)
    write_json(folder / "results.json", results)
    if evaluations or held:
        _plot(results, evaluations, held, folder / "learning_curve.png")
    return results


def assemble_results(settings: dict, steps: int, evaluations: list[dict], facts: dict) -> dict:
    """The content of ``results.json``: see ``write_results``; ``steps`` is the final checkpoint's update."""
    return {
        "task": settings["task"],
        "variant": settings["variant"],
        "seeds": list(settings["seeds"]),
        "steps": steps,
        "action_selection": settings["eval"].get("action_selection", "mean"),
        "headline_target": str(evaluations[0]["target"]) if evaluations else None,
        **summarise(evaluations, facts["ref_min_return"], facts["ref_max_return"]),
        **facts,
    }


def _plot(results: dict, evaluations: list[dict], held: list[dict], path: pathlib.Path) -> None:
    try:
        from rvdt_jax.report.plots import plot_learning_curves
    except ImportError as error:
        log.warning("no picture: %s", not_installed(error) or error)
        return
    provenance = results["provenance"]
    data = "recreated data" if provenance.get("recreated") else provenance["dataset_id"]
    scored = (
        {f"{results['variant']} ({target_name(results)})": (evaluations, evaluations[0]["target"])}
        if evaluations
        else {}
    )
    plot_learning_curves(
        scored,
        path,
        held=held,
        title=f"{results['task'] or 'own data'} ({data})",
        ref_min_return=results["ref_min_return"],
        ref_max_return=results["ref_max_return"],
    )


def print_results(results: list[dict], folder: pathlib.Path, what: str = "Records and learning curve") -> None:
    """Prints the final-checkpoint scores of runs on one task, and the folder with the files named by ``what``."""
    first = results[0]
    print(f"\n{subject(first)}: final checkpoint after {first['steps']} updates ({data_label(first['provenance'])})")
    for result in results:
        if "holdout" in result:
            about = result["provenance"]["holdout"]
            print(f"{result['variant']}, {about['episodes']} of {about['of']} trajectories held out:", end=" ")
            print(describe_holdout(result["holdout"]))
    if not first["final"]:
        print(f"Nothing was scored. Records: {folder}")
        return
    print(f"{'variant':<12} {'target':>12} {'score':>16} {'return':>16} {'seeds':>6} {'episodes':>9}")
    for result in results:
        print("\n".join(format_scores(result)))
    if first.get("environment"):
        print(f"Scored in {first['environment']}.")
    print(f"{what}: {folder}")


def check_scored(results: dict, records: pathlib.Path) -> None:
    """Refuses results of which every episode failed, by a UserError that names the file with the reasons."""
    cells = [entry["aggregate"] for entry in results["final"].values()]
    if cells and all(cell.get("failed_episodes") == cell["episodes"] for cell in cells):
        raise UserError(
            f"every episode of the evaluation failed; {records} has the reasons. The checkpoints are sound: correct "
            "the environment, and score them with evaluate.py."
        )


def format_scores(results: dict) -> list[str]:
    """One line per target: normalised score and raw return, mean and standard deviation over seeds."""
    lines = []
    for target, entry in results["final"].items():
        cell = entry["aggregate"]
        score = plus_minus(cell["normalized_score"], cell["normalized_score_std"])
        lines.append(
            f"{results['variant']:<12} {target:>12} {score:>16} "
            f"{plus_minus(cell['return'], cell['return_std']):>16} {cell['num_seeds']:>6} {cell['episodes']:>9}"
        )
        if "failed_episodes" in cell:
            lines[-1] += f"  {cell['failed_episodes']} of {cell['episodes']} episodes failed: no score"
        if cell.get("success_rate") is not None:
            lines[-1] += f"  success {100 * cell['success_rate']:.1f} %"
        if cell.get("tasks_completed") is not None:
            lines[-1] += f"  {cell['tasks_completed']:.2f} sub-tasks"
    return lines


def subject(results: dict) -> str:
    """The task of a run, or else its data set."""
    return results["task"] or results["provenance"]["dataset_id"]


def data_label(provenance: dict) -> str:
    """The data set in words; recreated data are always named as such."""
    share = provenance.get("subset")
    part = f" with {share['episodes']} of {share['of']} trajectories" if share else ""
    if provenance.get("recreated"):
        return f"{provenance['dataset_id']}{part}: recreated data, not D4RL's files"
    return f"data: {provenance['dataset_id']}{part}"


def hardware_label(results: dict) -> str:
    """The hardware of a run in words; older records name no processor."""
    return results["hardware"].replace(" x cpu", " x CPU (name not recorded)")


def target_name(results: dict) -> str:
    """The headline target of a run in words."""
    target = results["headline_target"]
    return "no target" if target == "none" else f"target {target.removesuffix('.0')}"


def plus_minus(mean: float | None, std: float | None, sign: str = " +- ", blank: str = "-") -> str:
    """``mean +- std``, the mean alone for a single seed, or ``blank`` if there is no score."""
    if mean is None:
        return blank
    return f"{mean:.1f}" if std is None else f"{mean:.1f}{sign}{std:.1f}"
