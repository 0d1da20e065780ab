"""The result of ``data.coverage.measure_coverage`` for a reader: a verdict in words, and a picture."""

from __future__ import annotations

import pathlib

import numpy as np

_RARE = 0.05  # of the training steps, or of the trajectories from a group of initial states
_LOOKS = (("before", "#0072B2", "data"), ("after", "#D55E00", "rebalanced"))
_PICKED = {
    "start": "picked by return among those that start near them",
    "return": "picked by return wherever they start",
    "threshold": "picked by a return threshold",
}


def worst_and_mean(measured: dict, when: str) -> tuple[float, float, float, float]:
    """Coverage of the target ``before`` or ``after``: of the worst group of states, its interval, and overall."""
    bin_, part = measured["asked_bin"], measured[when]
    shares = np.array(part["by_group"])[:, bin_]
    worst = int(shares.argmin())
    ends = (part[f"by_group_{end}"][worst][bin_] for end in ("low", "high"))
    return float(shares[worst]), *ends, float(part["histogram"][bin_])


def verdict(measured: dict) -> str:
    """What the numbers mean for a policy that is conditioned on the target, in plain words."""
    edges, bin_ = measured["edges"], measured["asked_bin"]
    target, spread, range_ = measured["target"], measured["returns"], f"{edges[bin_]:.4g} to {edges[bin_ + 1]:.4g}"
    if measured["target_is_in_range"]:
        lines = [f"Inference will ask for a return of {target:g}; returns of {range_} count as that."]
    else:
        side = "above" if target > spread["max"] else "below"
        lines = [
            f"Inference will ask for a return of {target:g}. It is {side} every return in the data "
            f"({spread['min']:.4g} to {spread['max']:.4g}). The numbers below are for the nearest returns in the data, "
            f"{range_}."
        ]
    for when, words in (("before", "In the data"), ("after", f"Rebalanced with alpha {measured['alpha']:g}")):
        worst, low, high, mean = map(_percent, worst_and_mean(measured, when))
        lines.append(
            f"{words}, {mean} of the trajectories have such a return, and {worst} ({low} to {high}) of those from the "
            f"group of initial states where it is rarest. Their steps are {_percent(measured[when]['step_share'])} of "
            "all training steps."
        )
    return "\n".join([*lines, *_experts(measured), _judgement(measured)])


def _experts(measured: dict) -> list[str]:
    """Expert coverage before and after rebalancing, one line each."""
    rarest = int(np.argmin(measured["before"]["expert_by_group"]))
    numbers = []
    for part in (measured["before"], measured["after"]):
        share, low, high = (_percent(part[f"expert_by_group{end}"][rarest]) for end in ("", "_low", "_high"))
        overall, steps = _percent(part["expert_share"]), _percent(part["expert_step_share"])
        numbers.append((overall, f"{share} ({low} to {high})", steps))
    (overall, share, steps), (overall_after, share_after, steps_after) = numbers
    return [
        f"Experts, {_PICKED[measured['expert_set']['by']]}, are {overall} of the trajectories, and {share} in the "
        f"group of initial states where they are rarest. Their steps are {steps} of all steps.",
        f"Rebalanced with alpha {measured['alpha']:g}, experts count as {overall_after} of the trajectories, and as "
        f"{share_after} in that group. Their steps count as {steps_after} of all steps.",
    ]


def _judgement(measured: dict) -> str:
    before, after = (measured[when]["step_share"] for when in ("before", "after"))
    gain = after / before if before > 0 else 1.0
    if not measured["target_is_in_range"]:
        return "Imitation cannot teach a return that no trajectory has, and no rebalancing can change that."
    raised = f"raises its share of the steps {gain:.2g} times" if gain > 1.05 else "does not raise its share"
    if worst_and_mean(measured, "after")[2] < _RARE:
        scope = "From some initial states almost no trajectory has the requested return"
    elif after < _RARE:
        scope = "Few of the training steps belong to the requested return"
    else:
        scope = "A good part of the training steps belongs to the requested return"
    return f"{scope}; rebalancing {raised}."


def _percent(share: float) -> str:
    return f"{100 * share:.2g} %" if share < 0.1 else f"{100 * share:.0f} %"


def plot_coverage(measured: dict, path: pathlib.Path, *, title: str) -> None:
    """Writes the picture as a PNG."""
    coverage_picture(measured, title=title).savefig(path, dpi=150)


def coverage_picture(measured: dict, *, title: str):
    """The data's returns, coverage of every return before and after rebalancing, and experts by group of states.

    ``measured`` is of ``data.coverage.measure_coverage``. Returns a closed figure of matplotlib, to be saved.
    """
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(15, 3.8), layout="constrained")
    _plot_returns(left, middle, measured)
    _plot_experts(right, measured)
    for axes in figure.axes:
        axes.spines[["top", "right"]].set_visible(False)
    figure.suptitle(f"{title}; grey: the requested return", fontsize=10)
    plt.close(figure)
    return figure


def _plot_returns(left, right, measured: dict) -> None:
    """Left the histogram of returns, right coverage given the initial state."""
    edges = np.array(measured["edges"])
    centres, width = (edges[:-1] + edges[1:]) / 2, max(edges[1] - edges[0], 1e-9)
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
        axes.set(xlabel="return of a trajectory")
        axes.set_yscale("symlog", linthresh=10 / measured["episodes"])  # draws what never occurs at 0
        axes.set_ylim(bottom=0)
        axes.legend(frameon=False, fontsize=8)
    left.set(ylabel="share of the trajectories")
    right.set(ylabel="P(g in bin | initial state), 95 % interval")


def _plot_experts(axes, measured: dict) -> None:
    """The share of experts by group of initial states, fewest first."""
    order = np.argsort(measured["before"]["expert_by_group"], kind="stable")
    for offset, (when, colour, label) in enumerate(_LOOKS):
        share, low, high = (np.array(measured[when][f"expert_by_group{end}"])[order] for end in ("", "_low", "_high"))
        place = np.arange(1, order.size + 1) + (offset - 0.5) * 0.42
        ends = np.maximum([share - low, high - share], 0.0)
        axes.bar(place, share, width=0.42, color=colour, label=f"{label}, {_percent(measured[when]['expert_share'])}")
        axes.errorbar(place, share, yerr=ends, fmt="none", ecolor="black", elinewidth=0.8)
    axes.set(xlabel="group of initial states, fewest experts first", ylabel="P(expert | initial state), 95 % interval")
    axes.set(ylim=(0, None), xticks=np.arange(1, order.size + 1))
    axes.legend(frameon=False, fontsize=8, title="share of all trajectories", title_fontsize=8)
