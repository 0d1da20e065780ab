"""``results.json`` and the picture of a run, from its records alone."""

from __future__ import annotations

import logging
import pathlib

from rvdt_jax.errors import not_installed
from rvdt_jax.report.records import read_lines, summarise, write_json
from rvdt_jax.report.summary import target_name

log = logging.getLogger(__name__)


def write_results(settings: dict, folder: pathlib.Path, facts: dict) -> dict:
    """Writes ``results.json`` and ``learning_curve.png``; returns the former.

    Args:
        settings: the content of ``config.json``.
        folder: the run directory.
        facts: what else belongs into the results: ``ref_min_return``, ``ref_max_return`` (None without references),
            ``environment``, ``provenance``, ``hardware``, ``versions``.
    """
    evaluations = read_lines(folder / "evaluations.jsonl")
    results = assemble_results(settings, settings["train"]["steps"], evaluations, facts)
    write_json(folder / "results.json", results)
    if evaluations:
        _plot(results, evaluations, folder / "learning_curve.png")
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


def _plot(results: dict, evaluations: list[dict], path: pathlib.Path) -> None:
    try:
        from rvdt_jax.report.plots import plot_learning_curves
    except ImportError as error:
        log.warning("no picture: %s", not_installed(error) or error)
        return
    provenance, target = results["provenance"], evaluations[0]["target"]
    recreated = provenance.get("recreated")
    plot_learning_curves(
        {f"{results['variant']} ({target_name(results)})": (evaluations, target)},
        path,
        title=f"{results['task'] or 'own data'} ({'recreated data' if recreated else provenance['dataset_id']})",
        ref_min_return=results["ref_min_return"],
        ref_max_return=results["ref_max_return"],
    )
