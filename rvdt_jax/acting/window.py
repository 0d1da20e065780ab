"""What a policy remembers of the episodes in progress."""

from __future__ import annotations

import dataclasses

import jax
import numpy as np


@jax.tree_util.register_dataclass
@dataclasses.dataclass
class Windows:
    """What the policy remembers of F parallel episodes per seed: the last K steps, valid ones first (host arrays)."""

    observations: np.ndarray  # (R, F, K, S), normalised
    actions: np.ndarray  # (R, F, K, A)
    returns_to_go: np.ndarray  # (R, C, F, K), scaled; one row for each of C conditionings
    timesteps: np.ndarray  # (K,) int32

    def write(self, step: int, observations: np.ndarray, returns_to_go: np.ndarray) -> int:
        """Enters the current observation and conditioning; returns its index in the window."""
        length = self.timesteps.shape[0]
        if step >= length:
            self.observations = np.roll(self.observations, -1, axis=2)
            self.actions = np.roll(self.actions, -1, axis=2)
            self.returns_to_go = np.roll(self.returns_to_go, -1, axis=3)
            self.timesteps = self.timesteps + 1
        last = min(step, length - 1)
        self.observations[:, :, last] = observations
        self.returns_to_go[..., last] = returns_to_go
        return last


def empty_windows(
    seeds: int, conditionings: int, episodes: int, length: int, observation_size: int, action_size: int
) -> Windows:
    """Windows of R seeds, C conditionings, F episodes and K steps, before the first step."""
    return Windows(
        observations=np.zeros((seeds, episodes, length, observation_size), np.float32),
        actions=np.zeros((seeds, episodes, length, action_size), np.float32),
        returns_to_go=np.zeros((seeds, conditionings, episodes, length), np.float32),
        timesteps=np.arange(length, dtype=np.int32),
    )
