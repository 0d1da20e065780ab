"""Scoring the policies of a run: all its seeds, targets and episodes side by side, as far as memory allows."""

from __future__ import annotations

import logging
from collections.abc import Callable

import jax
import numpy as np

from rvdt_jax.acting.episodes import EVALUATION_STREAM, action_keys
from rvdt_jax.acting.selection import Actor
from rvdt_jax.envs.processes import WorkerDied
from rvdt_jax.envs.vector import is_light, make_vector_env
from rvdt_jax.evaluation.rollout import Rollouts, VectorEnv, rollout
from rvdt_jax.tasks import Environment
from rvdt_jax.types import Array, Normalizer, Params

log = logging.getLogger(__name__)

_ARRAYS = ("returns", "lengths", "outside")
_WAVES = 0x7A000000  # beyond any time step, which is what else is folded into these keys
_STARTS = 0x57A7  # sets the starts of evaluations apart from whatever else is seeded with the same number


class Evaluator:
    """Rolls out every seed's policy at every target; environments are made once and used again.

    Args:
        environment: what scores.
        actor: the static part of acting.
        normalizer: the training data's observation statistics.
        seeds: R training seeds; they also fix the starts, the same at every evaluation and target.
        targets: raw target returns. With selection ``critic`` they are one set of candidates; a policy that sees no
            return has the one target ``none``.
        return_scale: targets are divided by it.
        return_range: the smallest and the largest return-to-go of the data, raw: what is asked beyond is counted.
        processes: simulators run in so many processes; 0: one per CPU core.
        parallel_episodes: at most so many simulators at once, but at least one per seed and target. Environments of
            which many copies cost next to nothing ignore it.
        wrap: called with the environments when they are made; returns what is stepped in their place.
    """

    def __init__(
        self,
        environment: Environment,
        actor: Actor,
        normalizer: Normalizer,
        *,
        seeds: tuple[int, ...],
        targets: tuple[float, ...],
        return_scale: float,
        return_range: tuple[float, float],
        processes: int = 0,
        parallel_episodes: int = 64,
        wrap: Callable[[VectorEnv], VectorEnv] = lambda env: env,
    ):
        self._environment, self._actor, self._normalizer = environment, actor, normalizer
        self._processes, self._parallel, self._wrap = processes, parallel_episodes, wrap
        self._seeds, self._return_scale, self._return_range = seeds, return_scale, return_range
        together = actor.asks_all
        self._target_sets = np.array([targets] if together else [[target] for target in targets])
        self.target_names = [" ".join(f"{target:g}" for target in targets)] if together else list(targets)
        if not actor.policy.condition_on_return:
            self._target_sets, self.target_names = np.zeros((1, 1)), ["none"]
        self._env, self._env_episodes = None, 0

    def __call__(self, params: Params, *, step: int, episodes: int) -> list[dict]:
        """Plays ``episodes`` episodes per seed and target.

        Args:
            params: ``{"policy": ...}``, and ``"critic"`` where the selection needs it; leaves with a leading axis R.
            step: the update the parameters stand at; it enters the records, and the randomness of the actions.
            episodes: E.

        Where a simulator's process dies, all are started anew, once, and everything is played again.

        Returns:
            One record per seed and target, as ``report.records`` describes them, without the field ``final``.

        Raises:
            WorkerDied: a simulator's process died in the second try too.
        """
        try:
            return self._score(params, step, episodes)
        except WorkerDied as error:
            log.warning("%s Starting the simulators anew, and the evaluation from its beginning", error)
            self.close()
            return self._score(params, step, episodes)

    def _score(self, params: Params, step: int, episodes: int) -> list[dict]:
        starts = np.stack(
            [np.random.SeedSequence([seed, _STARTS]).generate_state(episodes) for seed in self._seeds]
        )  # (R, E)
        keys = action_keys(self._seeds, EVALUATION_STREAM, step)
        waves = [self._play(params, wave, keys, number) for number, wave in enumerate(self._waves(starts))]
        returns, lengths, outside = (
            np.concatenate([getattr(wave, name) for wave in waves], axis=2) for name in _ARRAYS
        )
        names = dict.fromkeys(name for wave in waves for name in wave.outcomes)
        outcomes = {name: np.concatenate([wave.outcome(name) for wave in waves], axis=2) for name in names}
        records = []
        for row, seed in enumerate(self._seeds):
            for column, target in enumerate(self.target_names):
                place = row, column, slice(episodes)
                scores = [value if np.isfinite(value) else None for value in returns[place].tolist()]
                record = {"step": step, "seed": seed, "target": target, "returns": scores}
                record["lengths"] = lengths[place].tolist()
                if self._actor.policy.condition_on_return:
                    record["steps_outside"] = int(outside[place].sum())
                record |= {name: values[place].tolist() for name, values in outcomes.items()}
                if not any(record.get("failed", ())):
                    record.pop("failed", None)
                records.append(record)
        return records

    def _waves(self, starts: np.ndarray) -> list[np.ndarray]:
        """Splits (R, E) starts into waves of equal size, so that no other shape is compiled; the last is filled up."""
        episodes = starts.shape[1]
        groups = len(self._seeds) * len(self._target_sets)
        at_once = episodes if is_light(self._environment) else min(episodes, max(1, self._parallel // groups))
        waves = -(-episodes // at_once)
        width = -(-episodes // waves)
        padded = np.concatenate([starts, starts[:, : waves * width - episodes]], axis=1)
        return np.split(padded, waves, axis=1)

    def _play(self, params: Params, starts: np.ndarray, keys: Array, number: int) -> Rollouts:
        return rollout(
            self._make_env(starts.shape[1]),
            self._actor,
            params,
            self._normalizer,
            target_sets=self._target_sets,
            return_scale=self._return_scale,
            return_range=self._return_range,
            env_seeds=starts,
            # Other episodes, other actions; the first wave draws as an evaluation in one piece does.
            keys=keys if number == 0 else jax.vmap(jax.random.fold_in, in_axes=(0, None))(keys, _WAVES + number),
        )

    def _make_env(self, episodes: int):
        if self._env_episodes != episodes:
            self.close()
            copies = len(self._seeds) * len(self._target_sets) * episodes
            self._env = self._wrap(make_vector_env(self._environment, copies, self._processes))
            self._env_episodes = episodes
        return self._env

    def close(self) -> None:
        """Closes the environments."""
        if self._env is not None:
            self._env.close()
        self._env, self._env_episodes = None, 0
