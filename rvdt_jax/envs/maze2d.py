"""D4RL's maze2d tasks, rebuilt on today's MuJoCo so that D4RL's reference returns come out to the last digit.

A ball on two motors rolls through a maze of unit cells. In the ball's coordinates, (i, j) lies in cell (row i, column
j), .2 off its centre along both axes, as in the original: D4RL's ``pointmaze`` (Fu et al. 2020). Two corrections
restore the behaviour of old MuJoCo (see ``make_model``). Gymnasium-Robotics' PointMaze is another task.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from typing import ClassVar

import gymnasium
import mujoco
import numpy as np

GOAL_RADIUS = 0.5
BALL_RADIUS = 0.1
ORIGIN = 0.7  # cells from the maze's edge to the ball's coordinate 0, along both axes; see ``make_model``
MAX_SPEED = 5.0
START_NOISE = 0.1


@dataclasses.dataclass(frozen=True)
class Maze:
    """A maze: rows of ``#`` wall, ``O`` empty, ``G`` goal, the episode length in steps, and which reward it gives.

    The reward is sparse, 1 within ``GOAL_RADIUS`` of the goal, or dense, exp(-distance).
    """

    rows: tuple[str, ...]
    horizon: int
    dense: bool = False

    def cells(self, kind: str) -> list[tuple[int, int]]:
        """The (row, column) of every cell of a kind, row-major."""
        return [(i, j) for i, row in enumerate(self.rows) for j, cell in enumerate(row) if cell == kind]

    @property
    def goal(self) -> tuple[int, int]:
        """The goal cell."""
        return self.cells("G")[0]

    @property
    def free_cells(self) -> list[tuple[int, int]]:
        """The cells where an episode may start: the empty ones, row-major, and the goal last (D4RL's order)."""
        return [*self.cells("O"), self.goal]


MAZES = {
    "open": Maze(("#######", "#OOOOO#", "#OOGOO#", "#OOOOO#", "#######"), 150),
    "umaze": Maze(("#####", "#GOO#", "###O#", "#OOO#", "#####"), 300),
    "medium": Maze(
        ("########", "#OO##OO#", "#OO#OOO#", "##OOO###", "#OO#OOO#", "#O#OO#O#", "#OOO#OG#", "########"), 600
    ),
    "large": Maze(
        (
            *("############", "#OOOO#OOOOO#", "#O##O#O#O#O#", "#OOOOOO#OOO#", "#O####O###O#"),
            *("#OO#O#OOOOO#", "##O#O#O#O###", "#OO#OOO#OGO#", "############"),
        ),
        800,
    ),
}


MAZE_TASKS = {
    f"maze2d-{name}{'-dense' if dense else ''}-v{0 if name == 'open' else 1}": dataclasses.replace(maze, dense=dense)
    for dense in (False, True)
    for name, maze in MAZES.items()
}


def get_maze(name: str) -> Maze:
    """The maze of the task called ``name``, e.g. ``maze2d-umaze-v1``.

    Raises:
        ValueError: there is none.
    """
    if name not in MAZE_TASKS:
        raise ValueError(f"there is no maze2d environment {name!r}; known are {', '.join(MAZE_TASKS)}.")
    return MAZE_TASKS[name]


def make_model(maze: Maze) -> mujoco.MjModel:
    """The physics of a maze.

    Two corrections for newer MuJoCo: the margin is .001, because MuJoCo adds the margins of two geoms since 3.5, and
    took the larger one of the original .002 before; and ``body_invweight0`` has its value of before 3.0.

    The ball's coordinate 0 is 1.2 in the model's frame, where the first wall begins at .5: hence ``ORIGIN``.
    """
    walls = "".join(
        f'<geom type="box" pos="{i + 1} {j + 1} 0" size=".5 .5 .2" contype="1"/>' for i, j in maze.cells("#")
    )
    model = mujoco.MjModel.from_xml_string(
        f"""
        <mujoco>
          <compiler inertiafromgeom="true" angle="radian"/>
          <option timestep=".01" gravity="0 0 0" iterations="20" integrator="Euler"/>
          <default>
            <joint damping="1"/>
            <geom friction=".5 .1 .1" density="1000" margin=".001" condim="1" contype="2" conaffinity="1"/>
            <motor ctrllimited="true" ctrlrange="-1 1" gear="100"/>
          </default>
          <worldbody>
            <body pos="1.2 1.2 0">
              <geom type="sphere" size="{BALL_RADIUS}" contype="1"/>
              <joint name="x" type="slide" axis="1 0 0"/>
              <joint name="y" type="slide" axis="0 1 0"/>
            </body>
            <geom type="plane" pos="0 0 -.1" size="40 40 .25" contype="1" conaffinity="0"/>
            {walls}
          </worldbody>
          <actuator><motor joint="x"/><motor joint="y"/></actuator>
        </mujoco>
        """
    )
    model.body_invweight0[1, 0] = 2.0 / (3.0 * model.body_mass[1])
    return model


class Ball:
    """One ball in a maze: the state and its dynamics, shared by every environment of this module.

    Attributes:
        position, velocity: (2,) float64 views into the simulation.
    """

    def __init__(self, model: mujoco.MjModel):
        self._model, self._data = model, mujoco.MjData(model)
        self.position, self.velocity, self._control = self._data.qpos, self._data.qvel, self._data.ctrl

    def place(self, rng: np.random.Generator, cells: list[tuple[int, int]]) -> None:
        """Draws D4RL's start: a random cell of ``cells``, +-.1 uniform, and velocity .1 * normal."""
        mujoco.mj_resetData(self._model, self._data)
        cell = cells[rng.choice(len(cells))]
        self.position[:] = cell + rng.uniform(-START_NOISE, START_NOISE, size=2)
        self.velocity[:] = 0.1 * rng.standard_normal(2)
        mujoco.mj_forward(self._model, self._data)

    def push(self, force_x: float, force_y: float) -> None:
        """One step of .01 s under forces clipped to +-1, from a velocity clipped to +-5."""
        self._control[0] = max(-1.0, min(1.0, force_x))
        self._control[1] = max(-1.0, min(1.0, force_y))
        speed_x, speed_y = self.velocity.tolist()
        if abs(speed_x) > MAX_SPEED or abs(speed_y) > MAX_SPEED:
            np.clip(self.velocity, -MAX_SPEED, MAX_SPEED, out=self.velocity)
        mujoco.mj_step(self._model, self._data)


def rewards(positions: np.ndarray, goal: tuple[int, int], dense: bool) -> np.ndarray:
    """(...,) float64 rewards at (..., 2) positions."""
    distance = np.linalg.norm(positions - np.asarray(goal, np.float64), axis=-1)
    return np.exp(-distance) if dense else (distance <= GOAL_RADIUS).astype(np.float64)


class Maze2dEnv(gymnasium.Env):
    """A maze2d task as a Gymnasium environment; it never terminates.

    Observations are (x, y, vx, vy), in cells and cells per second; actions two forces in [-1, 1].

    Args:
        name: D4RL's name, e.g. ``maze2d-umaze-v1``.
        render_mode: None or ``rgb_array``.
    """

    metadata: ClassVar[dict] = {"render_modes": ["rgb_array"], "render_fps": 50}

    def __init__(self, name: str = "maze2d-umaze-v1", render_mode: str | None = None):
        self.maze, self.render_mode = get_maze(name), render_mode
        if render_mode not in (None, *self.metadata["render_modes"]):
            raise ValueError(f"render_mode={render_mode!r}: choose rgb_array, or None.")
        self.observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (4,), np.float32)
        self.action_space = gymnasium.spaces.Box(-1.0, 1.0, (2,), np.float32)
        self._ball = Ball(make_model(self.maze))

    def reset(self, *, seed: int | None = None, options: dict | None = None):
        """A random start; ``options`` is not used."""
        super().reset(seed=seed)
        self._ball.place(self.np_random, self.maze.free_cells)
        return self._observation(), self._info()

    def step(self, action):
        """One step of .01 s; the reward is that of the new position."""
        force_x, force_y = np.asarray(action, np.float64).tolist()
        self._ball.push(force_x, force_y)
        reward = float(rewards(self._ball.position, self.maze.goal, self.maze.dense))
        return self._observation(), reward, False, False, self._info()

    def render(self) -> np.ndarray | None:
        """(H, W, 3) uint8 view from above with 48 pixels a cell; rows run along x."""
        if self.render_mode != "rgb_array":
            return None
        image = _background(self.maze).copy()
        _draw_disc(image, self._ball.position, BALL_RADIUS, (213, 94, 0))
        return image

    def _observation(self) -> np.ndarray:
        return np.concatenate([self._ball.position, self._ball.velocity]).astype(np.float32)

    def _info(self) -> dict:
        distance = math.dist(self._ball.position, self.maze.goal)
        return {"success": distance <= GOAL_RADIUS, "goal": np.array(self.maze.goal, np.float32)}


_PIXELS = 48  # a cell


@functools.cache
def _background(maze: Maze) -> np.ndarray:
    walls = np.array([[cell == "#" for cell in row] for row in maze.rows])
    image = np.where(walls[..., None], np.uint8([70, 70, 80]), np.uint8([250, 250, 250]))
    image = image.repeat(_PIXELS, axis=0).repeat(_PIXELS, axis=1)
    _draw_disc(image, maze.goal, GOAL_RADIUS, (190, 225, 205))
    return image


def _draw_disc(image: np.ndarray, centre, radius: float, colour: tuple[int, int, int]) -> None:
    row, column = ((np.asarray(centre, np.float64) + ORIGIN) * _PIXELS).tolist()
    rows, columns = np.ogrid[: image.shape[0], : image.shape[1]]
    image[(rows - row) ** 2 + (columns - column) ** 2 <= (radius * _PIXELS) ** 2] = colour
