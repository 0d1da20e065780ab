"""D4RL's maze2d controller: the shortest path on the grid, and a PD law from one waypoint to the next.

In scalar Python: the collection calls it once a step, and NumPy's overhead on two numbers would dominate.
"""

from __future__ import annotations

import functools
import math

import numpy as np

from rvdt_jax.envs.maze2d import Maze

Cell = tuple[int, int]
_MOVES = ((0, 0), (0, -1), (0, 1), (-1, 0), (1, 0))  # stay, -y, +y, -x, +x: the order breaks ties
_SWEEPS, _DISCOUNT = 50, 0.99
_REACHED = 0.1  # distance at which a waypoint counts as reached, and the largest movement in the step before
_GAIN = 10.0
_JITTER = 0.2


@functools.cache
def shortest_path(free: tuple[Cell, ...], start: Cell, target: Cell) -> tuple[Cell, ...]:
    """The cells from ``start`` (left out) to ``target``, greedy in Q after 50 sweeps of Q-iteration on the free ones.

    The reward is 1 for every step begun on the target; of equal actions the first wins.
    """

    def move(cell: Cell, action: int) -> Cell:
        to = (cell[0] + _MOVES[action][0], cell[1] + _MOVES[action][1])
        return to if to in free else cell

    value = dict.fromkeys(free, 0.0)

    def q_values(cell: Cell) -> list[float]:
        return [(cell == target) + _DISCOUNT * value[move(cell, action)] for action in range(len(_MOVES))]

    for _ in range(_SWEEPS):
        value = {cell: max(q_values(cell)) for cell in free}
    path, cell = [], start
    for _ in range(len(free)):
        cell = move(cell, int(np.argmax(q_values(cell))))
        path.append(cell)
        if cell == target:
            break
    return tuple(path)


class WaypointController:
    """Drives the ball to a target. It plans again only when the target's cell changes.

    Args:
        maze: the maze.
        rng: draws the waypoints' offsets; anything with ``uniform(size=2)``, as NumPy's generators are.
    """

    def __init__(self, maze: Maze, rng):
        self._free, self._rng = tuple(maze.free_cells), rng
        self._target: Cell | None = None
        self._waypoints: list[tuple[float, float]] = []
        self._index = 0
        self._previous = (0.0, 0.0)

    def act(
        self, position: tuple[float, float], velocity: tuple[float, float], target: tuple[float, float]
    ) -> tuple[float, float, bool]:
        """Two forces in [-1, 1], and whether the ball has arrived: near the target's cell, and slow."""
        cell = (round(target[0]), round(target[1]))
        if cell != self._target:
            self._plan(self._cell_of(position), cell)
        moved = math.dist(self._previous, position)
        arrived = math.dist(position, cell) < _REACHED and moved < _REACHED
        aim = cell if arrived else self._waypoints[self._index]
        if not arrived and math.dist(position, aim) < _REACHED and moved < _REACHED:
            self._index = min(self._index + 1, len(self._waypoints) - 1)
        self._previous = position
        force_x = _GAIN * (aim[0] - position[0]) - velocity[0]
        force_y = _GAIN * (aim[1] - position[1]) - velocity[1]
        return clip(force_x), clip(force_y), arrived

    def _cell_of(self, position: tuple[float, float]) -> Cell:
        """The cell by rounding, as in the original; pressed against a wall the ball may be nearer to the wall's."""
        cell = (round(position[0]), round(position[1]))
        return cell if cell in self._free else min(self._free, key=lambda other: math.dist(other, position))

    def _plan(self, start: Cell, target: Cell) -> None:
        self._waypoints = []
        for cell in shortest_path(self._free, start, target):
            self._rng.uniform()  # the original draws the outcome of every move on the grid, with noise 0
            if cell == target:
                self._waypoints.append((float(cell[0]), float(cell[1])))
            else:
                offset = self._rng.uniform(size=2).tolist()
                self._waypoints.append((cell[0] - _JITTER * offset[0], cell[1] - _JITTER * offset[1]))
        self._target, self._index = target, 0
        self._previous = (float(start[0]), float(start[1]))


def clip(force: float) -> float:
    """Clips to [-1, 1]."""
    return max(-1.0, min(1.0, force))
