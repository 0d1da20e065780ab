"""Environments of our own, and the vector environments that evaluation steps.

Importing this package registers ``rvdt/*``, D4RL's tasks; so does
``gymnasium.make("rvdt_jax.envs:rvdt/maze2d-umaze-v1")``, Gymnasium's way of naming the module that brings an
environment. Where Gymnasium-Robotics is installed, its environments are registered too.
"""

from __future__ import annotations

import contextlib
import io

from rvdt_jax.tasks import all_tasks

# By the beginning of D4RL's names: the environments on Gymnasium-Robotics' simulators.
_D4RL_CLASSES = {"antmaze": "AntMazeEnv", "pen": "PenEnv", "hammer": "HammerEnv", "kitchen": "KitchenEnv"}
_ANTMAZE_V2 = ("umaze", "umaze-diverse", "medium-play", "medium-diverse", "large-play", "large-diverse")


def register() -> None:
    """Registers ``rvdt/*`` and Gymnasium-Robotics' environments with Gymnasium. Calling it again does nothing."""
    from gymnasium.envs.registration import register as gymnasium_register
    from gymnasium.envs.registration import registry

    for registration in [*_maze2d(), *_d4rl(), *_minari()]:
        if registration["id"] not in registry:
            gymnasium_register(**registration)
    _register_robotics()


def _maze2d() -> list[dict]:
    from rvdt_jax.envs.maze2d import MAZE_TASKS

    return [
        {
            "id": f"rvdt/{name}",
            "entry_point": "rvdt_jax.envs.maze2d:Maze2dEnv",
            "max_episode_steps": maze_task.maze.horizon,
            "kwargs": {"name": name},
        }
        for name, maze_task in MAZE_TASKS.items()
    ]


def _d4rl() -> list[dict]:
    horizons = {name: task.horizon for name, task in all_tasks().items() if name.split("-")[0] in _D4RL_CLASSES}
    for variant in _ANTMAZE_V2:  # no tasks of the table; they last as long as -v0 in the same maze
        horizons[f"antmaze-{variant}-v2"] = horizons[f"antmaze-{variant.split('-')[0]}-diverse-v0"]
    return [
        {
            "id": f"rvdt/{name}",
            "entry_point": f"rvdt_jax.envs.d4rl:{_D4RL_CLASSES[name.split('-')[0]]}",
            "max_episode_steps": horizon,
            "kwargs": {"maze": name.split("-")[1]} if name.startswith("antmaze") else {},
        }
        for name, horizon in horizons.items()
    ]


def _minari() -> list[dict]:
    """The tasks in the layout of Minari's data sets, for policies trained on those: ``rvdt/minari-<task>``."""
    return [
        {
            "id": f"rvdt/minari-{name}",
            "entry_point": f"rvdt_jax.envs.minari_layout:make_{task.family}",
            "max_episode_steps": task.horizon,
            "kwargs": {"maze": name.split("-")[1]} if task.family == "antmaze" else {},
        }
        for name, task in all_tasks().items()
        if task.family in ("antmaze", "kitchen")
    ]


def _register_robotics() -> None:
    import gymnasium

    # On import it prints in which versions Adroit's rewards differ; those of rvdt/* do not depend on its version.
    with contextlib.suppress(ImportError), contextlib.redirect_stderr(io.StringIO()):
        import gymnasium_robotics

        gymnasium.register_envs(gymnasium_robotics)


register()
