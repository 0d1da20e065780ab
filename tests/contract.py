"""Small data sets made in the real environments, with the spaces of the public ones: what stands in for them in tests.

Random actions, a few short episodes, written by Minari's own ``DataCollector`` under the id of the public data set.
"""

from __future__ import annotations

import warnings

import gymnasium
import minari

import rvdt_jax.envs  # noqa: F401  registers the environments
from rvdt_jax.tasks import Source

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


def collect_minari(source: Source) -> None:
    """Plays random actions in the public data set's environment, into a local Minari data set of its id."""
    env_id, kwargs = collected_in(source)
    collect(source.dataset_id, env_id, **kwargs)


def collect(dataset_id: str, env_id: str, *, steps: int = STEPS, about: dict | None = None, **kwargs) -> list[float]:
    """Plays random actions in an environment, into a local Minari data set; returns the episodes' returns."""
    returns = []
    with warnings.catch_warnings(action="ignore"):  # of newer versions, and that a test has no author
        env = minari.DataCollector(gymnasium.make(env_id, max_episode_steps=steps, **kwargs))
        env.action_space.seed(0)
        for episode in range(EPISODES):
            env.reset(seed=episode)
            total, done = 0.0, False
            while not done:
                _, reward, terminated, truncated, _ = env.step(env.action_space.sample())
                total, done = total + float(reward), terminated or truncated
            returns.append(total)
        env.create_dataset(dataset_id, algorithm_name="random actions", **(about or {}))
        env.close()
    return returns
