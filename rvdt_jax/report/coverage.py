"""What ``data.coverage`` measured, for a reader: a verdict in words, and a picture."""

from __future__ import annotations

import pathlib

import numpy as np

_RARE = 0.05  # of the training steps, or of the trajectories from a group of initial states


def worst_and_mean(measured: dict, when: str) -> tuple[float, float, float, float]:
    """Coverage of the return that is asked for: of the worst group of initial states with its interval, and overall.

    Args:
        measured: of ``data.coverage.measure_coverage``.
        when: ``before`` or ``after`` rebalancing.
    """
    bin_, part = measured["asked_bin"], measured[when]
    shares = np.array(part["by_group"])[:, bin_]
    worst = int(shares.argmin())
    ends = (part[f"by_group_{end}"][worst][bin_] for end in ("low", "high"))
    return float(shares[worst]), *ends, float(part["histogram"][bin_])


def verdict(measured: dict) -> str:
    """What the numbers mean for a policy that is asked for the target, in plain words."""
    edges, bin_ = measured["edges"], measured["asked_bin"]
    low, high = edges[bin_], edges[bin_ + 1]
    target, spread = measured["target"], measured["returns"]
    lines = []
    if measured["target_is_in_range"]:
        lines.append(
            f"Inference will ask for a return of {target:g}; the data show returns of {low:.4g} to {high:.4g}."
        )
    else:
        side = "above" if target > spread["max"] else "below"
        lines.append(
            f"Inference will ask for a return of {target:g}, which lies {side} everything in the data "
            f"({spread['min']:.4g} to {spread['max']:.4g}): no trajectory shows it. What follows is about the nearest "
            f"returns that the data do show, {low:.4g} to {high:.4g}."
        )
    for when, words in (("before", "In the data"), ("after", f"Rebalanced with alpha {measured['alpha']:g}")):
        worst, worst_low, worst_high, mean = worst_and_mean(measured, when)
        lines.append(
            f"{words}, {_percent(mean)} of the trajectories show that, and {_percent(worst)} ({_percent(worst_low)} to "
            f"{_percent(worst_high)}) from the group of initial states where it is rarest; they make up "
            f"{_percent(measured[when]['step_share'])} of the training steps."
        )
    if _has_experts(measured):
        lines += [_experts(measured, when) for when in ("before", "after")]
    lines.append(_judgement(measured))
    return "\n".join(lines)


_PICKED = {
    "start": "picked by return among those that start near them",
    "return": "picked by return wherever they start",
    "threshold": "picked by a return threshold",
}


def _has_experts(measured: dict) -> bool:
    """Records made before experts were counted say nothing of them."""
    return "expert_share" in measured["before"]


def _experts(measured: dict, when: str) -> str:
    """Expert coverage in words."""
    part = measured[when]
    rarest = int(np.argmin(measured["before"]["expert_by_group"]))
    share, low, high = (_percent(part[f"expert_by_group{end}"][rarest]) for end in ("", "_low", "_high"))
    overall, steps = _percent(part["expert_share"]), _percent(part["expert_step_share"])
    if when == "before":
        return (
            f"Experts, {_PICKED[measured['expert_set']['by']]}, are {overall} of the trajectories, and {share} ({low} "
            f"to {high}) in the group of initial states where they are rarest. Their steps are {steps} of all steps."
        )
    return (
        f"Rebalanced with alpha {measured['alpha']:g}, experts count as {overall} of the trajectories, and as {share} "
        f"({low} to {high}) in that group. Their steps count as {steps} of all steps."
    )


def _judgement(measured: dict) -> str:
    before, after = (measured[when]["step_share"] for when in ("before", "after"))
    gain = after / before if before > 0 else 1.0
    if not measured["target_is_in_range"]:
        return (
            "So nothing that is learned by imitation is about what will be asked, and no rebalancing can change that."
        )
    raised = f"rebalancing raises it {gain:.2g} times" if gain > 1.05 else "rebalancing does not raise it"
    if worst_and_mean(measured, "after")[2] < _RARE:
        scope = "from some initial states next to nothing teaches what will be asked"
    elif after < _RARE:
        scope = "little of what is learned is about what will be asked"
    else:
        scope = "a good part of what is learned is about what will be asked"
    return f"So {scope}; {raised}."


def _percent(share: float) -> str:
    return f"{100 * share:.2g} %" if share < 0.1 else f"{100 * share:.0f} %"


def plot_coverage(measured: dict, path: pathlib.Path | object, *, title: str, kind: str = "png") -> None:
    """Draws the returns of the data, and coverage over the whole spectrum of returns, before and after rebalancing.

    A third picture shows the share of experts in every group of initial states.
    """
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    edges = np.array(measured["edges"])
    centres, width = (edges[:-1] + edges[1:]) / 2, max(edges[1] - edges[0], 1e-9)
    panels = 3 if _has_experts(measured) else 2
    figure, (left, right, *others) = plt.subplots(1, panels, figsize=(5 * panels, 3.8), layout="constrained")
    for offset, (when, colour, label) in enumerate(_LOOKS):
        part, place = measured[when], centres + (offset - 0.5) * 0.42 * width
        left.bar(place, part["histogram"], width=0.42 * width, color=colour, label=label)
        shares = np.array(part["by_group"])
        worst = shares.argmin(0)
        columns = np.arange(shares.shape[1])
        ends = [np.array(part[f"by_group_{end}"])[worst, columns] for end in ("low", "high")]
        right.plot(centres, part["histogram"], color=colour, marker=".", label=f"{label}, all initial states")
        right.plot(centres, shares.min(0), color=colour, linestyle=":", label=f"{label}, where it is rarest")
        right.fill_between(centres, *ends, color=colour, alpha=0.15, linewidth=0)
    for axes in (left, right):
        axes.axvspan(edges[measured["asked_bin"]], edges[measured["asked_bin"] + 1] + 1e-9, color="grey", alpha=0.2)
        axes.spines[["top", "right"]].set_visible(False)
        axes.set(xlabel="return of a trajectory")
        axes.set_yscale("symlog", linthresh=10 / measured["episodes"])  # what never occurs is drawn at 0
        axes.set_ylim(bottom=0)
        axes.legend(frameon=False, fontsize=8)
    left.set(ylabel="share of the trajectories")
    right.set(ylabel="P(g in bin | initial state), 95 % interval")
    for axes in others:
        _plot_experts(axes, measured)
    figure.suptitle(f"{title}; grey: what will be asked", fontsize=10)
    figure.savefig(path, dpi=150, format=kind, metadata={"Date": None} if kind == "svg" else None)
    plt.close(figure)


def _plot_experts(axes, measured: dict) -> None:
    """The share of experts by group of initial states, fewest first."""
    order = np.argsort(measured["before"]["expert_by_group"], kind="stable")
    for offset, (when, colour, label) in enumerate(_LOOKS):
        share, low, high = (np.array(measured[when][f"expert_by_group{end}"])[order] for end in ("", "_low", "_high"))
        place = np.arange(1, order.size + 1) + (offset - 0.5) * 0.42
        ends = np.maximum([share - low, high - share], 0.0)
        axes.bar(place, share, width=0.42, color=colour, label=f"{label}, {_percent(measured[when]['expert_share'])}")
        axes.errorbar(place, share, yerr=ends, fmt="none", ecolor="black", elinewidth=0.8)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set(xlabel="group of initial states, fewest experts first", ylabel="P(expert | initial state), 95 % interval")
    axes.set(ylim=(0, None), xticks=np.arange(1, order.size + 1))
    axes.legend(frameon=False, fontsize=8, title="share of all trajectories", title_fontsize=8)


_LOOKS = (("before", "#0072B2", "data"), ("after", "#D55E00", "rebalanced"))
