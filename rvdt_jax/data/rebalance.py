"""Return rebalancing as a plug-in: which trajectories are expert, and how much more they count.

Plain NumPy in, plain NumPy out, and no JAX: any trainer of a return-conditioned policy can use it. The
functions are those that this package's own trainer uses. With D_e the expert trajectories and alpha the strength:

    kl    multiply the loss of trajectory i by   1 + alpha 1[i in D_e]                    (RVDT, eq. (2))
    dup   sample trajectory i with a probability proportional to   length_i (1 + alpha 1[i in D_e])

The two have the same expected gradient up to the constant that normalises the probabilities. In a Decision
Transformer's training loop in PyTorch, whose ``sample(p)`` draws windows and says of which trajectories they are:

    experts = select_experts(returns, lengths, fraction=0.1)
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


@dataclasses.dataclass(frozen=True)
class ExpertSet:
    """The expert trajectories of a data set.

    Attributes:
        mask: (E,) bool, True for expert trajectories.
        threshold: the smallest return among them.
        max_return: the largest return among them.
        episodes, steps: how many trajectories and steps they are.
    """

    mask: np.ndarray
    threshold: float
    max_return: float
    episodes: int
    steps: int

    def describe(self) -> str:
        """One line for a log."""
        return (
            f"{self.episodes} of {self.mask.size} trajectories are expert: {self.steps} steps, "
            f"returns {self.threshold:g} to {self.max_return:g}"
        )


def select_experts(returns, lengths, *, fraction: float = 0.1, threshold: float | None = None) -> ExpertSet:
    """Picks the trajectories of highest return.

    Trajectories tied with the last one picked are picked too, so the order of the data never matters. Those tied
    with the data set's minimum return are never expert unless all returns are equal: where nine in ten trajectories
    fail alike, a tenth of the data would otherwise be mostly failures.

    Args:
        returns: (E,) undiscounted return of each trajectory.
        lengths: (E,) steps of each trajectory.
        fraction: share of the trajectories to pick, in (0, 1].
        threshold: pick every trajectory of at least this return instead.

    Raises:
        ValueError: returns that are not finite or do not match the lengths, a fraction outside (0, 1], or a
            threshold above every return.
    """
    returns, lengths = _check(returns, lengths)
    if threshold is None:
        if not 0.0 < fraction <= 1.0:
            raise ValueError(f"expert.fraction is {fraction}; it must lie in (0, 1].")
        wanted = max(1, round(fraction * returns.size))
        cut = np.partition(returns, returns.size - wanted)[returns.size - wanted]
    else:
        cut = float(threshold)
        if not cut <= returns.max():
            raise ValueError(
                f"expert.threshold is {cut:g}, but the highest return in the data is {returns.max():g}: the expert "
                "set would be empty. Lower the threshold, or set expert.fraction instead."
            )
    mask = returns >= cut
    if returns.max() > returns.min():
        mask &= returns > returns.min()
    return ExpertSet(
        mask=mask,
        threshold=float(returns[mask].min()),
        max_return=float(returns[mask].max()),
        episodes=int(mask.sum()),
        steps=int(lengths[mask].sum()),
    )


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
        ValueError: alpha is negative or not finite.
    """
    return expert_weight(np.asarray(expert_mask, dtype=np.float64), _check_alpha(alpha))


def sampling_probabilities(lengths, expert_mask, alpha: float) -> np.ndarray:
    """(E,) probability of sampling each trajectory under ``dup``: steps count alike, expert steps 1 + alpha times.

    Raises:
        ValueError: alpha is negative or not finite.
    """
    weights = np.asarray(lengths, dtype=np.float64) * loss_weights(expert_mask, alpha)
    return weights / weights.sum()


def _check_alpha(alpha: float) -> float:
    if not (np.isfinite(alpha) and alpha >= 0):
        raise ValueError(f"loss.alpha is {alpha}; it must be finite and not negative.")
    return float(alpha)


def _check(returns, lengths) -> tuple[np.ndarray, np.ndarray]:
    returns = np.asarray(returns, dtype=np.float64)
    lengths = np.asarray(lengths, dtype=np.int64)
    if returns.ndim != 1 or returns.shape != lengths.shape or returns.size == 0:
        raise ValueError(
            f"returns and lengths must be two vectors of one positive size; got shapes {returns.shape} and "
            f"{lengths.shape}."
        )
    if not np.isfinite(returns).all():
        bad = int(np.flatnonzero(~np.isfinite(returns))[0])
        raise ValueError(f"returns[{bad}] is {returns[bad]}; every return must be finite.")
    if (lengths <= 0).any():
        raise ValueError(f"lengths[{int(np.flatnonzero(lengths <= 0)[0])}] is not positive.")
    return returns, lengths
