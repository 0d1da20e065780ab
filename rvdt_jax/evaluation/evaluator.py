"""Scoring the policies of a run: one batch of environments for all its seeds, targets and episodes."""

from __future__ import annotations

import numpy as np

from rvdt_jax.envs.vector import make_vector_env
from rvdt_jax.evaluation.rollout import rollout
from rvdt_jax.models.acting import EVALUATION_STREAM, Actor, action_keys
from rvdt_jax.types import Normalizer, Params

_STARTS = 0x57A7  # sets the starts of evaluations apart from whatever else is seeded with the same number


class Evaluator:
    """Rolls out every seed's policy at every target; environments are made once for each number of episodes.

    Args:
        env_id: Gymnasium id of the environment.
        actor: the static part of acting.
        normalizer: the training data's observation statistics.
        seeds: R training seeds; they also fix the starts, the same at every evaluation and target.
        targets: raw target returns. With selection ``critic`` they are one set of candidates; a policy that sees no
            return has the one target ``none``.
        return_scale: targets are divided by it.
    """

    def __init__(
        self,
        env_id: str,
        actor: Actor,
        normalizer: Normalizer,
        *,
        seeds: tuple[int, ...],
        targets: tuple[float, ...],
        return_scale: float,
    ):
        self._env_id, self._actor, self._normalizer = env_id, actor, normalizer
        self._seeds, self._return_scale = seeds, return_scale
        together = actor.selection == "critic"
        self._target_sets = np.array([targets] if together else [[target] for target in targets])
        self.target_names = [" ".join(f"{target:g}" for target in targets)] if together else list(targets)
        if not actor.policy.condition_on_return:
            self._target_sets, self.target_names = np.zeros((1, 1)), ["none"]
        self._envs: dict[int, object] = {}

    def __call__(self, params: Params, *, step: int, episodes: int) -> list[dict]:
        """Plays ``episodes`` episodes per seed and target.

        Args:
            params: ``{"policy": ...}``, and ``"critic"`` where the selection needs it; leaves with a leading axis R.
            step: the update the parameters stand at; it enters the records, and the randomness of the actions.
            episodes: E.

        Returns:
            One record per seed and target, as ``report.records`` describes them, without the field ``final``.
        """
        starts = [np.random.SeedSequence([seed, _STARTS]).generate_state(episodes) for seed in self._seeds]
        result = rollout(
            self._make_env(episodes),
            self._actor,
            params,
            self._normalizer,
            target_sets=self._target_sets,
            return_scale=self._return_scale,
            env_seeds=np.stack(starts),
            keys=action_keys(self._seeds, EVALUATION_STREAM, step),
        )
        return [
            {
                "step": step,
                "seed": seed,
                "target": target,
                "returns": result.returns[row, column].tolist(),
                "lengths": result.lengths[row, column].tolist(),
            }
            for row, seed in enumerate(self._seeds)
            for column, target in enumerate(self.target_names)
        ]

    def _make_env(self, episodes: int):
        if episodes not in self._envs:
            copies = len(self._seeds) * len(self._target_sets) * episodes
            self._envs[episodes] = make_vector_env(self._env_id, copies)
        return self._envs[episodes]

    def close(self) -> None:
        """Closes the environments."""
        for env in self._envs.values():
            env.close()
