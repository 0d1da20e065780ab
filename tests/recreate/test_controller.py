"""The waypoint controller: shortest paths, the waypoints along them, arrival, and when it plans anew."""

import numpy as np
import pytest

from rvdt_jax.envs.maze2d import MAZES
from rvdt_jax.recreate.controller import WaypointController, shortest_path

REST = (0.0, 0.0)


class Halves:
    """A source of randomness that always draws the middle: waypoints lie .1 below their cell along both axes."""

    draws = 0

    def uniform(self, size=None):
        self.draws += 1
        return 0.5 if size is None else np.full(size, 0.5)


@pytest.fixture
def controller():
    return WaypointController(MAZES["umaze"], Halves())


def distances(maze, source) -> dict:
    """Moves from every free cell to ``source``, by breadth-first search."""
    found, queue = {source: 0}, [source]
    for row, column in queue:
        for cell in ((row + 1, column), (row - 1, column), (row, column + 1), (row, column - 1)):
            if cell in maze.free_cells and cell not in found:
                found[cell] = found[row, column] + 1
                queue.append(cell)
    return found


def aim(controller, position, target) -> tuple[float, float]:
    """The point that the controller drives to, read off its forces where the velocity keeps them small."""
    found = [None, None]
    for guess in np.arange(0.0, 12.0, 0.15):
        velocity = tuple((10 * (guess - np.array(position))).tolist())
        for axis, force in enumerate(controller.act(position, velocity, target)[:2]):
            if abs(force) < 1:
                found[axis] = guess + force / 10
    return tuple(found)


@pytest.mark.parametrize("maze_name", MAZES)
def test_paths_are_as_short_as_a_breadth_first_search_finds_them(maze_name):
    maze = MAZES[maze_name]
    for target in [*maze.free_cells[:: 1 if len(maze.free_cells) < 20 else 16], maze.goal]:
        expected = distances(maze, target)
        for start in maze.free_cells:
            path = shortest_path(tuple(maze.free_cells), start, target)
            assert len(path) == max(expected[start], 1), (start, target)
            assert path[-1] == target
            steps = [abs(a[0] - b[0]) + abs(a[1] - b[1]) for a, b in zip((start, *path), path, strict=False)]
            assert steps == ([0] if start == target else [1] * len(path))
            assert set(path) <= set(maze.free_cells)


# The order is stay, -y, +y, -x, +x; the column is y.
@pytest.mark.parametrize(
    "path", [((1, 1), (1, 2), (2, 2)), ((2, 2), (2, 1), (1, 1)), ((1, 3), (1, 2), (1, 1), (2, 1), (3, 1))]
)
def test_of_equal_paths_the_first_action_wins(path):
    assert shortest_path(tuple(MAZES["open"].free_cells), path[0], path[-1]) == path[1:]


def test_the_force_is_ten_times_the_way_less_the_velocity(controller):
    # From (1, 1) to (1, 3): the first waypoint is (1, 2) - .1.
    *force, arrived = controller.act((0.95, 1.1), (0.2, 7.5), (1.0, 3.0))
    assert force == pytest.approx([10 * (0.9 - 0.95) - 0.2, 10 * (1.9 - 1.1) - 7.5])
    assert not arrived


def test_a_waypoint_is_passed_when_near_and_slow(controller):
    first, second = (2.9, 1.9), (2.9, 2.9)
    controller.act((3.0, 1.0), REST, (1.0, 1.0))
    # Slow, but .11 away; near, but it moved by .8 since; near, and it moved by .01.
    for before, now, waypoint in ((1.79, 1.79, first), (1.0, 1.82, first), (1.81, 1.82, second)):
        controller.act((2.9, before), REST, (1.0, 1.0))
        controller.act((2.9, now), REST, (1.0, 1.0))
        assert aim(controller, (3.0, 1.0), (1.0, 1.0)) == pytest.approx(waypoint)


@pytest.mark.parametrize(
    ("before", "position", "target", "arrived"),
    [
        ((1.0, 1.0), (1.05, 1.05), (1.0, 1.0), True),
        ((1.0, 1.0), (1.0, 1.0), (1.09, 1.09), True),  # near the target's cell, not the target
        ((1.09, 1.09), (1.09, 1.09), (1.09, 1.09), False),  # .127 away
        ((1.0, 1.15), (1.0, 1.04), (1.0, 1.0), False),  # near, but it moved by .11
    ],
)
def test_the_ball_has_arrived_when_near_its_targets_cell_and_slow(controller, before, position, target, arrived):
    controller.act(before, REST, target)
    assert controller.act(position, REST, target)[2] is arrived


def test_it_plans_anew_from_where_the_ball_is_only_when_the_targets_cell_changes(controller):
    controller.act((3.0, 1.0), REST, (1.0, 1.0))
    for position, target in (((1.0, 3.0), (1.0, 1.0)), ((2.0, 3.0), (1.1, 0.9)), ((3.0, 3.0), (0.6, 1.4))):
        assert aim(controller, position, target) == pytest.approx((2.9, 1.9))  # still the first plan's first waypoint
    # One for each of 6 cells and of 6 waypoints but the last: number and order fix every recreated data set.
    assert controller._rng.draws == 6 + 5
    assert aim(controller, (1.1, 2.9), (3.0, 3.0)) == pytest.approx((1.9, 2.9))
    assert aim(controller, (1.1, 2.9), (1.0, 2.0)) == pytest.approx((1.0, 2.0))
