"""Evaluation environments, and vector environments that step many copies of one.

Importing this package registers D4RL's tasks as ``rvdt/*``; so does
``gymnasium.make("rvdt_jax.envs:rvdt/maze2d-umaze-v1")``. Gymnasium-Robotics' environments are registered too if it is
installed.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator

from rvdt_jax.tasks import all_tasks

# By the beginning of D4RL's names: the environments on Gymnasium-Robotics' simulators.
_D4RL_CLASSES = {"antmaze": "AntMazeEnv", "pen": "PenEnv", "hammer": "HammerEnv", "kitchen": "KitchenEnv"}
# No tasks of the table; they last as long as -v0 in the same maze.
_ANTMAZE_V2 = ("umaze", "umaze-diverse", "medium-play", "medium-diverse", "large-play", "large-diverse")


def register() -> None:
    """Registers ``rvdt/*`` and Gymnasium-Robotics' environments with Gymnasium. Calling it again does nothing."""
    from gymnasium.envs.registration import register as gymnasium_register
    from gymnasium.envs.registration import registry

    for name, entry_point, horizon, options in _environments():
        if f"rvdt/{name}" not in registry:
            gymnasium_register(f"rvdt/{name}", f"{__name__}.{entry_point}", max_episode_steps=horizon, kwargs=options)
    _register_robotics()


def _environments() -> Iterator[tuple[str, str, int, dict]]:
    """Name, entry point, horizon and keyword arguments of each environment of our own."""
    from rvdt_jax.envs.maze2d import MAZE_TASKS

    for name, maze in MAZE_TASKS.items():
        yield name, "maze2d:Maze2dEnv", maze.horizon, {"name": name}
    horizons = {name: task.horizon for name, task in all_tasks().items()}
    newer = {f"antmaze-{variant}-v2": f"antmaze-{variant.split('-')[0]}-diverse-v0" for variant in _ANTMAZE_V2}
    horizons |= {name: horizons[same_maze] for name, same_maze in newer.items()}
    for name, horizon in horizons.items():
        kind = name.split("-")[0]
        options = {"maze": name.split("-")[1]} if kind == "antmaze" else {}
        if kind in _D4RL_CLASSES:
            yield name, f"d4rl:{_D4RL_CLASSES[kind]}", horizon, options
        if kind in ("antmaze", "kitchen") and name not in newer:
            # In the layout of Minari's data sets, for policies trained on those.
            yield f"minari-{name}", f"minari_layout:make_{kind}", horizon, options


def _register_robotics() -> None:
    import gymnasium

    # On import it prints how Adroit's rewards differ between its versions; those of rvdt/* do not depend on them.
    with contextlib.suppress(ImportError), contextlib.redirect_stderr(io.StringIO()):
        import gymnasium_robotics

        gymnasium.register_envs(gymnasium_robotics)


register()
