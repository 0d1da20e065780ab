"""D4RL's tasks on Gymnasium-Robotics' simulators: sizes, starts, rewards and ends, each against D4RL's definition."""

import contextlib
import math
import os
import sys
import tempfile
import warnings

import gymnasium
import mujoco
import numpy as np
import pytest

pytest.importorskip("gymnasium_robotics")

from rvdt_jax.envs.d4rl import AntMazeEnv, HammerEnv, KitchenEnv, PenEnv
from rvdt_jax.tasks import all_tasks

SIZES = {"antmaze": (29, 8), "pen": (45, 24), "hammer": (46, 26), "kitchen": (60, 9)}
ANTMAZE_V2 = ("umaze", "umaze-diverse", "medium-play", "medium-diverse", "large-play", "large-diverse")
HORIZONS = {
    task.source("import").env_id: task.horizon
    for task in all_tasks().values()
    if task.family in ("antmaze", "adroit", "kitchen")
} | {f"rvdt/antmaze-{maze}-v2": 700 if "umaze" in maze else 1000 for maze in ANTMAZE_V2}
ONE_OF_EACH = ["rvdt/antmaze-large-diverse-v0", "rvdt/pen-human-v1", "rvdt/hammer-cloned-v1", "rvdt/kitchen-partial-v0"]

# D4RL's *_MAZE_TEST maps: their walls are geometry, which the tests below look for in the compiled model.
ROWS = {
    "umaze": "11111 1R001 11101 1G001 11111",
    "medium": "11111111 1R011001 10010001 11000111 10010001 10100101 100010G1 11111111",
    "large": "111111111111 1R0001000001 101101010101 100000010001 101111011101 100101000001 110101010111 "
    "100100010G01 111111111111",
}
GOALS = {"umaze": (0, 8), "medium": (20, 20), "large": (32, 24)}

# Where an object's numbers begin in qpos, and their goal.
MICROWAVE, LIGHT, SLIDE = (22, [-0.75]), (17, [-0.69, -0.05]), (19, [0.37])
KETTLE = (23, [-0.23, 0.75, 1.62, 0.99, 0, 0, -0.06])


def family_of(env_id: str) -> str:
    return env_id.removeprefix("rvdt/").split("-")[0]


def make(env_id: str, **kwargs) -> gymnasium.Env:
    """The environment with its time limit; -v0 is told apart from -v2 without Gymnasium's advice to take the newer."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*is out of date.*")
        return gymnasium.make(env_id, **kwargs)


def zeros(env: gymnasium.Env) -> np.ndarray:
    return np.zeros(env.action_space.shape, np.float32)


@pytest.fixture(scope="module")
def kitchen():
    return KitchenEnv()


@pytest.fixture
def ant():
    """The ant in umaze."""
    with contextlib.closing(AntMazeEnv("umaze")) as env:
        yield env


def test_the_ids_are_these():
    ours = {env_id for env_id in gymnasium.registry if env_id.startswith("rvdt/") and "minari" not in env_id}
    ours = {env_id for env_id in ours if family_of(env_id) in SIZES}
    assert ours == set(HORIZONS)
    assert len(ours) == 16


@pytest.mark.parametrize("env_id", HORIZONS)
def test_spaces_horizons_and_mazes(env_id):
    env = make(env_id)
    observation_size, action_size = SIZES[family_of(env_id)]
    assert env.spec.max_episode_steps == HORIZONS[env_id]
    assert env.observation_space == gymnasium.spaces.Box(-np.inf, np.inf, (observation_size,), np.float32)
    assert env.action_space == gymnasium.spaces.Box(-1, 1, (action_size,), np.float32)
    observation, info = env.reset(seed=0)
    assert (observation.shape, observation.dtype) == ((observation_size,), np.float32)
    if family_of(env_id) == "antmaze":
        x, y = goal = GOALS[env_id.split("-")[1]]
        assert ROWS[env_id.split("-")[1]].split()[1 + y // 4][1 + x // 4] == "G"
        assert ((info["goal"] >= goal) & (info["goal"] <= np.add(goal, 1.5))).all()
    env.close()


@pytest.mark.parametrize("env_id", ONE_OF_EACH)
def test_the_same_seed_gives_the_same_episodes_and_another_seed_others(env_id):
    def episodes(seed: int) -> np.ndarray:
        """Two episodes, of which the second is not seeded, from an environment that has been used before."""
        env, rng, seen = make(env_id), np.random.default_rng(0), []
        env.reset()
        env.step(zeros(env))
        for reset_seed in (seed, None):
            seen.append([*env.reset(seed=reset_seed)[0], 0.0])
            for _ in range(5):
                observation, reward, *_ = env.step(rng.uniform(-1, 1, env.action_space.shape).astype(np.float32))
                seen.append([*observation, reward])
        env.close()
        return np.array(seen)

    first = episodes(3)
    np.testing.assert_array_equal(first, episodes(3))
    assert (first[:6] != first[6:]).any()
    assert (first[:6] != episodes(4)[:6]).any()


def test_without_gymnasium_robotics_each_id_names_the_remedy(monkeypatch):
    for module in [name for name in sys.modules if name.split(".")[0] == "gymnasium_robotics"]:
        monkeypatch.setitem(sys.modules, module, None)
    for env_id in ONE_OF_EACH:
        with pytest.raises(gymnasium.error.DependencyNotInstalled, match=r"pip install 'rvdt-jax\[envs\]'$"):
            make(env_id)


def place(env: AntMazeEnv, x: float, y: float, z: float = 0.75) -> None:
    """Puts the ant, at rest and upright, at (x, y) of its observations."""
    qpos = env.simulator.model.qpos0.copy()
    qpos[:3] = np.append(origin_of(env), 0.0) + np.array([x, y, z])
    env.simulator.ant_env.set_state(qpos, np.zeros(14))


def origin_of(env: AntMazeEnv) -> np.ndarray:
    """Where the simulator has (0, 0) of the observations: in the middle of a cell, which float32 just blurs."""
    observation, _ = env.reset(seed=0)
    return np.round(env.simulator.data.qpos[:2] - observation[:2], 5)


@pytest.mark.parametrize("maze", ROWS)
def test_walls_stand_where_the_map_has_them_with_y_growing_by_the_row(maze):
    env, rows = AntMazeEnv(maze), ROWS[maze].split()
    model, origin = env.simulator.model, origin_of(env)
    blocks = [geom for geom in range(model.ngeom) if model.geom(geom).name.startswith("block")]
    found = sorted(tuple((model.geom_pos[geom, :2] - origin).tolist()) for geom in blocks)
    # Every map has R, where the ant starts, in row and column 1.
    walls = [(4 * (j - 1), 4 * (i - 1)) for i, row in enumerate(rows) for j, cell in enumerate(row) if cell == "1"]
    assert found == sorted(walls)
    np.testing.assert_array_equal(np.unique(model.geom_size[blocks], axis=0), [[2, 2, 1]])
    env.close()


def test_starts_lie_around_the_origin_as_d4rl_draws_them():
    with contextlib.closing(AntMazeEnv("large")) as env:
        env.reset(seed=0)
        starts = np.array([env.reset()[0] for _ in range(400)], np.float64)
    uniform = np.delete(starts[:, :15] - 0.75 * np.eye(15)[2], [3, 4, 5, 6], axis=1)  # x, y, z and the joints: +- .1
    assert np.abs(uniform).max() <= 0.1 + 1e-6
    np.testing.assert_allclose(uniform.std(0), 0.1 / math.sqrt(3), rtol=0.12)
    np.testing.assert_allclose(uniform.mean(0), 0.0, atol=0.015)
    # (1, 0, 0, 0) +- .1 on each entry, then of length 1.
    np.testing.assert_allclose(np.linalg.norm(starts[:, 3:7], axis=1), 1.0, rtol=1e-6)
    assert 0.09 < np.abs(starts[:, 4:7] / starts[:, 3:4]).max() <= 0.1 / 0.9 + 1e-6
    np.testing.assert_allclose(starts[:, 15:].std(0), 0.1, rtol=0.15)
    np.testing.assert_allclose(starts[:, 15:].mean(0), 0.0, atol=0.025)


def test_goals_spread_as_d4rls():
    """U(0, 1) + U(0, .5) beyond the goal cell's centre, at every reset: mean .75, variance (1 + .25) / 12."""
    with contextlib.closing(AntMazeEnv("medium")) as env:
        env.reset(seed=0)
        spread = np.array([env.reset()[1]["goal"] for _ in range(500)]) - np.array(GOALS["medium"])
    assert spread.min() >= 0.0
    assert 1.3 < spread.max() <= 1.5
    np.testing.assert_allclose(spread.mean(0), 0.75, atol=0.06)
    np.testing.assert_allclose(spread.std(0), math.sqrt(1.25 / 12), rtol=0.1)
    assert np.corrcoef(spread.T)[0, 1] == pytest.approx(0.0, abs=0.15)


def test_within_half_a_metre_of_the_goal_the_episode_ends_with_a_reward_of_one():
    env, seen = AntMazeEnv("medium"), []
    for start in np.linspace(0.45, 0.55, 42):
        goal = env.reset(seed=0)[1]["goal"]
        place(env, goal[0] - start, goal[1])
        observation, reward, terminated, truncated, info = env.step(zeros(env))
        distance = math.dist(observation[:2].astype(np.float64), goal)
        arrived = distance < 0.5
        assert (reward, terminated, truncated, info["success"]) == (float(arrived), arrived, False, arrived)
        np.testing.assert_array_equal(info["goal"], goal)
        seen.append(distance - 0.5)
    assert max(gap for gap in seen if gap < 0) > -0.004  # both sides were looked at closely
    assert min(gap for gap in seen if gap > 0) < 0.004
    env.close()


def test_a_fallen_ant_goes_on(ant):
    place(ant, 0, 0, z=0.3)
    ant.simulator.data.qpos[3:7] = [0, 1, 0, 0]  # on its back
    for _ in range(20):
        observation, reward, terminated, *_ = ant.step(zeros(ant))
        assert (reward, terminated) == (0.0, False)
    assert abs(observation[4]) > 0.9
    place(ant, 0, 0, z=3.0)  # beyond the heights at which Gymnasium's ant is "healthy"
    assert ant.step(zeros(ant))[2] is False


def test_the_compiled_model_is_d4rls(ant):
    ant.reset(seed=0)
    model = ant.simulator.model
    assert (model.opt.timestep, model.opt.integrator) == (0.02, mujoco.mjtIntegrator.mjINT_RK4)
    assert ant.simulator.ant_env.frame_skip == 5
    for values, each in ((model.geom_solimp[:, :3], [0.8, 0.8, 0.01]), (model.geom_solref, [0.02, 1])):
        np.testing.assert_array_equal(values, np.tile(each, (model.ngeom, 1)))
    np.testing.assert_array_equal(model.geom_friction, np.tile([1, 0.5, 0.5], (model.ngeom, 1)))
    np.testing.assert_array_equal([model.dof_armature, model.dof_damping], [[0] * 6 + [1] * 8] * 2)
    assert 1 / ant.simulator.ant_env.dt == pytest.approx(ant.metadata["render_fps"])
    joints = [model.joint(model.actuator_trnid[i, 0]).name for i in range(8)]
    assert joints == [f"{part}_{leg}" for leg in (4, 1, 2, 3) for part in ("hip", "ankle")]


@pytest.mark.parametrize(("gap", "touches"), [(0.009, True), (0.011, False)])
def test_contacts_begin_at_the_margin_of_d4rls_model_file(ant, gap, touches):
    """A margin of .01 counts, whatever this MuJoCo makes of the margins of two geoms; the torso's radius is .25."""
    place(ant, 0, 0, z=0.25 + gap)
    contact = ant.simulator.data.contact
    assert len(contact.dist) == touches
    if touches:
        assert contact.includemargin == [0.01]
        np.testing.assert_array_equal(contact.solimp[:, :3], [[0.8, 0.8, 0.01]])


def test_actions_are_torques_in_units_of_thirty_and_are_clipped(ant):
    ant.reset(seed=0)
    for action, torque in ((1.0, 30.0), (-0.5, -15.0), (3.0, 30.0)):
        ant.step(np.full(8, action, np.float32))
        np.testing.assert_allclose(ant.simulator.data.qfrc_actuator, [0] * 6 + [torque] * 8, atol=1e-12)


def test_no_file_is_left_behind(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with contextlib.closing(AntMazeEnv("umaze")) as env:
        assert os.path.dirname(env.simulator.tmp_xml_file_path) == str(tmp_path)  # it did write one
        env.reset(seed=0)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("lift", "turn", "bonus"),  # it starts .25 high, at the target; cos .2 = .98, cos .38 = .93, cos .6 = .83
    [(0.06, 0.2, 60), (0.06, 0.38, 10), (0.06, 0.6, 0), (0.09, 0.2, 0), (-0.17, 0.2, 0), (-0.18, 0.2, -5)],
)
def test_pen_rewards_and_ends(lift, turn, bonus):
    """The pen is lifted from its start and turned, with the target as it was; no weight pulls it from there."""
    env = PenEnv()
    env.reset(seed=0)
    state = env.simulator.get_env_state()
    state["qpos"][-6], state["qpos"][-2] = -lift, turn  # the pen's own x points down
    state["desired_orien"] = env.simulator.model.body("Object").quat.copy()
    env.simulator.set_env_state(state)
    env.simulator.model.opt.gravity[:] = 0
    observation, reward, terminated, truncated, info = env.step(zeros(env))
    assert reward == pytest.approx(math.cos(turn) - abs(lift) + bonus, abs=0.02)
    assert observation[26] == pytest.approx(0.25 + lift, abs=0.002)
    assert (terminated, truncated, info["success"]) == (bonus == -5, False, bonus == 60)
    env.close()


def test_the_pens_steps_are_gymnasium_robotics():
    env, theirs = PenEnv(), gymnasium.make("AdroitHandPen-v1")
    rng = np.random.default_rng(0)
    np.testing.assert_allclose(env.reset(seed=7)[0], theirs.reset(seed=7)[0], rtol=1e-6)
    for _ in range(20):
        action = rng.uniform(-1, 1, 24).astype(np.float32)
        ours, (observation, reward, *_, info) = env.step(action), theirs.step(action)
        np.testing.assert_allclose(ours[0], observation, rtol=1e-5, atol=1e-6)
        assert ours[1] == pytest.approx(reward, abs=1e-9)
        assert ours[4]["success"] == info["success"]
    env.close()


@pytest.mark.parametrize(
    ("nail", "lift", "bonus", "success"),
    # The nail's site is .091 above its goal: driven in by .075 it is .016 away, by .085 .006.
    [(0.0, 0.0, 0, False), (0.0, 0.2, 2, False), (0.075, 0.0, 25, False), (0.085, 0.2, 102, True)],
)
def test_hammer_rewards(nail, lift, bonus, success):
    env = HammerEnv()
    env.reset(seed=0)
    state = env.simulator.get_env_state()
    state["qpos"][26], state["qpos"][-5] = nail, lift  # the hammer's own y points up
    env.simulator.set_env_state({"qpos": state["qpos"], "qvel": np.zeros(33), "board_pos": state["board_pos"]})
    env.simulator.model.opt.gravity[:] = 0
    _, reward, terminated, truncated, info = env.step(zeros(env))
    data = env.simulator.data
    places = [data.site(name).xpos for name in ("S_grasp", "tool", "S_target", "nail_goal")]
    hammer, (palm, head, target, goal) = data.body("Object").xpos, places
    depth = np.linalg.norm(target - goal)
    penalty = 0.1 * np.linalg.norm(palm - hammer) + np.linalg.norm(head - target) + 10 * depth
    assert reward == pytest.approx(bonus - penalty - 0.01 * np.linalg.norm(data.qvel), abs=1e-9)
    assert (min(hammer[2], head[2]) > 0.04) == (lift > 0)
    assert depth == pytest.approx(0.091 - nail, abs=0.003)
    assert (terminated, truncated, info["success"]) == (False, False, success)
    env.close()


def complete(env: KitchenEnv, *tasks) -> None:
    """Puts the objects of some tasks at their goals, all else as it is."""
    qpos = env.simulator.data.qpos.copy()
    for first, goal in tasks:
        qpos[first : first + len(goal)] = goal
    env.simulator.robot_env.set_state(qpos, np.zeros(29))


def test_the_blocks_of_a_kitchen_observation(kitchen):
    observation, _ = kitchen.reset(seed=0)
    for _ in range(3):
        qpos = kitchen.simulator.data.qpos
        # .01 * .1 on the robot's joints and at most .0005 * .1 on the objects.
        np.testing.assert_allclose(observation[:9], qpos[:9], atol=0.00101)
        assert np.abs(observation[:9] - qpos[:9]).max() > 1e-5
        np.testing.assert_allclose(observation[9:30], qpos[9:], atol=0.000051)
        observation, *_ = kitchen.step(np.full(9, 0.5, np.float32))
    expected = np.zeros(30, np.float32)
    for first, goal in (MICROWAVE, LIGHT, SLIDE, KETTLE):
        expected[first : first + len(goal)] = goal
    np.testing.assert_array_equal(observation[30:], expected)


def test_a_completed_task_counts_once(kitchen):
    for seed in range(2):  # and a new episode counts anew
        kitchen.reset(seed=seed)
        assert kitchen.step(zeros(kitchen))[1] == 0.0
        complete(kitchen, MICROWAVE)
        _, *result, info = kitchen.step(zeros(kitchen))
        assert result == [1.0, False, False]
        assert info == {
            "tasks_to_complete": ["kettle", "light switch", "slide cabinet"],
            "step_task_completions": ["microwave"],
            "episode_task_completions": ["microwave"],
        }
        _, reward, terminated, _, info = kitchen.step(zeros(kitchen))
        assert (reward, terminated) == (0.0, False)
        assert (info["step_task_completions"], info["episode_task_completions"]) == ([], ["microwave"])


def test_the_kitchen_ends_when_all_four_tasks_are_done(kitchen):
    kitchen.reset(seed=0)
    complete(kitchen, LIGHT, SLIDE)
    _, *result, earlier = kitchen.step(zeros(kitchen))
    assert result == [2.0, False, False]
    assert earlier["step_task_completions"] == ["light switch", "slide cabinet"]
    complete(kitchen, KETTLE, MICROWAVE)
    _, reward, terminated, _, info = kitchen.step(zeros(kitchen))
    assert earlier["episode_task_completions"] == ["light switch", "slide cabinet"]  # what was handed out stays
    assert (reward, terminated, info["tasks_to_complete"]) == (2.0, True, [])
    assert info["episode_task_completions"] == ["light switch", "slide cabinet", "microwave", "kettle"]
