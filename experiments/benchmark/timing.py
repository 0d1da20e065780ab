"""Timing contestants in turns, so that whatever else the machine does meets them all."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable


def take_turns(contestants: dict[str, Callable[[], None]], repeats: int) -> dict[str, list[float]]:
    """Seconds of a call in every turn, by contestant: A, B, C, A, B, C, ...

    A turn is two calls, and the second is timed: the first warms up, after whatever the others left in
    caches and memory.

    Args:
        contestants: what is timed; each returns when its work is done.
        repeats: turns of each.
    """
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(repeats):
        for name, call in contestants.items():
            call()
            begun = time.perf_counter()
            call()
            seconds[name].append(time.perf_counter() - begun)
    return seconds


def summarise(values: list[float], digits: int = 4) -> dict:
    """Median, smallest, largest and all of them, to so many significant digits."""
    rounded = [float(f"{value:.{digits}g}") for value in values]
    median = float(f"{statistics.median(values):.{digits}g}")
    return {"median": median, "min": min(rounded), "max": max(rounded), "all": rounded}


def ratios(ours: list[float], theirs: list[float]) -> dict:
    """How many times longer they take than we: one ratio per turn, and their median."""
    return summarise([other / own for own, other in zip(ours, theirs, strict=True)])
