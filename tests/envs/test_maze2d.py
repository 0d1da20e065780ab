"""The maze2d environments: registration, starts, rewards, the physics of one step, walls and the picture."""

import math
import subprocess
import sys
import warnings

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from rvdt_jax.envs.maze2d import MAZES, Ball, Maze2dEnv, make_model, rewards

HORIZONS = {"open": 150, "umaze": 300, "medium": 600, "large": 800}
GOALS = {"open": (2, 3), "umaze": (1, 1), "medium": (6, 6), "large": (7, 9)}
ENV_IDS = [
    f"rvdt/maze2d-{name}{reward}-v{0 if name == 'open' else 1}" for reward in ("", "-dense") for name in HORIZONS
]
BALL, GOAL, WALL = (213, 94, 0), (190, 225, 205), (70, 70, 80)

# Density 1000, radius .1. MuJoCo's Euler step treats the damping of 1 implicitly:
# (mass + .01) * (change of velocity) = .01 * (100 * force - velocity), then position += .01 * velocity.
MASS = 1000 * 4 / 3 * math.pi * 0.1**3


def maze_of(env_id: str) -> str:
    return env_id.split("-")[1]


def make_ball(velocity=(0.0, 0.0)) -> Ball:
    ball = Ball(make_model(MAZES["open"]))
    ball.position[:], ball.velocity[:] = (2.0, 3.0), velocity
    return ball


def is_colour(image: np.ndarray, colour) -> np.ndarray:
    return (image == np.uint8(colour)).all(-1)


@pytest.mark.parametrize(
    ("line", "prefix"),
    [("import rvdt_jax.envs", ""), ("", "rvdt_jax.envs:")],
    ids=["by import", "by naming the module"],
)
def test_a_fresh_interpreter_makes_every_id(line, prefix, tmp_path):
    make = f"for name in {ENV_IDS}:\n    gymnasium.make({prefix!r} + name).reset()\n    print(name)"
    script = f"import gymnasium\n{line}\n{make}"
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.stdout.split() == ENV_IDS, done.stderr


@pytest.mark.parametrize("env_id", ENV_IDS)
def test_gymnasiums_checker_is_content(env_id):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", message=".*value is (-)?infinity.*")  # velocities have no bound
        check_env(gymnasium.make(env_id).unwrapped)


def test_an_unknown_name_is_a_value_error_that_lists_the_known_ones():
    for name in ("maze2d-huge-v1", "maze2d-umaze-v0", ""):
        with pytest.raises(ValueError, match=r"there is no maze2d environment .*maze2d-large-dense-v1"):
            Maze2dEnv(name)


@pytest.mark.parametrize("maze_name", MAZES)  # their walls: test_reference_returns
def test_the_goal_is_the_last_of_the_free_cells(maze_name):
    cells = MAZES[maze_name].free_cells
    assert MAZES[maze_name].horizon == HORIZONS[maze_name]
    assert cells[-1] == MAZES[maze_name].goal == GOALS[maze_name]
    assert cells[:-1] == sorted(cells[:-1])
    assert len(set(cells)) == len(cells) == sum(row.count("O") + row.count("G") for row in MAZES[maze_name].rows)


@pytest.mark.parametrize("maze_name", MAZES)
def test_starts_are_spread_over_every_free_cell(maze_name):
    env = Maze2dEnv(f"maze2d-{maze_name}-v{0 if maze_name == 'open' else 1}")
    cells = MAZES[maze_name].free_cells
    env.reset(seed=0)
    starts = np.array([env.reset()[0] for _ in range(50 * len(cells))])
    start_cells, velocities = np.rint(starts[:, :2]), starts[:, 2:]
    counts = np.array([(start_cells == cell).all(1).sum() for cell in cells])
    assert counts.sum() == len(starts)
    assert np.abs(counts - 50).max() < 5 * math.sqrt(50)  # each count is binomial: five deviations
    offsets = starts[:, :2] - start_cells
    assert np.abs(offsets).max() <= 0.1 + 1e-6
    assert offsets.std() == pytest.approx(0.1 / math.sqrt(3), rel=0.1)  # uniform on +-.1
    assert (velocities.mean(), velocities.std()) == (pytest.approx(0.0, abs=0.02), pytest.approx(0.1, rel=0.15))


def test_the_sparse_reward_is_one_within_half_a_cell_and_the_dense_one_falls_with_the_distance():
    positions = np.array([[1.0, 1.0], [1.5, 1.0], [1.0, 0.5], [1.501, 1.0], [1.4, 1.4], [3.0, 3.0]])
    np.testing.assert_array_equal(rewards(positions, (1, 1), dense=False), [1.0, 1.0, 1.0, 0.0, 0.0, 0.0])
    positions = np.array([[1.0, 1.0], [1.5, 1.0], [1.0, 3.0], [4.0, 5.0]])
    np.testing.assert_allclose(rewards(positions, (1, 1), dense=True), np.exp([0, -0.5, -2, -5]), rtol=1e-12)


@pytest.mark.parametrize("env_id", [env_id for env_id in ENV_IDS if "dense" not in env_id])
def test_a_step_pays_one_where_the_new_position_is_near_the_goal_and_the_episode_goes_on(env_id):
    env, goal, rng = gymnasium.make(env_id), GOALS[maze_of(env_id)], np.random.default_rng(0)
    paid = []
    for seed in range(150):
        env.reset(seed=seed)
        for _ in range(10):
            observation, reward, terminated, _, info = env.step(rng.uniform(-1, 1, 2).astype(np.float32))
            assert not terminated
            assert reward == float(math.dist(observation[:2], goal) <= 0.5)
            assert info["success"] == (reward == 1.0)
            np.testing.assert_array_equal(info["goal"], goal)
            paid.append(reward)
    assert set(paid) == {0.0, 1.0}


# From rest, and where a speed above 5 is clipped before the step.
@pytest.mark.parametrize(
    ("before", "force", "after"),
    [((0, 0), (1.0, -0.5), np.array([1.0, -0.5])), ((8.0, -9.0), (0.0, 0.0), np.array([5.0, -5.0]) * MASS)],
)
def test_one_step_agrees_with_the_hand_computed_one(before, force, after):
    ball = make_ball(velocity=before)
    ball.push(*force)
    velocity = after / (MASS + 0.01)
    np.testing.assert_allclose(ball.velocity, velocity, rtol=1e-9)
    np.testing.assert_allclose(ball.position, [2.0, 3.0] + 0.01 * velocity, rtol=1e-9)


@pytest.mark.parametrize(
    ("force", "corner"), [((-1, -1), (0.4, 0.4)), ((1, 1), (3.2, 5.2)), ((-1, 1), (0.4, 5.2)), ((1, -1), (3.2, 0.4))]
)
def test_the_walls_of_the_open_maze_stand_where_they_should(force, corner):
    # The inner faces lie at .3 and 3.3 along the rows, .3 and 5.3 along the columns; the ball's radius is .1.
    ball = make_ball()
    for _ in range(600):
        ball.push(*force)
    np.testing.assert_allclose(ball.position, corner, atol=0.01)


@pytest.mark.parametrize("env_id", ENV_IDS[1:3])
def test_the_goal_and_the_ball_are_drawn_where_they_are(env_id):
    env = gymnasium.make(env_id, render_mode="rgb_array")
    env.reset(seed=0)
    for _ in range(60):
        observation, *_ = env.step(np.array([1.0, 1.0], np.float32))
    image, goal = env.render(), GOALS[maze_of(env_id)]
    pixels = image.shape[0] // len(MAZES[maze_of(env_id)].rows)
    rows, columns = np.indices(image.shape[:2]) / pixels - 0.7
    distance = np.hypot(rows - goal[0], columns - goal[1])
    assert is_colour(image, GOAL)[distance < 0.45].mean() > 0.9  # the ball may cover a little of it
    assert not is_colour(image, GOAL)[distance > 0.55].any()
    centre = np.argwhere(is_colour(image, BALL)).mean(0) / pixels - 0.7
    np.testing.assert_allclose(centre, observation[:2], atol=0.03)
