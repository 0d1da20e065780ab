"""Prints the largest score that any policy can have on the sparse maze2d tasks, beside the published ones.

    python experiments/limits.py

A published score above it is of few episodes, whose starts happened to lie near the goal: for example the maximum
over many evaluations.

The limit follows from the physics. The speed along an axis is clipped at 5 before every step, so that a step moves the
ball by little more than .05 along each axis. Let d be a place's distance from the goal along the shortest way around
the walls, in Chebyshev's metric (the larger of the parts along the two axes). No policy arrives in fewer steps than
full force along a straight line needs for d. Turning takes time too, which is ignored: the limit is not quite reached.
"""

import itertools

import numpy as np
from absl import app
from scipy.ndimage import binary_dilation

from launcher import parse_flags, report_errors
from rvdt_jax.envs.maze2d import BALL_RADIUS, GOAL_RADIUS, MAZES, ORIGIN, START_NOISE, Ball, Maze, make_model

_SPACING = 0.02  # of the grid on which ways are measured, in cells
_STARTING_SPEED = 0.3  # three standard deviations of an episode's first velocity


def main(argv: list[str]) -> int:
    """Computes and prints."""
    from rvdt_jax.report.published import cells_of
    from rvdt_jax.tasks import get_task

    published = {(cell.d4rl_task, cell.method): cell for cell in cells_of("maze2d-reward")}
    print(f"{'task':<18} {'largest return':>15} {'largest score':>14} {'QT, published':>14} {'RVDT, published':>16}")
    for name, maze in MAZES.items():
        task = get_task(f"maze2d-{name}-v{0 if name == 'open' else 1}")
        limit = largest_return(maze)
        scores = [published.get((task.name, method)) for method in ("QT", "RVDT")]
        shown = ["-" if cell is None else f"{cell.mean:.1f}" for cell in scores]
        print(f"{task.name:<18} {limit:>15.1f} {task.normalized_score(limit):>14.1f} {shown[0]:>14} {shown[1]:>16}")
    return 0


def largest_return(maze: Maze) -> float:
    """An upper bound of the mean return over the maze's starts, with the reward 1 within the goal."""
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
    """(steps,) the largest distance along one axis that the ball can cover in 1, 2, ... steps."""
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
    distances, reached = np.where(in_goal, 0.0, np.inf), in_goal
    for length in itertools.count(1):
        wider = binary_dilation(reached, np.ones((3, 3)), mask=free)
        if (wider == reached).all():
            return distances
        distances[wider & ~reached] = length * _SPACING
        reached = wider


def _free_points(maze: Maze) -> np.ndarray:
    """Where the ball's centre can be, on a grid from the maze's edge. Walls are a spacing thinner, for a safe bound."""
    per_cell = round(1 / _SPACING)
    wall = np.array([[cell == "#" for cell in row] for row in maze.rows]).repeat(per_cell, 0).repeat(per_cell, 1)
    margin = int(BALL_RADIUS / _SPACING) - 1
    return ~binary_dilation(wall, np.ones((2 * margin + 1, 2 * margin + 1)))


def _index(coordinate: float) -> int:
    """The grid's index of a coordinate of the ball."""
    return round((coordinate + ORIGIN) / _SPACING)


if __name__ == "__main__":
    app.run(report_errors(main), flags_parser=parse_flags)
