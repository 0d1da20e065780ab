"""D4RL's antmaze and kitchen tasks in Gymnasium-Robotics' environments, for policies trained on Minari's data sets.

Observations are dicts, in the layout and the coordinates of Minari's data. As in D4RL's tasks, there is one start and
one goal, and episodes end on arrival or when all tasks are done.
"""

from __future__ import annotations

import os

import gymnasium

from rvdt_jax.envs.d4rl import KITCHEN_TASKS, import_robotics, make_grid


def make_antmaze(maze: str, render_mode: str | None = None) -> gymnasium.Env:
    """AntMaze_*-v4 (27 body entries) with one start and one goal cell; arrival is rewarded with 1 and ends the episode.

    As in Gymnasium-Robotics, start and goal are spread by up to 1 around their cells' centres along each axis, and the
    goal's radius is .45; in D4RL the goal is spread by 0 to 1.5, and its radius is .5. The motors are Gymnasium's.
    """
    # Minari's evaluation maps, but for umaze: Minari's is the mirror image of the maze that its data come from (Minari
    # issue 304), this one has the walls, start and goal of the data.
    grid = make_grid(maze, flip=maze == "umaze")
    simulator = import_robotics("maze.ant_maze_v4").AntMazeEnv
    env = simulator(maze_map=grid, continuing_task=False, render_mode=render_mode)
    os.unlink(env.tmp_xml_file_path)  # left behind by Gymnasium-Robotics; nobody reads it once the model is compiled
    return env


def make_kitchen(render_mode: str | None = None) -> gymnasium.Env:
    """FrankaKitchen-v1 with D4RL's four tasks, each rewarded once; the episode ends when all are done."""
    return import_robotics("franka_kitchen.kitchen_env").KitchenEnv(
        tasks_to_complete=list(KITCHEN_TASKS),
        remove_task_when_completed=True,
        terminate_on_tasks_completed=True,
        render_mode=render_mode,
    )
