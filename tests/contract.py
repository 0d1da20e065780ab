"""Small data sets made in the real environments, with the spaces of the public ones: what stands in for them in tests.

Random actions, a few short episodes, written by Minari's own ``DataCollector`` under the id of the public data set; or,
for what only D4RL's files carry, recorded as an HDF5 file of D4RL's layout.
"""

from __future__ import annotations

import pathlib
import warnings

import gymnasium
import h5py
import minari
import numpy as np

import rvdt_jax.envs  # noqa: F401  registers the environments
from rvdt_jax.tasks import Source, Task

EPISODES, STEPS = 4, 25
KITCHEN_TASKS = ["microwave", "kettle", "light switch", "slide cabinet"]
# Minari's own collection maps (its documentation of D4RL/antmaze/*).
UMAZE = [[1, 1, 1, 1, 1], [1, "g", 0, 0, 1], [1, 1, 1, 0, 1], [1, "r", 0, 0, 1], [1, 1, 1, 1, 1]]
ANTMAZE = {"reward_type": "sparse", "continuing_task": True, "reset_target": False}


def collected_in(source: Source) -> tuple[str, dict]:
    """Id and keyword arguments of the environment that the public data set was collected in."""
    namespace, *rest = source.dataset_id.split("/")
    if namespace == "recreated":
        return source.env_id, {}
    if namespace == "mujoco":
        return {"halfcheetah": "HalfCheetah-v5", "hopper": "Hopper-v5", "walker2d": "Walker2d-v5"}[rest[0]], {}
    family, quality = rest
    if family == "antmaze":
        if quality.startswith("umaze"):
            return "AntMaze_UMaze-v4", ANTMAZE | ({} if "diverse" in quality else {"maze_map": UMAZE})
        return f"AntMaze_{quality.split('-')[0].capitalize()}_Diverse_GR-v4", ANTMAZE
    if family == "kitchen":
        kwargs = {"remove_task_when_completed": False, "terminate_on_tasks_completed": False}
        return "FrankaKitchen-v1", kwargs | {"tasks_to_complete": KITCHEN_TASKS}
    return {"pen": "AdroitHandPen-v1", "hammer": "AdroitHandHammer-v1"}[family], {}


def play(env):
    """Random actions for a few episodes; yields observation, action and what each step gave."""
    env.action_space.seed(0)
    for episode in range(EPISODES):
        observation, _ = env.reset(seed=episode)
        done = False
        while not done:
            action = env.action_space.sample()
            following, reward, terminated, truncated, _ = env.step(action)
            yield observation, action, reward, terminated, truncated and not terminated, following
            observation, done = following, terminated or truncated


def collect_minari(source: Source) -> None:
    """Plays random actions in the public data set's environment, into a local Minari data set of its id."""
    env_id, kwargs = collected_in(source)
    with warnings.catch_warnings(action="ignore"):  # of newer versions, and that a test has no author
        env = minari.DataCollector(gymnasium.make(env_id, max_episode_steps=STEPS, **kwargs))
        list(play(env))
        env.create_dataset(source.dataset_id, algorithm_name="random actions")
        env.close()


def record_d4rl_file(task: Task, path: pathlib.Path) -> None:
    """Plays random actions in the task's environment, into an HDF5 file of the layout of D4RL's locomotion files."""
    names = ("observations", "actions", "rewards", "terminals", "timeouts", "next_observations")
    with warnings.catch_warnings(action="ignore"), h5py.File(path, "w") as file:
        env = gymnasium.make(task.source("import").env_id, max_episode_steps=STEPS)
        for name, values in zip(names, zip(*play(env), strict=True), strict=True):
            file[name] = np.array(values, dtype=bool if name in ("terminals", "timeouts") else np.float32)
        env.close()
