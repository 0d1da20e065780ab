"""Pictures and words of what ``theory.curves`` computed."""

from __future__ import annotations

import pathlib

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np

_GAP, _BOUND, _NEW = "#0072B2", "#D55E00", "#009E73"


def plot_theory(curves: dict, path: pathlib.Path) -> None:
    """Draws gap and bound against coverage, epsilon and the number of trajectories."""
    figure, axes = plt.subplots(1, 3, figsize=(13, 4), layout="constrained")
    coverage, epsilon, samples = curves["coverage"], curves["stochasticity"], curves["samples"]
    alphas, regrets, limits = (np.ravel(coverage[name]) for name in ("alpha", "regret", "bound"))
    axes[0].scatter(alphas, regrets, s=4, color=_GAP, alpha=0.3, label="$E f^* - J(\\pi_f)$, one MDP each")
    order = alphas.argsort()
    axes[0].plot(alphas[order], limits[order], color=_BOUND, label="bound of Brandfonbrener et al.")
    axes[0].set(xscale="log", xlabel="coverage $\\alpha_{f^*}$", title=f"$\\epsilon$ = {curves['epsilon']:g}")
    axes[0].set_yscale("symlog", linthresh=0.01)
    axes[0].set_ylim(bottom=-0.005)
    _band(axes[1], epsilon["dial"], epsilon["regret"], _GAP, "$E f^* - J(\\pi_f)$")
    _band(axes[1], epsilon["dial"], epsilon["bound"], _BOUND, "bound of Brandfonbrener et al.")
    axes[1].set(xlabel="stochasticity $\\epsilon$", title=f"expert share {curves['skill']:g}")
    axes[1].set_yscale("symlog", linthresh=0.01)
    _band(axes[2], samples["n"], samples["gap"], _GAP, "$J(\\pi^*) - J(\\hat\\pi_f)$")
    _band(axes[2], samples["n"], samples["bound"], _NEW, "terms of the sample bound, C = 0")
    axes[2].set(xscale="log", yscale="log", xlabel="trajectories N", title=f"$\\epsilon$ = {curves['epsilon']:g}")
    for each in axes:
        each.spines[["top", "right"]].set_visible(False)
        each.legend(frameon=False, fontsize=8)
    axes[0].set(ylabel="return")
    figure.savefig(path, dpi=150)
    plt.close(figure)


def _band(axes, dial, values, colour: str, label: str) -> None:
    """Median and the middle 80 % over MDPs."""
    low, middle, high = np.percentile(np.array(values), (10, 50, 90), axis=1)
    axes.plot(dial, middle, color=colour, label=label, linewidth=2)
    axes.fill_between(dial, low, high, color=colour, alpha=0.15, linewidth=0)


def describe_theory(curves: dict) -> str:
    """What was found, in a few lines."""
    regrets, limits = (np.ravel([curves[part][name] for part in ("coverage", "stochasticity")]) for name in _NAMES)
    constants = np.ravel(curves["coverage"]["constant"])
    percentiles = ", ".join(f"{value:.3f}" for value in np.percentile(constants, (50, 90, 100)))
    held, tightest = (regrets <= limits + 1e-9).sum(), (regrets[limits > 0] / limits[limits > 0]).max()
    gaps = np.median(curves["samples"]["gap"], axis=1)
    return "\n".join(
        (
            f"{curves['mdps']} random MDPs, {regrets.size} pairs with a behaviour: the bound of Brandfonbrener et al. "
            f"held in {held}; the gap reached {100 * tightest:.0f} % of it at most.",
            f"The source's bound (4) needs C of {percentiles} (median, 90th percentile, largest over these MDPs).",
            f"Learned from {curves['samples']['n'][0]} trajectories the median gap is {gaps[0]:.3f}, from "
            f"{curves['samples']['n'][-1]:,} it is {gaps[-1]:.3f}.",
        )
    )


_NAMES = ("regret", "bound")
