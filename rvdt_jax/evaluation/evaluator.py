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

_WAVES = 0x7A000000  # beyond any time step, which is what else is folded into these keys
_STARTS = 0x57A7  # separates the starts of evaluations from other uses of the same seed


class Evaluator:
    """Rolls out every seed's policy at every target; the environments are made once and reused.

    Args:
        environment: the evaluation environment.
        actor: the static part of acting.
        normalizer: the training data's observation statistics.
        seeds: R training seeds; they also determine the starts, the same at every evaluation and target.
        targets: raw target returns. With selection ``critic`` they are one set of candidates; a policy that sees no
            return has the one target ``none``.
        return_scale: targets are divided by it.
        return_range: the smallest and the largest return-to-go of the data, raw; steps outside of it are counted.
        processes: the number of processes for simulators; 0: one per CPU core.
        parallel_episodes: the most simulators at once, but at least one per seed and target. Environments whose copies
            are cheap (maze2d) ignore it.
        wrap: called with the environments when they are made; returns the environments to step.
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

        If a simulator's process dies, all are restarted once and everything is played again.

        Args:
            params: ``{"policy": ...}``, and ``"critic"`` if the selection needs it; leaves with a leading axis R.
            step: the update of the parameters; it enters the records, and the randomness of the actions.
            episodes: E.

        Returns:
            One record per seed and target, as ``report.records`` describes them, without the field ``final``.

        Raises:
            WorkerDied: a simulator's process died in the second try too.
        """
        try:
            return self._score(params, step, episodes)
        except WorkerDied as error:
            log.warning("%s Starting the simulators anew and repeating the evaluation", error)
            self.close()
            return self._score(params, step, episodes)

    def _score(self, params: Params, step: int, episodes: int) -> list[dict]:
        starts = [np.random.SeedSequence([seed, _STARTS]).generate_state(episodes) for seed in self._seeds]
        keys = action_keys(self._seeds, EVALUATION_STREAM, step)
        waves = [self._play(params, wave, keys, number) for number, wave in enumerate(self._waves(np.stack(starts)))]
        arrays = {name: [getattr(wave, name) for wave in waves] for name in ("returns", "lengths", "outside")}
        for name in dict.fromkeys(name for wave in waves for name in wave.outcomes):
            arrays[name] = [wave.outcome(name) for wave in waves]
        arrays = {name: np.concatenate(parts, axis=2)[..., :episodes] for name, parts in arrays.items()}
        return [
            {"step": step, "seed": seed, "target": target}
            | self._record({name: values[row, column].tolist() for name, values in arrays.items()})
            for row, seed in enumerate(self._seeds)
            for column, target in enumerate(self.target_names)
        ]

    def _record(self, values: dict[str, list]) -> dict:
        """The episodes of one seed and target as they are written."""
        scores = [value if np.isfinite(value) else None for value in values.pop("returns")]
        record, outside = {"returns": scores, "lengths": values.pop("lengths")}, values.pop("outside")
        if self._actor.policy.condition_on_return:
            record["steps_outside"] = sum(outside)
        if not any(values.get("failed", ())):
            values.pop("failed", None)
        return record | values

    def _waves(self, starts: np.ndarray) -> list[np.ndarray]:
        """Splits (R, E) starts into waves of equal size, so that no other shape is compiled; the last is filled up."""
        episodes, groups = starts.shape[1], len(self._seeds) * len(self._target_sets)
        at_once = episodes if is_light(self._environment) else min(episodes, max(1, self._parallel // groups))
        waves = -(-episodes // at_once)
        width = -(-episodes // waves)
        padded = np.concatenate([starts, starts[:, : waves * width - episodes]], axis=1)
        return np.split(padded, waves, axis=1)

    def _play(self, params: Params, starts: np.ndarray, keys: Array, number: int) -> Rollouts:
        if number:  # other episodes, other actions; the first wave draws as an evaluation in one piece does
            keys = jax.vmap(jax.random.fold_in, in_axes=(0, None))(keys, _WAVES + number)
        return rollout(
            self._make_env(starts.shape[1]),
            self._actor,
            params,
            self._normalizer,
            target_sets=self._target_sets,
            return_scale=self._return_scale,
            return_range=self._return_range,
            env_seeds=starts,
            keys=keys,
        )

    def _make_env(self, episodes: int) -> VectorEnv:
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
