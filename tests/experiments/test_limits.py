"""The limits against ways that can be measured by hand, and against a ball that is driven as hard as it goes."""

import numpy as np
import pytest
from limits import distances_to_goal, largest_return, reach

from rvdt_jax.envs.maze2d import GOAL_RADIUS, MAZES, ORIGIN, Ball, Maze, make_model
from rvdt_jax.tasks import get_task

CORRIDOR = Maze(("########", "#GOOOOO#", "########"), 200)


def at(distances, row, column):
    return distances[round((row + ORIGIN) / 0.02), round((column + ORIGIN) / 0.02)]


def test_a_straight_way_is_as_long_as_it_looks():
    distances = distances_to_goal(CORRIDOR)
    assert at(distances, 1.0, 6.0) == pytest.approx(5.0 - GOAL_RADIUS, abs=0.03)
    assert at(distances, 1.0, 1.4) == 0.0
    assert np.isinf(at(distances, 0.0, 3.0))  # a wall


def test_a_diagonal_counts_once_and_a_wall_is_gone_around():
    room = Maze(("######", "#GOOO#", "#OOOO#", "#OOOO#", "#OOOO#", "######"), 200)
    assert at(distances_to_goal(room), 4.0, 4.0) == pytest.approx(3.0 - GOAL_RADIUS / np.sqrt(2), abs=0.05)
    bend = Maze(("#####", "#GOO#", "###O#", "#OOO#", "#####"), 200)
    assert at(distances_to_goal(bend), 3.0, 1.0) > 2.0 * at(distances_to_goal(room), 3.0, 1.0)


def test_a_ball_at_full_force_comes_close_to_the_limit_and_not_above_it():
    ball, far = Ball(make_model(CORRIDOR)), reach()
    ball.position[:], ball.velocity[:] = (1.0, 6.0), 0.0
    steps = 0
    while abs(ball.position[1] - 1.0) > GOAL_RADIUS:
        ball.push(0.0, -1.0)
        steps += 1
    least = int(np.searchsorted(far, 5.0 - GOAL_RADIUS)) + 1
    assert least <= steps <= least + 3


def test_no_start_is_paid_for_more_steps_than_an_episode_has():
    assert largest_return(Maze(("###", "#G#", "###"), 50)) == 50.0
    assert largest_return(Maze(CORRIDOR.rows, 1)) < 1.0


@pytest.mark.parametrize(("name", "replanned"), [("umaze", 144), ("medium", 156), ("large", 206)])
def test_the_limit_is_above_what_a_controller_that_replans_scores(name, replanned):
    assert get_task(f"maze2d-{name}-v1").normalized_score(largest_return(MAZES[name])) > replanned
