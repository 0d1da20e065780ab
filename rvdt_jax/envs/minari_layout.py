"""D4RL's antmaze and kitchen tasks for policies trained on Minari's data sets: Gymnasium-Robotics' own environments.

Their observations are dicts, in the layout and the coordinates of Minari's data. Only what makes them D4RL's tasks is
set: one start, one goal, and an end on arrival or when everything is done.
"""

from __future__ import annotations

import os

import gymnasium

from rvdt_jax.envs.d4rl import KITCHEN_TASKS, import_robotics

# Rows of 1 wall, 0 empty, r start, g goal, as Gymnasium-Robotics lays them out: y falls from row to row. Those of
# medium and large are Minari's evaluation maps. Minari's for umaze is the mirror image of the maze that its data come
# from (Minari issue 304); this one has the walls of the data, and their start and goal.
MAZES = {
    "umaze": "11111/1g001/11101/1r001/11111",
    "medium": "11111111/1r011001/10010001/11000111/10010001/10100101/100010g1/11111111",
    "large": "111111111111/1r0001000001/101101010101/100000010001/101111011101/100101000001/110101010111/"
    "100100010g01/111111111111",
}


def make_antmaze(maze: str, render_mode: str | None = None) -> gymnasium.Env:
    """AntMaze_*-v4 (27 body entries) with one start cell and one goal cell; paid 1 on arrival, which ends the episode.

    Start and goal are spread by up to 1 around their cells' centres along each axis, the goal's radius is .45: as in
    Gymnasium-Robotics, where D4RL has a spread of 0 to 1.5 for the goal and .5. The motors are Gymnasium's.
    """
    module = import_robotics("maze.ant_maze_v4")
    cells = {"0": 0, "1": 1, "r": "r", "g": "g"}
    grid = [[cells[cell] for cell in row] for row in MAZES[maze].split("/")]
    env = module.AntMazeEnv(maze_map=grid, continuing_task=False, render_mode=render_mode)
    os.unlink(env.tmp_xml_file_path)  # left behind by Gymnasium-Robotics; nobody reads it once the model is compiled
    return env


def make_kitchen(render_mode: str | None = None) -> gymnasium.Env:
    """FrankaKitchen-v1 with D4RL's four tasks, each paid once, and an end when all are done."""
    module = import_robotics("franka_kitchen.kitchen_env")
    return module.KitchenEnv(
        tasks_to_complete=list(KITCHEN_TASKS),
        remove_task_when_completed=True,
        terminate_on_tasks_completed=True,
        render_mode=render_mode,
    )
