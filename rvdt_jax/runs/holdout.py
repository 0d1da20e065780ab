"""What a policy is worth on trajectories that nothing was learned from: how far its actions are from theirs."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np

from rvdt_jax.acting.logged import outputs_on_data
from rvdt_jax.algorithms.base import Algorithm, Spec
from rvdt_jax.config.settings import Config
from rvdt_jax.data.episodes import Episodes
from rvdt_jax.data.store import make_store
from rvdt_jax.types import Normalizer, Params

_BINS = 10


class Holdout:
    """Measures policies on held-out trajectories, under these trajectories' own returns-to-go.

    With ``data.relabel`` they are raised, as those of training are.

    Args:
        config: settings of the run, which has R seeds.
        algorithm, spec: of the run.
        normalizer: the training data's observation statistics.
        episodes: the held-out trajectories.
    """

    def __init__(self, config: Config, algorithm: Algorithm, spec: Spec, normalizer: Normalizer, episodes: Episodes):
        self._algorithm, self._spec, self._seeds, self._episodes = algorithm, spec, config.seeds, episodes
        self._store = make_store(episodes, None, normalizer, return_scale=config.policy.return_scale)
        bounded = episodes.action_low is not None
        self._unit = 0.5 * (episodes.action_high - episodes.action_low) if bounded else 1.0
        order = np.argsort(episodes.returns, kind="stable")
        self._bins = np.array_split(order, min(_BINS, order.size))

    def __call__(self, params: Params, step: int) -> list[dict]:
        """One record per seed, see ``report.records``; leaves of the policy's ``params`` have an axis R."""
        how = {"policy": self._spec.policy, "context_length": self._spec.context_length}
        output = outputs_on_data(params, self._store, **how)
        squares = np.square(np.asarray(output.mean - self._store.actions) * self._unit)
        measured = {"action_error": squares.mean(-1)}  # (R, N)
        if self._algorithm.nll is not None:
            actions = jnp.broadcast_to(self._store.actions, output.mean.shape)
            measured["nll"] = np.asarray(self._algorithm.nll(output, actions, self._spec))
        return [
            {"step": step, "seed": seed} | self._record({name: values[row] for name, values in measured.items()})
            for row, seed in enumerate(self._seeds)
        ]

    def _record(self, measured: dict[str, np.ndarray]) -> dict:
        """Means over all steps, and over those of each bin, of (N,) values by name."""
        lengths, returns, bins = self._episodes.lengths, self._episodes.returns, []
        for chosen in self._bins:
            steps = np.repeat(np.isin(np.arange(lengths.size), chosen), lengths)
            about = {"returns": returns[chosen[[0, -1]]].tolist(), "episodes": chosen.size, "steps": int(steps.sum())}
            bins.append(about | _means(measured, steps))
        return _means(measured, slice(None)) | {"bins": bins}


def make_holdout(
    config: Config, algorithm: Algorithm, spec: Spec, normalizer: Normalizer, episodes: Episodes | None
) -> Holdout | None:
    """None where nothing is held out."""
    return None if episodes is None else Holdout(config, algorithm, spec, normalizer, episodes)


def _means(measured: dict[str, np.ndarray], steps) -> dict[str, float]:
    return {name: float(values[steps].mean(dtype=np.float64)) for name, values in measured.items()}
