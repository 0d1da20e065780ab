"""Environments of our own, and the vector environments that evaluation steps."""

from __future__ import annotations


def register() -> None:
    """Registers ``rvdt/maze2d-*`` with Gymnasium; also its plugin entry point. Calling it again does nothing."""
    from gymnasium.envs.registration import register as gymnasium_register
    from gymnasium.envs.registration import registry

    from rvdt_jax.envs.maze2d import VARIANTS

    for name, variant in VARIANTS.items():
        if f"rvdt/{name}" not in registry:
            gymnasium_register(
                id=f"rvdt/{name}",
                entry_point="rvdt_jax.envs.maze2d:Maze2dEnv",
                max_episode_steps=variant.maze.horizon,
                kwargs={"name": name},
            )
