"""Environments: umaze, in which every third episode meets a fault in its fifth step."""

import os
import signal

import gymnasium
import numpy as np

from rvdt_jax.envs.maze2d import Maze2dEnv


class Faulty(Maze2dEnv):
    """``raise``, ``nan``, ``die`` (once in all) or ``none``."""

    def __init__(self, fault):
        super().__init__("maze2d-umaze-v1")
        self._fault = fault

    def reset(self, *, seed=None, options=None):
        self._steps_left = 5 if seed % 3 == 0 else 0
        return super().reset(seed=seed, options=options)

    def step(self, action):
        observation, reward, *flags = super().step(action)
        self._steps_left -= 1
        fault = self._fault if self._steps_left == 0 else "none"
        if fault == "raise":
            raise RuntimeError("the simulator has come apart")
        if fault == "die" and not os.path.exists("died"):
            os.mkdir("died")
            os.kill(os.getpid(), signal.SIGKILL)
        return observation * np.nan if fault == "nan" else observation, reward, *flags


for fault in ("raise", "nan", "die", "none"):
    name = f"faulty/{fault.title()}-v0"
    if name not in gymnasium.registry:
        gymnasium.register(name, f"{__name__}:Faulty", max_episode_steps=300, kwargs={"fault": fault})
