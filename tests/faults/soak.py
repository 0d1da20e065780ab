"""Tries every fault and prints what was survived: ``make soak``. About a quarter of an hour on 2 CPU cores.

python tests/faults/soak.py [--kills=50] [--only=WORDS] [--seed=0]
"""

from __future__ import annotations

import argparse
import concurrent.futures
import functools
import pathlib
import random
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable
from typing import NamedTuple

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from faults import kills, others
from faults.harness import Place


class Trial(NamedTuple):
    """One thing that is tried: the name of its row, and what is called with a place and that of an undisturbed run."""

    name: str
    run: Callable[[Place, Place], object]


def trials(count: int, seed: int) -> list[Trial]:
    """Everything, in the order of the table; ``count`` kills and a fifth as many requests to stop."""
    rng = random.Random(seed)
    found = []
    for name, number, faults in (("kill -9", signal.SIGKILL, count), ("SIGTERM", signal.SIGTERM, count // 5)):
        for _ in range(-(-faults // kills.CHAIN)):
            stages, own = kills.draw_chain(rng), random.Random(rng.random())
            run = functools.partial(kills.survive, stages=stages, number=number, rng=own)
            found.append(Trial(f"{name} at random moments, then resumed", run))
    single: list[tuple[str, Callable, list]] = [
        ("a full disk", others.full_disk, [(size,) for size in (40, 120, 300, 600)]),
        ("a read-only disk", others.read_only_disk, [()]),
        ("a truncated checkpoint", others.truncated_checkpoint, [("d/*",), ("manifest.ocdbt",), ("metadata",)]),
        ("a corrupted cache", others.corrupted_cache, [(random.Random(seed + row),) for row in range(4)]),
        ("a clock that jumps by up to a year", others.jumping_clock, [(seed,), (seed + 100,)]),
        ("two recreate one data set at once", others.two_recreate, [(), ()]),
        ("a second process in the work directory", others.two_runs, [()]),
        ("an environment that raises", others.faulty_environment, [("raise",)]),
        ("an environment that gives NaN", others.faulty_environment, [("nan",)]),
        ("an environment process that dies", others.faulty_environment, [("die",)]),
        ("memory over 20,000 updates", others.flat_memory, [(20_000,)]),
    ]
    for name, function, arguments in single:
        found += [Trial(name, lambda *places, f=function, more=each: f(*places, *more)) for each in arguments]
    return found


def main() -> int:
    """Runs the trials two at a time; 1 if any promise was not kept."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="words of the rows to try")
    arguments = parser.parse_args()
    chosen = [trial for trial in trials(arguments.kills, arguments.seed) if arguments.only in trial.name]
    with tempfile.TemporaryDirectory() as root, concurrent.futures.ThreadPoolExecutor(2) as pool:
        reference = Place(pathlib.Path(root, "reference"), pathlib.Path(root, "compiled"))
        reference.train()
        places = [Place(pathlib.Path(root, str(number)), reference.compiled) for number in range(len(chosen))]
        outcomes = list(pool.map(functools.partial(attempt, reference=reference), chosen, places))
    print("\n" + format_table(chosen, outcomes))
    return 1 if any(isinstance(outcome, AssertionError) for outcome in outcomes) else 0


def attempt(trial: Trial, place: Place, reference: Place) -> object:
    """One trial, told when it has ended; what it returned, or the exception that says why it did not."""
    try:
        outcome = trial.run(place, reference)
    except others.NotTried as error:
        outcome = error
    except Exception as error:  # a promise that was not kept may show in any way
        outcome = AssertionError(f"{type(error).__name__}: {error}")
    words = {AssertionError: f"BROKEN: {outcome}", others.NotTried: f"not tried: {outcome}"}.get(type(outcome), "held")
    print(f"{trial.name}: {words}", flush=True)
    shutil.rmtree(place.folder, ignore_errors=True)
    return outcome


def format_table(chosen: list[Trial], outcomes: list[object]) -> str:
    """How many of how many held, by row; kills by the stage at which they struck."""
    rows: dict[str, list] = {}
    for trial, outcome in zip(chosen, outcomes, strict=True):
        rows.setdefault(trial.name, []).append(outcome)
    lines = [f"{'fault':<52}{'tried':>6}{'held':>6}"]
    for name, results in rows.items():
        tried = [result for result in results if not isinstance(result, others.NotTried)]
        broken = [result for result in tried if isinstance(result, AssertionError)]
        struck = [stage for result in tried if isinstance(result, list) for stage in result]
        # A chain of kills in which a promise was broken counts as so many that did not hold.
        count = len(struck) + kills.CHAIN * len(broken) if struck else len(tried)
        held = len(struck) if struck else len(tried) - len(broken)
        lines.append(f"{name:<52}{count:>6}{held:>6}" if tried else f"{name:<52}   not tried: {results[0]}")
        lines += [f"    {stage:<48}{struck.count(stage):>6}{struck.count(stage):>6}" for stage in dict.fromkeys(struck)]
        lines += [f"    {result}" for result in tried if isinstance(result, str)]
        lines += [f"    BROKEN: {result}" for result in broken]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
