"""Environments of our own, and the vector environments that evaluation steps.

Importing this package registers ``rvdt/maze2d-*``; so does ``gymnasium.make("rvdt_jax.envs:rvdt/maze2d-umaze-v1")``,
Gymnasium's way of naming the module that brings an environment.
"""

from __future__ import annotations


def register() -> None:
    """Registers ``rvdt/maze2d-*`` with Gymnasium. Calling it again does nothing."""
    from gymnasium.envs.registration import register as gymnasium_register
    from gymnasium.envs.registration import registry

    from rvdt_jax.envs.maze2d import MAZE_TASKS

    for name, maze_task in MAZE_TASKS.items():
        if f"rvdt/{name}" not in registry:
            gymnasium_register(
                id=f"rvdt/{name}",
                entry_point="rvdt_jax.envs.maze2d:Maze2dEnv",
                max_episode_steps=maze_task.maze.horizon,
                kwargs={"name": name},
            )


register()
