"""What a person should look at before training, as text: on imported columns, and on any data set."""

from __future__ import annotations

import numpy as np

from rvdt_jax.data.coverage import rounding
from rvdt_jax.data.episodes import Episodes
from rvdt_jax.data.importing import Imported
from rvdt_jax.data.layouts import KNOWN
from rvdt_jax.data.spaces import unscale_actions

_SAMPLE = 200_000  # rows that medians are taken of
_FAR = 50.0  # standard deviations from the mean: one such value is taken for a glitch
_MOST = 60  # rows of the table of columns
_FEW = 32  # different whole numbers, which may be codes of choices


def describe_data(episodes: Episodes, targets: tuple[float, ...], horizon: int | None) -> list[str]:
    """Four lines on a data set: size, returns beside what will be asked for, lengths beside the horizon, columns.

    Every run logs them before it trains, and ``coverage.py`` prints them.

    Args:
        episodes: the data.
        targets: raw returns that inference will be conditioned on.
        horizon: steps after which evaluation cuts an episode; None: not known.
    """
    lengths, returns = episodes.lengths, episodes.returns
    median, longest = int(np.median(lengths)), int(lengths.max())
    reached = [(returns >= target - rounding(returns)).mean() for target in targets]
    shares = [f"{share:.2%}" if share else "none" for share in reached]
    asked = ", ".join(f"{target:.6g} ({share})" for target, share in zip(targets, shares, strict=True))
    horizons = ""
    if horizon is not None:
        longer = f", and {(lengths > horizon).mean():.0%} of these episodes are longer" if longest > horizon else ""
        horizons = f"; evaluation cuts at {horizon:,}{longer}"
    constant = int((episodes.observations.min(0) == episodes.observations.max(0)).sum())
    at_bounds = (np.abs(episodes.actions) >= 1.0 - 1e-6).mean()
    paid = (episodes.rewards != 0).mean()
    scale = np.abs(episodes.rewards[episodes.rewards != 0]).mean() if paid else 0.0
    return [
        f"{episodes.name}: {lengths.size:,} episodes, {episodes.rewards.size:,} steps; "
        f"{episodes.terminated.mean():.0%} of the episodes end in a terminal step",
        f"returns {returns.min():.6g} to {returns.max():.6g}, median {np.median(returns):.6g}; will be asked for "
        f"(and share of the episodes that reach it): {asked}",
        f"episodes of {lengths.min():,} to {longest:,} steps, median {median:,}{horizons}",
        f"{constant} of {episodes.observations.shape[1]} observation columns are constant; {at_bounds:.1%} of the "
        f"action values are at a bound; {paid:.1%} of the rewards are not 0, of mean size {scale:.4g}",
    ]


def describe_import(imported: Imported, episodes: Episodes) -> str:
    """Episodes, ends, returns, and a line for every column with what is suspicious about it."""
    roles = imported.roles
    lengths, returns = episodes.lengths, episodes.returns
    terminal = int(episodes.terminated.sum())
    cut_off = lengths.size - terminal - imported.timeouts
    lines = [
        f"{episodes.name}: {lengths.size:,} episodes, {episodes.rewards.size:,} steps, {lengths.min():,} to "
        f"{lengths.max():,} steps an episode (median {int(np.median(lengths)):,})",
        f"ends: {terminal:,} terminal, {imported.timeouts:,} time-outs, {cut_off:,} cut off where the log ends",
        f"returns: {returns.min():.6g} to {returns.max():.6g}, mean {returns.mean():.6g}",
    ]
    for role in KNOWN:
        value = getattr(roles, role)
        if value:
            names = ", ".join(value) if isinstance(value, tuple) else value
            lines.append(f"{role}: {names}{' (guessed by the name)' if role in roles.guessed else ''}")
    lines += [f"note: {note}" for note in imported.notes]
    lines += ["", *_column_lines(imported, episodes)]
    return "\n".join(lines)


def _column_lines(imported: Imported, episodes: Episodes) -> list[str]:
    low, high = episodes.action_low, episodes.action_high
    rows = [("column", "min", "median", "max", "std", "")]
    offset = (
        np.zeros(episodes.observations.shape[1]) if episodes.observation_offset is None else episodes.observation_offset
    )
    for column, (name, values) in enumerate(zip(imported.observation_names, episodes.observations.T, strict=True)):
        rows.append((name, *_figures(values, offset[column]), _suspicion(values)))
    for column, name in enumerate(imported.action_names):
        values = unscale_actions(episodes.actions[:, column], low[column], high[column])
        rows.append((name, *_figures(values), _action_remarks(imported, episodes, column, values)))
    rows.append((imported.roles.reward, *_figures(episodes.rewards), _suspicion(episodes.rewards)))
    shown = rows
    if len(rows) > _MOST:
        shown = [*rows[: _MOST - 2], ("...", "", "", "", "", f"{len(rows) - _MOST} more"), rows[-1]]
    widths = [max(len(row[i]) for row in shown) for i in range(5)]
    return [
        f"{row[0]:<{widths[0]}}  "
        + "  ".join(f"{cell:>{width}}" for cell, width in zip(row[1:5], widths[1:], strict=True))
        + (f"  {row[5]}" if row[5] else "")
        for row in shown
    ]


def _figures(values: np.ndarray, offset: float = 0.0) -> tuple[str, str, str, str]:
    places = (float(figure) + offset for figure in (values.min(), np.median(_sample(values)), values.max()))
    return tuple(f"{figure:.5g}" for figure in (*places, values.std(dtype=np.float64)))


def _sample(values: np.ndarray) -> np.ndarray:
    return values[:: max(1, len(values) // _SAMPLE)]


def _suspicion(values: np.ndarray) -> str:
    if values.min() == values.max():
        return "constant"
    mean, std = values.mean(dtype=np.float64), values.std(dtype=np.float64)
    furthest = max(values.max() - mean, mean - values.min()) / std
    return f"one value lies {furthest:.0f} standard deviations from the mean" if furthest > _FAR else ""


def _action_remarks(imported: Imported, episodes: Episodes, column: int, values: np.ndarray) -> str:
    low, high = episodes.action_low[column], episodes.action_high[column]
    where = "declared" if imported.declared else "from the data"
    if low == high and not imported.beyond[column]:
        return f"constant; it is always {low:g}"
    at_bounds = (np.abs(episodes.actions[:, column]) >= 1.0 - 1e-6).mean()
    remarks = [f"bounds {low:g} to {high:g}, {where}"]
    if imported.beyond[column]:
        remarks.append(f"{int(imported.beyond[column]):,} beyond them were moved to the bound")
    if at_bounds > 0.01:
        remarks.append(f"{100 * at_bounds:.0f} % at a bound")
    found = np.unique(np.round(_sample(values), 4))
    if len(found) <= _FEW and (found == np.round(found)).all():
        remarks.append(f"{len(found)} whole numbers: they are learned as amounts, not as choices")
    return "; ".join(remarks)
