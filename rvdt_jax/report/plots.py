"""Learning curves, drawn off screen from record files."""

from __future__ import annotations

import pathlib
from collections import defaultdict

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np

from rvdt_jax.report.records import mean_return
from rvdt_jax.tasks import normalized_score

# Okabe and Ito's palette, which colour-blind readers can tell apart.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#999999")


def curve(evaluations: list[dict], target) -> tuple[np.ndarray, np.ndarray]:
    """(steps,) updates and (steps, seeds) mean raw returns at one target; only steps that every seed has."""
    by_step: dict[int, dict[int, float]] = defaultdict(dict)
    for record in evaluations:
        if record["target"] == target:
            by_step[record["step"]][record["seed"]] = mean_return(record)
    seeds = {seed for values in by_step.values() for seed in values}
    steps = sorted(step for step, values in by_step.items() if set(values) == seeds)
    return np.array(steps), np.array([[by_step[step][seed] for seed in sorted(seeds)] for step in steps])


def draw_curve(axes: plt.Axes, evaluations: list[dict], target, references, *, colour: str, label: str) -> None:
    """Draws mean and range over seeds of the records at one target against updates.

    ``references`` are the returns that score 0 and 100; (None, None) draws raw returns.
    """
    steps, returns = curve(evaluations, target)
    scores = returns if None in references else normalized_score(returns, *references)
    axes.plot(steps, scores.mean(1), color=colour, label=label, linewidth=2)
    axes.fill_between(steps, scores.min(1), scores.max(1), color=colour, alpha=0.15, linewidth=0)


def plot_learning_curves(
    curves: dict[str, tuple[list[dict], object]],
    path: pathlib.Path,
    *,
    title: str,
    ref_min_return: float | None,
    ref_max_return: float | None,
    references: dict[str, float] | None = None,
    held: list[dict] | None = None,
) -> None:
    """Draws normalised score against updates, one colour per label, and below it what held-out trajectories say.

    Args:
        curves: label -> (evaluation records, target to draw).
        path, title: the PNG to write, and the words above the axes.
        ref_min_return, ref_max_return: the returns that score 0 and 100; None draws raw returns.
        references: label -> normalised score of a horizontal line.
        held: records of ``holdout.jsonl``; with no curves their panel is the only one.
    """
    panels = bool(curves) + bool(held)
    figure, grid = plt.subplots(panels, figsize=(7.2, 4.2 * panels), layout="constrained", squeeze=False, sharex=True)
    if curves:
        _draw_scores(grid[0, 0], curves, ref_min_return, ref_max_return, references or {})
    if held:
        _draw_holdout(grid[-1, 0], held)
    grid[0, 0].set(title=title)
    grid[-1, 0].set(xlabel="updates")
    for axes in grid.flat:
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=True, framealpha=0.9, edgecolor="none", loc="best")
    figure.savefig(path, dpi=150)
    plt.close(figure)


def _draw_holdout(axes: plt.Axes, held: list[dict]) -> None:
    """Draws the action error on all held-out trajectories, and on those of the lowest and the highest returns."""
    parts = {"all": lambda record: record, "lowest returns": lambda record: record["bins"][0]}
    parts["highest returns"] = lambda record: record["bins"][-1]
    steps = sorted({record["step"] for record in held})
    for colour, (label, part) in zip(COLOURS, parts.items(), strict=False):
        errors = [[part(record)["action_error"] for record in held if record["step"] == step] for step in steps]
        axes.plot(steps, np.mean(errors, axis=1), color=colour, label=f"held out: {label}", linewidth=2)
        axes.fill_between(steps, np.min(errors, axis=1), np.max(errors, axis=1), color=colour, alpha=0.15, linewidth=0)
    axes.set(ylabel="action error (mean and range over seeds)")


def _draw_scores(axes: plt.Axes, curves: dict, ref_min_return, ref_max_return, references: dict[str, float]) -> None:
    for colour, (label, (evaluations, target)) in zip(COLOURS * len(curves), curves.items(), strict=False):
        draw_curve(axes, evaluations, target, (ref_min_return, ref_max_return), colour=colour, label=label)
    for label, score in references.items():
        axes.axhline(score, color="grey", linewidth=0.8, linestyle="--")
        place = {"xy": (1.01, score), "xycoords": ("axes fraction", "data"), "ha": "left", "va": "center"}
        axes.annotate(label, **place, fontsize=8, color="grey")
    quantity = "return" if ref_min_return is None else "normalised score"
    axes.set(ylabel=f"{quantity} (mean and range over seeds)")
