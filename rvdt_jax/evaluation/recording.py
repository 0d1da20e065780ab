"""A vector environment that remembers what it showed: for pictures of what the evaluator plays."""

from __future__ import annotations

import numpy as np

from rvdt_jax.evaluation.rollout import VectorEnv


class Recording:
    """Steps ``env`` and keeps every observation since the last reset.

    Args:
        env: the environments, which it takes the place of.

    Attributes:
        observations: (num_envs, S) arrays: the first observations, then those after every step.
    """

    def __init__(self, env: VectorEnv):
        self._env = env
        self.num_envs, self.horizon = env.num_envs, env.horizon
        self.observation_size, self.action_size = env.observation_size, env.action_size
        self.observations: list[np.ndarray] = []

    def reset(self, seeds) -> np.ndarray:
        """As the environments; forgets the episodes before."""
        observations = self._env.reset(seeds)
        self.observations = [observations.copy()]
        return observations

    def step(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """As the environments."""
        result = self._env.step(actions)
        self.observations.append(result[0].copy())
        return result

    def outcomes(self) -> dict[str, list]:
        """As the environments."""
        return self._env.outcomes()

    def close(self) -> None:
        """Closes the environments; what was recorded stays."""
        self._env.close()
