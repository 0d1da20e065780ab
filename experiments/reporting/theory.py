"""The curves of ``reporting.theory_curves`` as a picture and in words."""

from __future__ import annotations

import pathlib

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np

_GAP, _BOUND, _NEW = "#0072B2", "#D55E00", "#009E73"


def plot_theory(curves: dict, path: pathlib.Path) -> None:
    """Draws gap and bound against both coverages, epsilon and the number of trajectories."""
    figure, axes = plt.subplots(2, 2, figsize=(10, 7.5), layout="constrained")
    (expert, spectrum), (stochastic, samples) = axes
    coverage, epsilon, learned = curves["coverage"], curves["stochasticity"], curves["samples"]
    alphas, regrets, limits = (np.ravel(coverage[name]) for name in ("alpha", "regret", "bound"))
    order = alphas.argsort()
    expert.scatter(alphas, regrets, s=4, color=_GAP, alpha=0.3, label="$E f^* - J(\\pi_f)$, one MDP each")
    expert.plot(alphas[order], limits[order], color=_BOUND, label="bound of Brandfonbrener et al.")
    expert.set(
        xscale="log",
        xlabel="expert-level coverage $\\alpha_{f^*}$",
        title=f"f = f*, $\\epsilon$ = {curves['epsilon']:g}",
    )
    _plot_spectrum(spectrum, curves)
    _band(stochastic, epsilon["dial"], epsilon["regret"], _GAP, "$E f^* - J(\\pi_f)$")
    _band(stochastic, epsilon["dial"], epsilon["bound"], _BOUND, "bound of Brandfonbrener et al.")
    stochastic.set(xlabel="stochasticity $\\epsilon$", title=f"f = f*, expert share {curves['skill']:g}")
    for each in (expert, stochastic):
        each.set_yscale("symlog", linthresh=0.01)
        each.set_ylim(bottom=-0.005)
    _band(samples, learned["n"], learned["gap"], _GAP, "$J(\\pi^*) - J(\\hat\\pi_f)$")
    _band(samples, learned["n"], learned["bound"], _NEW, "terms of the sample bound, C = 0")
    samples.set(
        xscale="log", yscale="log", xlabel="trajectories N", title=f"f = f*, $\\epsilon$ = {curves['epsilon']:g}"
    )
    for each in axes.flat:
        each.spines[["top", "right"]].set_visible(False)
        each.legend(frameon=False, fontsize=8)
        each.set(ylabel="return")
    figure.savefig(path, dpi=130)
    plt.close(figure)


def _plot_spectrum(axes: plt.Axes, curves: dict) -> None:
    """The gap to the best policy for targets below f*, and bound (4) with the smallest C for which it always holds."""
    asked = {name: np.ravel(np.array(curves["asked"][name], float)) for name in curves["asked"] if name != "dial"}
    covered = asked["alpha"] > 0
    alpha, expert_alpha, gap, constant = (asked[name][covered] for name in ("alpha", "expert_alpha", "gap", "constant"))
    needed = constant.max()
    limits = (1 / alpha + 1 / expert_alpha) * curves["horizon"] ** 2 * needed  # no slips, so this term alone
    axes.scatter(alpha, gap, s=4, color=_GAP, alpha=0.3, label="$J(\\pi^*) - J(\\pi_f)$, one MDP each")
    axes.scatter(
        alpha, limits, s=4, color=_NEW, alpha=0.3, label=f"bound (4) with C = {needed:.2g}, what all of them need"
    )
    shares = ", ".join(f"{share:g}" for share in curves["asked"]["dial"])
    axes.set(xscale="log", xlabel="coverage $\\alpha_f$ of what is asked", title=f"f = {shares} f*, no slips")
    axes.set_yscale("symlog", linthresh=0.01)
    axes.set_ylim(bottom=-0.005)


def _band(axes, dial, values, colour: str, label: str) -> None:
    """Median and the middle 80 % over MDPs."""
    low, middle, high = np.percentile(np.array(values), (10, 50, 90), axis=1)
    axes.plot(dial, middle, color=colour, label=label, linewidth=2)
    axes.fill_between(dial, low, high, color=colour, alpha=0.15, linewidth=0)


def describe_theory(curves: dict) -> str:
    """The results in a few lines."""
    parts = [curves[name] for name in ("coverage", "stochasticity", "asked")]
    regrets, limits = (
        np.concatenate([np.ravel(np.array(part[name], float)) for part in parts]) for name in ("regret", "bound")
    )
    telling = limits < curves["horizon"]  # a larger bound holds for every policy; NaN (no coverage) is not below
    held, slips = (regrets[telling] <= limits[telling] + 1e-9).sum(), telling & (limits > 0)
    lines = [
        "H is the horizon, f* the best return from the initial state, and slips are transitions drawn at random.",
        f"{curves['mdps']} random MDPs, {regrets.size} settings. In {telling.sum()} of them the bound of "
        f"Brandfonbrener et al. is informative (below H = {curves['horizon']}): it held in {held}. With slips the gap "
        f"reached at most "
        f"{100 * (regrets[slips] / limits[slips]).max():.0f} % of it.",
    ]
    for asked, constants, empties in zip(
        *(curves["asked"][name] for name in ("dial", "constant", "empty")), strict=True
    ):
        pairs = np.array([pair for pair in zip(constants, empties, strict=True) if None not in pair])
        if not pairs.size:
            lines.append(f"Without slips no MDP covers the target {asked:g} f*.")
            continue
        shares = ", ".join(f"{value:.2f}" for value in np.percentile(pairs[:, 0] / pairs[:, 1], (50, 90, 100)))
        lines.append(
            f"Without slips and with the target {asked:g} f*, the smallest C with which bound (4) holds, as a share of "
            f"the C from which on it exceeds H and says nothing: {shares} (median, 90th percentile and largest of "
            f"{len(pairs)} MDPs)."
        )
    gaps, counts = np.median(curves["samples"]["gap"], axis=1), curves["samples"]["n"]
    lines.append(
        f"Learned from {counts[0]} trajectories the median gap is {gaps[0]:.3f}, from {counts[-1]:,} {gaps[-1]:.3f}."
    )
    return "\n".join(lines)
