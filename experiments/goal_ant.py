"""The environment in which D4RL's ant learns to walk to a goal, for the planner of antmaze's recipe."""

from __future__ import annotations

import numpy as np

from rvdt_jax.envs.d4rl import AntMazeEnv
from rvdt_jax.recreate.antmaze import REACHED, goal_observation

_NEAR, _FAR, _HALF = 1.0, 8.0, 13.0  # of goals, and of the ground's half width that they lie in
_PROGRESS, _ARRIVAL, _EFFORT, _ALIVE = 30.0, 10.0, 0.02, 0.2


class GoalAnt(AntMazeEnv):
    """Goals within 8 m, one after the other; rewards progress and arrival. A fall ends the episode."""

    def __init__(self, render_mode: str | None = None):
        super().__init__("open", render_mode)

    def reset(self, *, seed: int | None = None, options: dict | None = None):
        """In the middle of the ground."""
        observation, _ = super().reset(seed=seed)
        self._draw(observation[:2])
        self._arrivals = 0
        return goal_observation(observation, self._goal), {"arrivals": 0}

    def step(self, action):
        """As ``AntMazeEnv.step``; ``info["arrivals"]`` counts the goals reached so far."""
        before = self._distance
        observation, *_ = super().step(action)
        self._distance = float(np.linalg.norm(self._goal - observation[:2]))
        reward = _PROGRESS * (before - self._distance) + _ALIVE - _EFFORT * float(np.square(action).sum())
        if self._distance < REACHED:
            reward += _ARRIVAL
            self._arrivals += 1
            self._draw(observation[:2])
        return goal_observation(observation, self._goal), reward, self._fallen(), False, {"arrivals": self._arrivals}

    def _draw(self, place: np.ndarray) -> None:
        while True:
            angle, distance = self.np_random.uniform(-np.pi, np.pi), self.np_random.uniform(_NEAR, _FAR)
            goal = place + distance * np.array([np.cos(angle), np.sin(angle)])
            if np.abs(goal).max() < _HALF:
                break
        self._goal, self._distance = goal, distance

    def _fallen(self) -> bool:
        height, (_, x, y, _) = self.simulator.data.qpos[2], self.simulator.data.qpos[3:7]
        upright = 1.0 - 2.0 * (x * x + y * y)  # of the torso's axis, the cosine to the vertical
        return bool(not 0.2 < height < 1.2 or upright < 0.3)
