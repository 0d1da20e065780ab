"""Return rebalancing as a plug-in: picks the expert trajectories, and weights them.

NumPy in, NumPy out, without JAX: any trainer of a return-conditioned policy can use it, and this package's own does.
With D_e the expert trajectories and alpha the strength:

    kl    multiply the loss of trajectory i by   1 + alpha 1[i in D_e]                    (RVDT, eq. (2))
    dup   sample trajectory i with a probability proportional to   length_i (1 + alpha 1[i in D_e])

The two have the same expected gradient up to the constant that normalises the probabilities.

The theory bounds the loss of a return-conditioned policy by its expert coverage, the probability P(g = f*(s_1) | s_1)
that the behaviour reaches the expert's return *from where it starts*. So a trajectory is expert if its return is high
among those that start near it. Ranking all trajectories together would pick those that start well (in a maze, next to
the goal), and leave other initial states without any expert.

With ``starts``, a trajectory is expert if its return is among the top ``fraction`` of its neighbourhood: the
trajectories whose starts are nearest to its own in Euclidean distance, itself included. A neighbourhood has 1 % of
all trajectories, at least 50 and at most 200, and any others that start as near as the last of them. Without
``starts`` all trajectories are one neighbourhood.

The result does not depend on the order of the data. Trajectories tied with the last one picked are picked too.
Trajectories tied with the minimum of their neighbourhood are not picked: if nine in ten fail alike, a tenth would
otherwise be mostly failures. If all returns of a neighbourhood are equal, its trajectories are expert if they would
be without ``starts``. If all returns in the data are equal, all trajectories are expert. Those of the highest
return always are, so the set is never empty.

The neighbours come from a k-d tree: 20,000 trajectories take 1 to 2 s if starts have 4 dimensions, about 15 s if
they have 17. Every dimension counts alike; other weightings and smaller neighbourhoods picked hardly better experts
on five maze2d data sets (at most one in a hundred more ended in the goal). Of more than 50,000 different starts, 50,000
are drawn to stand for all: 1,000 of them have a neighbourhood among the 50,000, and every trajectory must reach what
the nearest of the 1,000 asks for.

In a Decision Transformer's training loop in PyTorch, whose ``sample(p)`` draws windows and returns the trajectory of
each, with ``starts`` the (E, S) first observations, normalised as the model sees them:

    experts = select_experts(returns, lengths, starts=starts, fraction=0.1)
    weights = torch.as_tensor(loss_weights(experts.mask, alpha=1.0), dtype=torch.float32)
    for _ in range(updates):
        states, actions, returns_to_go, timesteps, mask, trajectory = sample(p=lengths / lengths.sum())
        predicted = model(states, actions, returns_to_go, timesteps, mask)
        error = ((predicted - actions) ** 2).mean(-1) * mask
        loss = (weights[trajectory][:, None] * error).sum() / mask.sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

That is ``kl``. For ``dup`` leave the weights out and
sample(p=sampling_probabilities(lengths, experts.mask, alpha=1.0)).
"""

from __future__ import annotations

import dataclasses

import numpy as np
from scipy.spatial import cKDTree

from rvdt_jax.data.episodes import Episodes
from rvdt_jax.errors import UserError


@dataclasses.dataclass(frozen=True)
class ExpertSet:
    """The expert trajectories of a data set.

    Attributes:
        mask: (E,) bool, True for expert trajectories.
        by: how they were picked: ``start`` (among those that start near), ``return`` (among all) or ``threshold``.
        threshold: the smallest return among them.
        max_return: the largest return among them.
        episodes, steps: how many trajectories and steps they are.
        measure: what was compared, ``return`` or ``mean_reward``.
    """

    mask: np.ndarray
    by: str
    threshold: float
    max_return: float
    episodes: int
    steps: int
    measure: str = "return"

    def describe(self) -> str:
        """One line for a log."""
        picked = _PICKED[self.by].format(_COMPARED[self.measure])
        return (
            f"{self.episodes} of {self.mask.size} trajectories are expert, {picked}: {self.steps} steps, returns "
            f"{self.threshold:g} to {self.max_return:g}"
        )


_PICKED = {  # ``ExpertSet.by`` in words
    "start": "picked by {} among those that start near them",
    "return": "picked by {} among all",
    "threshold": "picked by a return threshold",
}
_COMPARED = {"return": "return", "mean_reward": "mean reward"}
MEASURES = tuple(_COMPARED)


def select_experts(
    returns, lengths, *, starts=None, fraction: float = 0.1, threshold: float | None = None, measure: str = "return"
) -> ExpertSet:
    """Picks the trajectories of highest return, given where they start.

    The module's docstring states the rule.

    Args:
        returns: (E,) undiscounted return of each trajectory.
        lengths: (E,) steps of each trajectory.
        starts: (E, S) initial observation of each trajectory, normalised by the caller; None ranks all trajectories
            together.
        fraction: share of a neighbourhood to pick, in (0, 1]; 1 picks every trajectory.
        threshold: pick every trajectory of at least this return instead, wherever it starts.
        measure: what is compared: ``return``; or ``mean_reward``, the return divided by the length, for recordings
            that are cut at different lengths: there the longest would be expert where every step is paid.

    Raises:
        UserError: returns or starts that are not finite or do not match the lengths, a fraction outside (0, 1], a
            threshold above every return, or another measure.
    """
    returns, lengths = _check(returns, lengths)
    if measure not in MEASURES:
        raise UserError(f"expert.measure is {measure!r}; choose one of {', '.join(MEASURES)}.")
    values = returns if measure == "return" else returns / lengths
    starts = None if starts is None else _check_starts(starts, returns.size)
    if threshold is not None:
        by, cuts, values = "threshold", float(threshold), returns
        if not cuts <= returns.max():
            raise UserError(
                f"expert.threshold is {cuts:g}, but the highest return in the data is {returns.max():g}: the expert "
                "set would be empty. Lower the threshold, or set expert.fraction instead."
            )
    elif not 0.0 < fraction <= 1.0:
        raise UserError(f"expert.fraction is {fraction}; it must lie in (0, 1].")
    else:
        by = "return" if starts is None else "start"
        cuts = _least_expert_return(values, fraction, if_equal=-np.inf) if fraction < 1.0 else -np.inf
        if by == "start" and fraction < 1.0:
            cuts = _cuts_by_start(values, starts, fraction, overall=cuts)
    mask = values >= cuts
    picked, counts = returns[mask], (int(mask.sum()), int(lengths[mask].sum()))
    return ExpertSet(mask, by, float(picked.min()), float(picked.max()), *counts, measure)


def select_expert_episodes(
    episodes: Episodes,
    *,
    by: str = "start",
    fraction: float = 0.1,
    threshold: float | None = None,
    measure: str = "return",
) -> ExpertSet:
    """``select_experts`` for ``Episodes``, whose starts are normalised as the policy sees them.

    Args:
        episodes: E trajectories.
        by: ``start`` or ``return``: rank them among those that start near, or among all.
        fraction, threshold, measure: as for ``select_experts``.

    Raises:
        UserError: as ``select_experts``, or another ``by``.
    """
    if by not in ("start", "return"):
        raise UserError(f"expert.by is {by!r}; choose one of start, return.")
    starts = episodes.normalized_starts() if by == "start" else None
    how = {"fraction": fraction, "threshold": threshold, "measure": measure}
    return select_experts(episodes.returns, episodes.lengths, starts=starts, **how)


_SHARE, _FEWEST, _MOST = 0.01, 50, 200  # size of a neighbourhood: share of the trajectories, and its limits
_ROUNDING = 1e-6  # distances that differ relatively by less are equal
_CHUNK = 2048  # starts whose neighbours are in memory at once
_POINTS = 50_000  # of more different starts, so many are drawn to stand for all: a k-d tree can be slow
_CENTRES = 1_000  # and so many of those have a neighbourhood


def _least_expert_return(returns: np.ndarray, fraction: float, if_equal: float) -> float:
    """The least return that is expert among ``returns``; ``if_equal`` where they are all equal."""
    low = returns.min()
    if returns.max() == low:
        return if_equal
    wanted = max(1, round(fraction * returns.size))
    cut = np.partition(returns, returns.size - wanted)[returns.size - wanted]
    return cut if cut > low else np.nextafter(low, np.inf)


def _cuts_by_start(returns: np.ndarray, starts: np.ndarray, fraction: float, overall: float) -> np.ndarray:
    """(E,) the least return that is expert in the neighbourhood of each trajectory.

    Equal starts are one point, with as many returns as trajectories start there: a k-d tree could neither split them
    nor say which of them are nearest.
    """
    points, place, counts = np.unique(starts, axis=0, return_inverse=True, return_counts=True)
    place = place.reshape(-1)  # NumPy 2.0 adds an axis
    returns_by_point, ends = returns[np.argsort(place, kind="stable")], counts.cumsum()
    size = min(max(_FEWEST, round(_SHARE * returns.size)), _MOST, returns.size)
    all_points, centres = points, points
    if len(points) > _POINTS:
        drawn = np.random.Generator(np.random.Philox(0)).permutation(len(points))[:_POINTS]
        points, counts, ends = points[drawn], counts[drawn], ends[drawn]
        centres = points[:_CENTRES]
    tree, cuts = cKDTree(points), np.empty(len(centres))
    asked = min(size + 1, len(points))  # one more shows whether others are as near as the last
    for begin in range(0, len(centres), _CHUNK):
        chunk = centres[begin : begin + _CHUNK]
        distances, nearest = tree.query(chunk, k=np.arange(1, asked + 1), workers=-1)
        last = (counts[nearest].cumsum(1) >= size).argmax(1)
        radii = distances[np.arange(len(chunk)), last] * (1 + _ROUNDING)
        for i, radius in enumerate(radii):
            near = nearest[i, distances[i] <= radius]
            if near.size == asked < len(points):
                near = np.array(tree.query_ball_point(chunk[i], radius))
            sizes = counts[near]
            members = np.arange(sizes.sum()) + np.repeat(ends[near] - sizes.cumsum(), sizes)
            cuts[begin + i] = _least_expert_return(returns_by_point[members], fraction, overall)
    return (cuts if centres is all_points else cuts[_nearest(all_points, centres)])[place]


def _nearest(points: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """(P,) which of the centres is nearest to each point; by matrix products, as a tree is slow in many dimensions."""
    half_squares = 0.5 * np.square(centres).sum(1)
    chunks = np.split(points, range(_CHUNK, len(points), _CHUNK))
    return np.concatenate([(half_squares - chunk @ centres.T).argmin(1) for chunk in chunks])


def expert_weight(expert, alpha):
    """1 + alpha 1[i in D_e], eq. (2), as bare arithmetic: for arrays of any library, traced ones included."""
    return 1.0 + alpha * expert


def expert_mixture(alpha, steps: int, expert_steps: int):
    """``dup`` without probabilities: how often to draw from the expert steps alone, and else from all steps alike.

    Drawing with this probability from the M expert steps, and otherwise from all N, gives an expert step the weight
    (1 + alpha) / (N + alpha M) and any other 1 / (N + alpha M), as ``sampling_probabilities`` does; alpha may be
    traced.
    """
    return alpha * expert_steps / (steps + alpha * expert_steps)


def loss_weights(expert_mask, alpha: float) -> np.ndarray:
    """(E,) weight of each trajectory's loss, 1 + alpha 1[i in D_e], eq. (2); not renormalised.

    Raises:
        UserError: alpha is negative or not finite, or the mask is no vector of truth values.
    """
    if not (np.isfinite(alpha) and alpha >= 0):
        raise UserError(f"loss.alpha is {alpha}; it must be finite and not negative.")
    mask = np.asarray(expert_mask)
    if mask.ndim != 1 or not np.isin(mask, (0, 1)).all():
        raise UserError("expert_mask must be a vector with True or False for each trajectory.")
    return expert_weight(mask.astype(np.float64), float(alpha))


def sampling_probabilities(lengths, expert_mask, alpha: float) -> np.ndarray:
    """(E,) probability of sampling each trajectory under ``dup``: steps count alike, expert steps 1 + alpha times.

    Raises:
        UserError: as ``loss_weights``; or the lengths are not those of so many trajectories.
    """
    weights = loss_weights(expert_mask, alpha)
    if np.shape(lengths) != weights.shape:
        raise UserError(f"lengths have shape {np.shape(lengths)}, but expert_mask {weights.shape}; they must be equal.")
    weights = weights * _whole(lengths)
    return weights / weights.sum()


def _check(returns, lengths) -> tuple[np.ndarray, np.ndarray]:
    returns = np.asarray(returns, dtype=np.float64)
    if returns.ndim != 1 or returns.shape != np.shape(lengths) or returns.size == 0:
        shapes = f"{returns.shape} and {np.shape(lengths)}"
        raise UserError(f"returns and lengths must be two vectors of one positive size; got shapes {shapes}.")
    if not np.isfinite(returns).all():
        bad = int(np.isfinite(returns).argmin())
        raise UserError(f"returns[{bad}] is {returns[bad]}; every return must be finite.")
    return returns, _whole(lengths)


def _whole(lengths) -> np.ndarray:
    """(E,) int64."""
    lengths = np.asarray(lengths)
    if lengths.dtype.kind not in "iuf":
        raise UserError(f"lengths have type {lengths.dtype}; they must be positive whole numbers.")
    good = (lengths > 0) & (lengths < 2**53) & (lengths == np.floor(lengths))
    if not good.all():
        bad = int(good.argmin())
        raise UserError(f"lengths[{bad}] is {lengths[bad]}; every length must be a positive whole number.")
    return lengths.astype(np.int64)


def _check_starts(starts, count: int) -> np.ndarray:
    starts = np.asarray(starts, dtype=np.float64)
    if starts.ndim != 2 or starts.shape[0] != count or starts.shape[1] == 0:
        raise UserError(f"starts have shape {starts.shape}; expected one vector for each of {count} trajectories.")
    if not np.isfinite(starts).all():
        bad = int(np.isfinite(starts).all(1).argmin())
        raise UserError(f"starts[{bad}] is {starts[bad].tolist()}; every number of every start must be finite.")
    return starts + 0.0  # without negative zeros
