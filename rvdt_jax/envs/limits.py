"""The largest mean return that any policy can have in a sparse maze2d task: what its physics leave room for.

The speed along an axis is clipped at 5 before every step, so a step moves the ball by little more than .05 along each
axis. Let d be a place's distance from the goal along the shortest way around the walls, each piece of it measured by
the larger of its parts along the two axes (Chebyshev's metric). Then at least as many steps pass as full force along a
straight line needs for d, and no policy is paid before. Turning takes time too, which is ignored: the limit is not
quite reached.
"""

from __future__ import annotations

import heapq
import itertools

import numpy as np

from rvdt_jax.envs.maze2d import BALL_RADIUS, GOAL_RADIUS, ORIGIN, START_NOISE, Ball, Maze, make_model

_SPACING = 0.02  # of the grid on which ways are measured, in cells
_STARTING_SPEED = 0.3  # three standard deviations of an episode's first velocity


def largest_return(maze: Maze) -> float:
    """No policy's mean return over the maze's starts, with the reward 1 within the goal, is above this."""
    distances = distances_to_goal(maze)
    # A way between the grid's points is shorter by less than two spacings.
    steps = np.searchsorted(reach(), np.maximum(distances - 2 * _SPACING, 0.0)) + 1
    returns = np.clip(maze.horizon - steps + 1, 0, None)
    offsets = np.arange(-START_NOISE, START_NOISE + _SPACING / 2, _SPACING)
    starts = [
        returns[_index(row + dx), _index(column + dy)]
        for row, column in maze.free_cells
        for dx, dy in itertools.product(offsets, offsets)
    ]
    return float(np.mean(starts))


def reach(steps: int = 1000) -> np.ndarray:
    """(steps,) how far from its place along one axis the ball can be after 1, 2, ... steps."""
    model = make_model(Maze(("###", "#G#", "###"), 1))
    model.geom_contype[:], model.geom_conaffinity[:] = 0, 0  # nothing is in the way
    ball = Ball(model)
    ball.velocity[0] = _STARTING_SPEED
    positions = []
    for _ in range(steps):
        ball.push(1.0, 0.0)
        positions.append(ball.position[0])
    return np.array(positions)


def distances_to_goal(maze: Maze) -> np.ndarray:
    """Chebyshev length of the shortest way to the goal from every point of a grid; infinite within walls."""
    free = _free_points(maze)
    coordinates = [np.arange(size) * _SPACING - ORIGIN for size in free.shape]
    offsets = [axis - centre for axis, centre in zip(coordinates, maze.goal, strict=True)]
    in_goal = free & (np.hypot(offsets[0][:, None], offsets[1][None]) <= GOAL_RADIUS)
    distances = np.where(in_goal, 0.0, np.inf)
    queue = [(0, int(i), int(j)) for i, j in np.argwhere(in_goal)]
    moves = [move for move in itertools.product((-1, 0, 1), repeat=2) if any(move)]
    while queue:
        length, i, j = heapq.heappop(queue)
        if length * _SPACING > distances[i, j] + 1e-9:
            continue
        for di, dj in moves:
            place, further = (i + di, j + dj), (length + 1) * _SPACING
            if free[place] and further < distances[place] - 1e-9:
                distances[place] = further
                heapq.heappush(queue, (length + 1, *place))
    return distances


def _free_points(maze: Maze) -> np.ndarray:
    """Where the ball's centre can be, on a grid from the maze's edge; walls are a spacing thinner, to be on the safe
    side."""
    per_cell = round(1 / _SPACING)
    wall = np.array([[cell == "#" for cell in row] for row in maze.rows]).repeat(per_cell, 0).repeat(per_cell, 1)
    margin = int(BALL_RADIUS / _SPACING) - 1
    blocked = wall.copy()
    for di, dj in itertools.product((-margin, margin), repeat=2):
        blocked |= np.roll(wall, (di, dj), (0, 1))
    return ~blocked


def _index(coordinate: float) -> int:
    """The grid's index of a coordinate of the ball."""
    return round((coordinate + ORIGIN) / _SPACING)
