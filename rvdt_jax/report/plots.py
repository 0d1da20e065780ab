"""Pictures from record files. Matplotlib draws off screen."""

from __future__ import annotations

import pathlib
from collections import defaultdict

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np

from rvdt_jax.report.records import mean_return, read_lines
from rvdt_jax.tasks import normalized_score

# Okabe and Ito's palette: told apart by colour-blind readers too.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")


def curve(evaluations: list[dict], target) -> tuple[np.ndarray, np.ndarray]:
    """The steps, and the (steps, seeds) mean raw returns at one target; only steps that every seed has."""
    by_step: dict[int, dict[int, float]] = defaultdict(dict)
    for record in evaluations:
        if record["target"] == target:
            by_step[record["step"]][record["seed"]] = mean_return(record)
    seeds = {seed for values in by_step.values() for seed in values}
    steps = sorted(step for step, values in by_step.items() if set(values) == seeds)
    return np.array(steps), np.array([[by_step[step][seed] for seed in sorted(seeds)] for step in steps])


def plot_learning_curves(
    curves: dict[str, tuple[list[dict], object]],
    path: pathlib.Path,
    *,
    title: str,
    ref_min_return: float | None,
    ref_max_return: float | None,
    references: dict[str, float] | None = None,
) -> None:
    """Draws normalised score against updates, mean and range over seeds, one colour a label.

    Args:
        curves: label -> (evaluation records, target to draw).
        path: the PNG to write.
        title: above the axes.
        ref_min_return, ref_max_return: the returns that score 0 and 100; None draws raw returns.
        references: label -> normalised score of a horizontal line.
    """
    figure, axes = plt.subplots(figsize=(7.2, 4.2), layout="constrained")
    for colour, (label, (evaluations, target)) in zip(COLOURS * len(curves), curves.items(), strict=False):
        steps, returns = curve(evaluations, target)
        scores = returns if ref_min_return is None else normalized_score(returns, ref_min_return, ref_max_return)
        axes.plot(steps, scores.mean(1), color=colour, label=label, linewidth=2)
        axes.fill_between(steps, scores.min(1), scores.max(1), color=colour, alpha=0.15, linewidth=0)
    for label, score in (references or {}).items():
        axes.axhline(score, color="grey", linewidth=0.8, linestyle="--")
        axes.annotate(
            label, (1.01, score), xycoords=("axes fraction", "data"), ha="left", va="center", fontsize=8, color="grey"
        )
    quantity = "return" if ref_min_return is None else "normalised score"
    axes.set(title=title, xlabel="updates", ylabel=f"{quantity} (mean and range over seeds)")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=True, framealpha=0.9, edgecolor="none", loc="best")
    figure.savefig(path, dpi=150)
    plt.close(figure)


def read_evaluations(run_folder: pathlib.Path) -> list[dict]:
    """The evaluation records of a run."""
    return read_lines(run_folder / "evaluations.jsonl")
