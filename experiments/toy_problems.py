"""Two problems with a known optimum, where conditioning on a high return misleads and a critic does not.

``bandit``    stochastic: one throw, then a step that does nothing. Throws to the right have the higher mean, throws to
              the left are rarely rewarded, but then highly: the highest returns are luck.
``corridor``  deterministic: no trajectory leads from the start to the goal, but two of them, stitched, do.

Importing this module registers the environments with Gymnasium, under the ids in ``ENVIRONMENTS``.
"""

from __future__ import annotations

import gymnasium
import numpy as np

ENVIRONMENTS = {name: f"{__name__}:rvdt_toys/{name.capitalize()}-v0" for name in ("bandit", "corridor")}
TARGETS = {"bandit": 3.0, "corridor": 1.0}  # the return of a lucky throw, and of arrival
START, GOAL, STRIDE, CORRIDOR_STEPS = -0.8, 0.9, 0.2, 20


def bandit_rewards(actions: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """.5 + .8 a, and 3 more in (1 - a) of ten cases: .8 + .5 a on average, best at a = 1."""
    return 0.5 + 0.8 * actions + 3.0 * (rng.random(np.shape(actions)) < 0.1 * (1.0 - actions))


def bandit_trajectories(count: int = 8000, seed: int = 0) -> dict[str, np.ndarray]:
    """Fields of ``Episodes``; actions are uniform."""
    rng = np.random.default_rng(seed)
    actions = rng.uniform(-0.9, 0.9, (count, 2))
    rewards = np.stack([bandit_rewards(actions[:, 0], rng), np.zeros(count)], axis=1)
    return {
        "observations": np.tile(np.array([[0.0], [1.0]], np.float32), (count, 1)),
        "actions": actions.reshape(-1, 1).astype(np.float32),
        "rewards": rewards.reshape(-1).astype(np.float32),
        "lengths": np.full(count, 2),
        "terminated": np.ones(count, bool),
    }


def corridor_step(positions: np.ndarray, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Positions after a step of at most .2 within [-1, 1], and the reward: 1 at the goal, which ends the episode."""
    positions = np.clip(positions + STRIDE * np.clip(actions, -1, 1), -1, 1)
    return positions, (positions >= GOAL).astype(float)


def corridor_trajectories(count: int = 600, length: int = 10, seed: int = 0) -> dict[str, np.ndarray]:
    """Fields of ``Episodes``; no episode leads all the way from the start to the goal.

    Those that begin on the left mostly go left and never arrive; those that begin near 0 go either way.
    """
    rng = np.random.default_rng(seed)
    parts = []
    for episode in range(count):
        left = episode % 2 == 0
        position = np.array([rng.uniform(-0.9, -0.3) if left else rng.uniform(-0.2, 0.2)])
        drift = -0.3 if left or rng.random() < 0.5 else 0.6
        observations, actions, rewards = [], [], []
        for _ in range(length):
            action = np.clip(drift + 0.5 * rng.standard_normal(1), -0.95, 0.95)
            observations.append(position)
            position, reward = corridor_step(position, action)
            actions.append(action)
            rewards.append(reward[0])
            if reward[0]:
                break
        parts.append((np.array(observations), np.array(actions), np.array(rewards)))
    columns = (np.concatenate(column).astype(np.float32) for column in zip(*parts, strict=True))
    return dict(zip(("observations", "actions", "rewards"), columns, strict=True)) | {
        "lengths": np.array([len(part[2]) for part in parts]),
        "terminated": np.array([part[2][-1] > 0 for part in parts]),
    }


class Bandit(gymnasium.Env):
    """The observation is 0 before the throw and 1 after it; see ``bandit_rewards``."""

    observation_space = gymnasium.spaces.Box(-1.0, 1.0, (1,))
    action_space = gymnasium.spaces.Box(-1.0, 1.0, (1,))

    def reset(self, *, seed=None, options=None):
        """Before the throw."""
        super().reset(seed=seed)
        self._thrown = False
        return np.zeros(1, np.float32), {}

    def step(self, action):
        """Throws, or ends the episode."""
        reward = 0.0 if self._thrown else float(bandit_rewards(np.asarray(action, float)[0], self.np_random))
        ended, self._thrown = self._thrown, True
        return np.ones(1, np.float32), reward, ended, False, {}


class Corridor(gymnasium.Env):
    """From -.8 to .9 within 20 steps; see ``corridor_step``."""

    observation_space = gymnasium.spaces.Box(-1.0, 1.0, (1,))
    action_space = gymnasium.spaces.Box(-1.0, 1.0, (1,))

    def reset(self, *, seed=None, options=None):
        """Back to the start."""
        super().reset(seed=seed)
        self._position = np.array([START])
        return self._position.astype(np.float32), {}

    def step(self, action):
        """Moves."""
        self._position, reward = corridor_step(self._position, np.asarray(action, float))
        return self._position.astype(np.float32), float(reward[0]), bool(reward[0] > 0), False, {}


for _name, _steps in (("Bandit", 2), ("Corridor", CORRIDOR_STEPS)):
    if (_id := f"rvdt_toys/{_name}-v0") not in gymnasium.registry:  # naming the module loads it again
        gymnasium.register(_id, f"{__name__}:{_name}", max_episode_steps=_steps)
