"""How similar recreated data sets are to D4RL's files: numbers of both side by side, and why they differ."""

from __future__ import annotations

import numpy as np

from rvdt_jax.report.render import markdown_table
from rvdt_jax.tasks import d4rl_datasets

PERCENTILES = (0, 10, 50, 90, 100)
_HEAD = ("data", "steps", "episodes", "return", "least", "median", "most", "length", "rewarded steps", "and episodes")
_WHY = {
    "medium": "one policy of one training run, the first whose return over ten episodes reached the mean of D4RL's "
    "data: the mean is where that run stood, the spread is that policy's own. Ten episodes flatter: Walker2d's "
    "policy, chosen at 3,006, has 2,063 over a hundred.",
    "medium-expert": "as medium; D4RL's second half is of a fully trained policy, ours of the best within a "
    "shorter training (see below).",
    "medium-replay": "a buffer is as long as its training took to the medium policy. On HalfCheetah and Hopper ours "
    "took about half of D4RL's steps; on Walker2d, 390,624 against 302,000.",
    "antmaze": "D4RL's episodes are counted as TFDS cuts them, after every rewarded step: about 999 by time, the "
    "others by a reward. Ours pay for the goal that the episode drew, where D4RL's pay for one goal in all. "
    "After its arrival an ant stays at the goal that it was sent to. Training sees nothing of that: what it "
    "reads of an episode ends with the first reward.",
}


def describe(task: str, lengths: np.ndarray, returns: np.ndarray, rewards: np.ndarray, terminated: np.ndarray) -> dict:
    """Numbers of a data set.

    Args:
        task: D4RL's name.
        lengths, returns, terminated: (E,) of the episodes as they were recorded.
        rewards: (N,) of all steps.

    Returns:
        JSON values: steps, episodes, percentiles and moments of returns and lengths, shares.
    """
    numbers = {
        "task": task,
        "steps": len(rewards),
        "episodes": len(lengths),
        "return_mean": float(returns.mean()),
        "return_std": float(returns.std()),
        "return_percentiles": _percentiles(returns),
        "length_mean": float(lengths.mean()),
        "length_percentiles": _percentiles(lengths),
        "terminated": float(terminated.mean()),
    }
    if task.startswith(("antmaze", "maze2d")):
        numbers |= {"rewarded_steps": float((rewards > 0).mean()), "rewarded_episodes": float((returns > 0).mean())}
    return numbers


def _percentiles(values: np.ndarray) -> dict[str, float]:
    return {str(place): float(np.percentile(values, place)) for place in PERCENTILES}


def table(found: list[dict]) -> str:
    """The report as Markdown: a table with two lines per task, then the reasons for differences.

    Args:
        found: of ``describe``, in any order.
    """
    lines, known = [], d4rl_datasets()
    order = list(known)
    rows = sorted(found, key=lambda row: (order.index(row["task"]), -row["steps"]))
    for row in rows:
        lines += [_recreated_line(row), _documented_line(known[row["task"]])]
    reasons = [f"- **{name}**: {why}" for name, why in _WHY.items() if name in map(_kind, rows)]
    return "\n".join([markdown_table(_HEAD, lines), "", "Why they differ:", "", *reasons, ""])


def _recreated_line(row: dict) -> list[str]:
    at = row["return_percentiles"]
    rewarded = [f"{100 * row[name]:.1f} %" if name in row else "" for name in ("rewarded_steps", "rewarded_episodes")]
    returns = (
        f"{row['return_mean']:.2f} ± {row['return_std']:.2f}",
        *(f"{at[place]:.2f}" for place in ("0", "50", "100")),
    )
    sizes = f"{row['steps']:,}", f"{row['episodes']:,}"
    return [f"**{row['task']}**, recreated", *sizes, *returns, f"{row['length_mean']:.0f}", *rewarded]


def _documented_line(row: dict[str, str]) -> list[str]:
    numbers = {name: float(value) for name, value in row.items() if name.startswith("return_") and value}
    least, most = (f"{numbers[name]:.2f}" if numbers else "" for name in ("return_min", "return_max"))
    returns = f"{numbers['return_mean']:.2f} ± {numbers['return_std']:.2f}" if numbers else ""
    return ["D4RL's", "", f"{int(row['episodes']):,}", returns, least, "", most, "", "", ""]


def _kind(row: dict) -> str:
    task = row["task"]
    return "antmaze" if task.startswith("antmaze") else task.removesuffix("-v2").partition("-")[2]


def policies_table(policies: dict[str, dict], experts: dict[str, float]) -> str:
    """Markdown: the returns of the policies that collect the data.

    Args:
        policies: the metadata of each by name, e.g. ``hopper-best``.
        experts: D4RL's expert return, by robot.
    """
    head = ("policy", "steps of training", "mean return, actions drawn", "and mean ones", "of D4RL's expert")
    lines = []
    for name, about in policies.items():
        steps, expert = f"{about['steps']:,}", experts.get(about["robot"])
        if expert is None:
            goals = about["goals_in_20_seconds_over_100_episodes"]
            reached = about["share_that_reach_a_goal_within_8_m_in_20_seconds"]
            words = [f"{goals[way]:.1f} goals in 20 s, {100 * reached[way]:.0f} % reach one" for way in goals]
            lines.append([name, steps, *words, ""])
        else:
            drawn, mean = about["mean_return_over_100_episodes"].values()
            shares = f"{100 * drawn / expert:.0f} %, {100 * mean / expert:.0f} %"
            lines.append([name, steps, f"{drawn:.0f}", f"{mean:.0f}", shares])
    return markdown_table(head, lines)
