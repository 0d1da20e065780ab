"""D4RL's antmaze, pen, hammer and kitchen tasks, with D4RL's observation vectors, on Gymnasium-Robotics' simulators.

Gymnasium-Robotics has the same robots, with other observations, rewards and ends of episodes. Here they are D4RL's;
each class names the exceptions. D4RL's trajectories, made with MuJoCo 2.0, are not repeated to the digit: since then
capsules have their exact masses (2.1.2; the ant's limbs became 4 to 7 % heavier), and two geoms' margins are added
where the larger counted (3.5; corrected for the ant alone). Source: Fu et al. 2020.
"""

from __future__ import annotations

import functools
import importlib
import os
import types
from typing import ClassVar

import gymnasium
import mujoco
import numpy as np

# Rows of 1 wall, 0 empty, R start, G goal, in cells of 4 by 4: the mazes that D4RL evaluates in, and open ground.
MAZES = {
    "umaze": "11111/1R001/11101/1G001/11111",
    "medium": "11111111/1R011001/10010001/11000111/10010001/10100101/100010G1/11111111",
    "large": "111111111111/1R0001000001/101101010101/100000010001/101111011101/100101000001/110101010111/"
    "100100010G01/111111111111",
    "open": "111111111/100000001/100000001/100000001/1000R0001/100000001/100000001/1000000G1/111111111",
}
GOAL_RADIUS = 0.5
START_NOISE = 0.1
KITCHEN_TASKS = ("microwave", "kettle", "light switch", "slide cabinet")


def make_grid(maze: str, *, flip: bool) -> list[list[int | str]]:
    """A maze as Gymnasium-Robotics takes it, where y falls from row to row; ``flip`` reverses the rows."""
    rows = MAZES[maze].split("/")[:: -1 if flip else 1]
    return [[{"0": 0, "1": 1, "R": "r", "G": "g"}[cell] for cell in row] for row in rows]


def import_robotics(module: str) -> types.ModuleType:
    """A module of ``gymnasium_robotics.envs``.

    Raises:
        gymnasium.error.DependencyNotInstalled: it cannot be imported.
    """
    try:
        return importlib.import_module(f"gymnasium_robotics.envs.{module}")
    except ImportError as error:
        raise gymnasium.error.DependencyNotInstalled(
            f"this environment needs Gymnasium-Robotics ({error}): pip install 'rvdt-jax[envs]'"
        ) from error


class _SimulatedEnv(gymnasium.Env):
    """The shared part of the environments. ``simulator`` is Gymnasium-Robotics' environment."""

    metadata: ClassVar[dict] = {"render_modes": ["rgb_array"], "render_fps": 100}

    def __init__(self, observation_size: int, action_size: int, render_mode: str | None, make_simulator):
        if render_mode not in (None, *self.metadata["render_modes"]):
            raise ValueError(f"render_mode={render_mode!r}: choose rgb_array, or None.")
        self.render_mode = render_mode
        self.observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (observation_size,), np.float32)
        self.action_space = gymnasium.spaces.Box(-1.0, 1.0, (action_size,), np.float32)
        self.simulator = make_simulator(render_mode=render_mode)

    def render(self) -> np.ndarray | None:
        """(480, 480, 3) uint8 picture; None without render_mode. Without a screen, MuJoCo needs MUJOCO_GL=egl."""
        return None if self.render_mode is None else self.simulator.render()

    def close(self) -> None:
        """Closes the simulator."""
        self.simulator.close()


class AntMazeEnv(_SimulatedEnv):
    """D4RL's antmaze-*: an ant walks to the goal cell of a maze. Arrival is rewarded with 1 and ends the episode.

    Observations (29) are qpos (15) and qvel (14), not clipped; x = qpos[0] grows with the column, y = qpos[1] with the
    row, and the start cell's centre is (0, 0). The goal is not among them. Actions are 8 torques in units of 30.

    As in D4RL: mazes, starts, the goal's spread, reward, end (a fallen ant goes on), and the physics that the ant's
    model file states. Every reset draws a goal, as in D4RL's -v2; its -v0 drew one per environment.

    Args:
        maze: a name in ``MAZES``.
        render_mode: None or ``rgb_array``.
    """

    metadata: ClassVar[dict] = {"render_modes": ["rgb_array"], "render_fps": 10}

    def __init__(self, maze: str = "umaze", render_mode: str | None = None):
        simulator = import_robotics("maze.ant_maze_v4").AntMazeEnv
        grid = make_grid(maze, flip=True)  # so that y grows with the row
        super().__init__(29, 8, render_mode, functools.partial(simulator, maze_map=grid))
        # It leaves this file behind; nobody reads it once the model is compiled.
        os.unlink(self.simulator.tmp_xml_file_path)
        self._ant = self.simulator.ant_env
        _restore_ant(self.simulator.model)
        cells = {cell: (i, j) for i, row in enumerate(grid) for j, cell in enumerate(row)}
        self._origin, goal = (self.simulator.maze.cell_rowcol_to_xy(cells[kind]) for kind in "rg")
        self._goal_centre = goal - self._origin

    def reset(self, *, seed: int | None = None, options: dict | None = None):
        """A new goal and a start near the origin; ``options`` is not used."""
        super().reset(seed=seed)
        spread = self.np_random.uniform(0.0, 1.0, 2) + self.np_random.uniform(0.0, 0.5, 2)  # D4RL adds two noises
        self._goal = np.maximum(self._goal_centre + spread, 0.0)
        self.simulator.goal = self._goal + self._origin  # where a picture shows it
        self.simulator.update_target_site_pos()
        model, data = self.simulator.model, self.simulator.data
        position = model.qpos0 + self.np_random.uniform(-START_NOISE, START_NOISE, model.nq)
        position[:2] += self._origin
        mujoco.mj_normalizeQuat(model, position)  # as MuJoCo did before 3.2 whatever was set
        mujoco.mj_resetData(model, data)
        self._ant.set_state(position, START_NOISE * self.np_random.standard_normal(model.nv))
        return self._observation(), self._info()

    def step(self, action):
        """.1 s under torques clipped to +-30."""
        self._ant.do_simulation(np.asarray(action, np.float64), self._ant.frame_skip)
        info = self._info()
        return self._observation(), float(info["success"]), info["success"], False, info

    def _observation(self) -> np.ndarray:
        observation = np.concatenate([self.simulator.data.qpos, self.simulator.data.qvel])
        observation[:2] -= self._origin
        return observation.astype(np.float32)

    def _info(self) -> dict:
        distance = np.linalg.norm(self.simulator.data.qpos[:2] - self._origin - self._goal)
        return {"success": bool(distance <= GOAL_RADIUS), "goal": self._goal.astype(np.float32)}


def _restore_ant(model: mujoco.MjModel) -> None:
    """Turns Gymnasium's ant into D4RL's: everything in which their model files differ, and margins that add to .01."""
    model.opt.timestep = 0.02
    model.geom_solimp[:, :3] = 0.8, 0.8, 0.01
    model.geom_margin[:] = 0.005
    model.actuator_gear[:, 0] = 30.0  # D4RL: gear 1, and controls of +-30


class _HandEnv(_SimulatedEnv):
    """A task of the Adroit hand. Actions are its joints' positions, -1 to 1 over each actuator's range."""

    def reset(self, *, seed: int | None = None, options: dict | None = None):
        """A random target; ``options`` is not used."""
        super().reset(seed=seed)
        self.simulator.np_random = self.np_random
        observation, _ = self.simulator.reset()
        return observation.astype(np.float32), {"success": self._judge(observation)[2]}

    def step(self, action):
        """One step of .01 s."""
        observation = self.simulator.step(np.asarray(action, np.float64))[0]
        reward, terminated, success = self._judge(observation)
        return observation.astype(np.float32), reward, terminated, False, {"success": success}

    def _judge(self, observation: np.ndarray) -> tuple[float, bool, bool]:
        """Reward, end and success for the simulator's state, whose observation (S,) float64 is given."""
        raise NotImplementedError


class PenEnv(_HandEnv):
    """D4RL's pen-*-v1: turn a pen in the hand until it points as the target does.

    Observations (45) and actions (24) are AdroitHandPen-v1's, and so is the reward. As in D4RL and unlike
    AdroitHandPen-v1 the episode ends when the pen is dropped. Success: within 18 degrees and 7.5 cm of the target.
    """

    def __init__(self, render_mode: str | None = None):
        super().__init__(45, 24, render_mode, import_robotics("adroit_hand.adroit_pen").AdroitHandPenEnv)

    def _judge(self, observation):
        height, direction, target, offset = observation[26], observation[33:36], observation[36:39], observation[39:42]
        distance, similarity = np.linalg.norm(offset), direction @ target
        near, dropped = distance < 0.075, bool(height < 0.075)
        bonus = 10.0 * (near and similarity > 0.9) + 50.0 * (near and similarity > 0.95)
        return float(similarity - distance + bonus - 5.0 * dropped), dropped, bool(near and similarity > 0.95)


class HammerEnv(_HandEnv):
    """D4RL's hammer-*-v1: pick up a hammer and drive a nail into a board.

    Observations (46) and actions (26) are AdroitHandHammer-v1's. The reward is D4RL's, whichever Gymnasium-Robotics is
    installed: 1.4.2 pays for the palm's distance from the hammer, where D4RL charges for it. It never terminates.
    Success: the nail within 1 cm of its goal.
    """

    def __init__(self, render_mode: str | None = None):
        super().__init__(46, 26, render_mode, import_robotics("adroit_hand.adroit_hammer").AdroitHandHammerEnv)

    def _judge(self, observation):
        data = self.simulator.data
        hammer = data.body("Object").xpos
        palm, head, nail, goal = (data.site(name).xpos for name in ("S_grasp", "tool", "S_target", "nail_goal"))
        depth = np.linalg.norm(nail - goal)
        reward = -0.1 * np.linalg.norm(palm - hammer) - np.linalg.norm(head - nail) - 10.0 * depth
        reward -= 0.01 * np.linalg.norm(data.qvel)
        reward += 2.0 * (hammer[2] > 0.04 and head[2] > 0.04) + 25.0 * (depth < 0.02) + 75.0 * (depth < 0.01)
        return float(reward), False, bool(depth < 0.01)


class KitchenEnv(_SimulatedEnv):
    """D4RL's kitchen-complete-v0 and -partial-v0, which share this environment: four household tasks in any order.

    Observations (60) are 9 robot joints, 21 numbers of the objects, and the goal (30): zero but for the objects of
    ``KITCHEN_TASKS``. Actions are 9 joint velocities in units of 2 rad/s. The reward counts the tasks completed by this
    step, each once; the episode ends when all four are. ``info`` holds FrankaKitchen-v1's three lists of tasks.

    As in D4RL: observations' layout, goal, start, reward and end. As in FrankaKitchen-v1, not in D4RL: the noise ratio
    of the robot's joints, which its control uses (.01; D4RL .1), and of the objects (.0005; D4RL .1); completion is
    judged without noise; the models, which have not been compared with D4RL's.
    """

    metadata: ClassVar[dict] = {"render_modes": ["rgb_array"], "render_fps": 12}

    def __init__(self, render_mode: str | None = None):
        kitchen_env = import_robotics("franka_kitchen.kitchen_env")
        simulator = functools.partial(kitchen_env.KitchenEnv, tasks_to_complete=list(KITCHEN_TASKS))
        super().__init__(60, 9, render_mode, simulator)
        self._goal = np.zeros(30)
        for task in KITCHEN_TASKS:
            self._goal[kitchen_env.OBS_ELEMENT_INDICES[task]] = kitchen_env.OBS_ELEMENT_GOALS[task]
        self._completed: list[str] = []

    def reset(self, *, seed: int | None = None, options: dict | None = None):
        """The one start, seen with noise; ``options`` is not used."""
        super().reset(seed=seed)
        self.simulator.robot_env.np_random = self.np_random
        observation, info = self.simulator.reset()
        self._completed = []
        return self._observation(observation), self._info(info)

    def step(self, action):
        """One step of .08 s."""
        observation, reward, terminated, _, info = self.simulator.step(np.asarray(action, np.float64))
        return self._observation(observation), float(reward), bool(terminated), False, self._info(info)

    def _observation(self, observation: dict[str, np.ndarray]) -> np.ndarray:
        # FrankaKitchen-v1's 59: robot qpos 9 and qvel 9, objects' qpos 21 and qvel 20.
        seen = observation["observation"]
        return np.concatenate([seen[:9], seen[18:39], self._goal]).astype(np.float32)

    def _info(self, info: dict) -> dict:
        # The simulator keeps tasks in a set, whose order changes from process to process.
        now = sorted(info["step_task_completions"], key=KITCHEN_TASKS.index)
        self._completed += now
        return {
            "tasks_to_complete": sorted(info["tasks_to_complete"], key=KITCHEN_TASKS.index),
            "step_task_completions": now,
            "episode_task_completions": list(self._completed),
        }
