"""Return coverage: how often the data reach the return that a policy is conditioned on, by initial state.

The theory of conditional sequence modelling (Brandfonbrener et al. 2022; RVDT's theorems) rests on
P_beta(g = f(s_1) | s_1) >= alpha_f for every initial state s_1: the behaviour reaches the return that the conditioning
function f names with at least that probability. Here it is estimated from trajectories:

    returns    in equal bins from the smallest to the largest; g = f is read as "g falls into f's bin"
    states     initial observations, standardised, in groups by k-means (Lloyd, k-means++, seeded); P is a share of the
               trajectories that start in a group
    before     every trajectory counts once
    after      trajectory i counts 1 + alpha 1[i in D_e] times, as ``kl`` and ``dup`` make it count
    experts    the share of D_e among the trajectories that start in a group. It estimates the expert coverage
               P(g = f*(s_1) | s_1), f*(s_1) the expert's return from s_1, if experts are picked given their start;
               experts by return alone may be missing in a group
    interval   Wilson's at 95 %, with the number of trajectories that gives the weighted share its variance,
               p (1 - p) (sum w)^2 / sum w^2 (y - p)^2; Kish's would not do, for the weights follow from the return

NumPy and SciPy alone; a million steps take well under a second.
"""

from __future__ import annotations

import numpy as np
from scipy.cluster.vq import kmeans2

from rvdt_jax.data.episodes import Episodes
from rvdt_jax.data.rebalance import ExpertSet, loss_weights
from rvdt_jax.errors import UserError

BINS, GROUPS = 20, 8
_PER_GROUP = 50  # trajectories that a group should have on average
_NORMAL_95 = 1.959963984540054

_ROUNDING = 1e-5  # of the range of returns


def measure_coverage(
    episodes: Episodes,
    experts: ExpertSet,
    *,
    target: float,
    alpha: float,
    bins: int = BINS,
    groups: int = GROUPS,
    seed: int = 0,
) -> dict:
    """Everything that ``report.coverage`` shows, as JSON values.

    Args:
        episodes: E trajectories of N steps.
        experts: the expert set.
        target: f*, the raw return that inference asks for at the first step.
        alpha: strength of the rebalancing.
        bins: of return, between the data's extremes.
        groups: of initial states; fewer if there are fewer than 50 trajectories for each.
        seed: of the grouping.

    Raises:
        UserError: ``target`` is not finite, or ``bins`` or ``groups`` is not positive, or alpha is negative.
    """
    if not np.isfinite(target) or bins < 1 or groups < 1:
        raise UserError(f"--target={target}, --bins={bins}, --groups={groups}: finite, and the last two positive.")
    returns = episodes.returns
    edges, bin_of, asked_bin = _bin(returns, target, bins)
    near = rounding(returns)
    labels = group_states(episodes.observations[episodes.starts], groups, seed)
    weights = {"before": np.ones(returns.size), "after": loss_weights(experts.mask, alpha)}
    return {
        "target": float(target),
        "target_is_in_range": bool(edges[0] - near <= target <= edges[-1] + near),
        "alpha": float(alpha),
        "episodes": returns.size,
        "steps": episodes.rewards.size,
        "returns": _spread(returns),
        "expert_set": {
            **{name: getattr(experts, name) for name in ("by", "episodes", "steps", "max_return")},
            "min_return": experts.threshold,
        },
        "edges": edges.tolist(),
        "asked_bin": asked_bin,
        "group_sizes": np.bincount(labels).tolist(),
        **{
            name: _weighted_shares(episodes.lengths, experts.mask, labels, bin_of, asked_bin, weight, edges.size - 1)
            for name, weight in weights.items()
        },
    }


def rounding(returns: np.ndarray) -> float:
    """How far from a return a target may be and still mean it: targets are rounded to six digits of the range."""
    return _ROUNDING * float(np.ptp(returns) or np.abs(returns).max())


def _weighted_shares(lengths, expert, labels, bin_of, asked_bin: int, weights: np.ndarray, bins: int) -> dict:
    """The shares of trajectories and of steps, in all and by group, if trajectory i counts ``weights[i]`` times."""
    steps = weights * lengths
    result = {
        "histogram": (np.bincount(bin_of, weights, bins) / weights.sum()).tolist(),
        "step_share": float(steps[bin_of == asked_bin].sum() / steps.sum()),
        "expert_share": float(weights[expert].sum() / weights.sum()),
        "expert_step_share": float(steps[expert].sum() / steps.sum()),
    }
    by_group = shares_by_group(labels, bin_of, weights, bins)
    experts_by_group = (each[:, 1] for each in shares_by_group(labels, expert.astype(int), weights, 2))
    for name, values in (("by_group", by_group), ("expert_by_group", experts_by_group)):
        keys = (name, f"{name}_low", f"{name}_high")
        result |= {key: each.tolist() for key, each in zip(keys, values, strict=True)}
    return result


def group_states(states: np.ndarray, groups: int, seed: int) -> np.ndarray:
    """(E,) labels 0, 1, ... of (E, S) initial observations; no label is left out."""
    groups = max(1, min(groups, len(states) // _PER_GROUP))
    states, varies = states.astype(np.float64), states.min(0) < states.max(0)
    if groups == 1 or not varies.any():
        return np.zeros(len(states), int)
    standard = (states - states.mean(0)) / np.where(varies, states.std(0), 1.0)
    _, labels = kmeans2(standard, groups, minit="++", rng=np.random.default_rng(seed))
    return np.unique(labels, return_inverse=True)[1]


def shares_by_group(
    labels: np.ndarray, bin_of: np.ndarray, weights: np.ndarray, bins: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(G, bins) weighted share of each group's trajectories in each bin, and both ends of its interval."""
    groups = int(labels.max()) + 1
    place = labels * bins + bin_of
    counts, squares = (np.bincount(place, w, groups * bins).reshape(groups, bins) for w in (weights, weights**2))
    total, square = counts.sum(1, keepdims=True), squares.sum(1, keepdims=True)
    shares = counts / total
    # sum w^2 (y - p)^2, y = 1 in the bin and 0 elsewhere; for a share of 0 or 1 trajectories count once.
    spread = squares * (1 - shares) ** 2 + (square - squares) * shares**2
    certain = (shares == 0) | (shares == 1)
    variance = np.where(certain, 1.0, spread / total**2)
    number = np.bincount(labels, minlength=groups)[:, None]
    return shares, *wilson(shares, np.where(certain, number, shares * (1 - shares) / variance))


def wilson(share: np.ndarray, count: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both ends of Wilson's 95 % interval of a share of ``count`` independent trials."""
    z2 = _NORMAL_95**2
    centre = (share + z2 / (2 * count)) / (1 + z2 / count)
    half = _NORMAL_95 * np.sqrt(share * (1 - share) / count + z2 / (4 * count**2)) / (1 + z2 / count)
    return np.clip(centre - half, 0.0, 1.0), np.clip(centre + half, 0.0, 1.0)


def _bin(returns: np.ndarray, target: float, bins: int) -> tuple[np.ndarray, np.ndarray, int]:
    """The edges of equal bins of return, (E,) the bin of each return, and the target's.

    Bins are closed on the left, the last one on both sides. A target outside counts as the nearest return of the data.
    """
    edges = np.linspace(returns.min(), returns.max(), (bins if np.ptp(returns) > 0 else 1) + 1)
    # A return at the edge of a bin and a target that means it stay together.
    places = np.searchsorted(edges, np.append(returns, target) + rounding(returns), side="right") - 1
    places = np.clip(places, 0, edges.size - 2)
    return edges, places[:-1], int(places[-1])


def _spread(returns: np.ndarray) -> dict[str, float]:
    quantiles = {f"percentile_{q}": np.percentile(returns, q) for q in (5, 25, 50, 75, 95)}
    values = {"mean": returns.mean(), "std": returns.std(), "min": returns.min(), "max": returns.max(), **quantiles}
    return {name: float(value) for name, value in values.items()}
