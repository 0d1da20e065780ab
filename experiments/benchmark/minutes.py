"""The benchmark within so many minutes: the rows that matter most first, and none begun that would not fit."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable

from benchmark.data import make_episodes
from benchmark.flops import executed_flops, sizes_of
from benchmark.plan import MakeConfig
from benchmark.results import Results
from benchmark.suite import check_agreement, measure_updates, other_rows, peak_flops
from benchmark.updates import Case, Data

# First guesses, which are corrected by what the rows so far took: seconds to compile a program or to start a process,
# and how many times the floor of its matrix products an update takes, ours and the peer's.
_COMPILE, _GAP, _PEER_GAP = 20.0, 3.0, 20.0
_PROGRAMS = {"evaluation": 4, "acting": 3, "startup": 2, "profile": 2, "flops": 1, "layers": 2}
_STYLES = ("public", "strong")


@dataclasses.dataclass
class Clock:
    """Time left, and what rows take beside the first guesses.

    Attributes:
        end: on the monotonic clock.
        taken, guessed: seconds of the rows so far.
    """

    end: float
    taken: float = 0.0
    guessed: float = 0.0

    def estimate(self, guess: float) -> float:
        """Seconds that a row will take."""
        return guess * self.taken / self.guessed if self.guessed else guess

    def left(self) -> float:
        """Seconds until the end."""
        return self.end - time.monotonic()

    def fits(self, guess: float) -> bool:
        """Whether such a row ends in time."""
        return self.estimate(guess) <= self.left()

    def time(self, guess: float, call: Callable[[], object]) -> None:
        """Calls, and learns how long it took."""
        begun = time.monotonic()
        call()
        self.taken, self.guessed = self.taken + time.monotonic() - begun, self.guessed + guess


def measure_in_time(
    results: Results, sizes: dict[str, MakeConfig], log_every: dict[str, int], preset: str, minutes: float
) -> None:
    """Measures what fits, and notes under ``skipped`` what does not. The first row is measured in any case.

    Args:
        results: where the rows go, each as soon as it is measured.
        sizes: what makes the settings of ``reference`` and ``demo``; the second is taken if the first cannot be timed.
        log_every: by size, updates of one compiled call, as users run it; on a CPU a fifth of that.
        preset: ``cpu`` or ``gpu``.
        minutes: in all.
    """
    clock, data = Clock(time.monotonic() + 60 * minutes), Data.of(make_episodes())

    def guess(case: Case) -> float:
        floor = executed_flops(sizes_of(case.config)) / (peak_flops(results, case.config.model.dtype) or 1e11)
        calls = 2 * case.repeats
        ours = _COMPILE + calls * case.updates * case.seeds * floor * _GAP
        return ours + len(case.peers) * (2 * _COMPILE + calls * case.peer_updates * floor * _PEER_GAP)

    cases = _cases("reference", sizes["reference"], log_every["reference"], preset)
    size = "reference" if clock.fits(guess(dataclasses.replace(cases[0], peers=()))) else "demo"
    if size == "demo":
        cases = _cases(size, sizes[size], log_every[size], preset)
    for number, case in enumerate(cases):
        if case.peers and not clock.fits(guess(case)):
            _skip(results, clock, f"{case.name}, peers", guess(case))
            case = dataclasses.replace(case, peers=())
        if number and not clock.fits(guess(case)):
            _skip(results, clock, case.name, guess(case))
        else:
            clock.time(guess(case), lambda case=case: _measure_case(results, case, data))
    for section, name, call in other_rows(size, sizes[size], data, preset):
        seconds = _PROGRAMS[section] * _COMPILE
        if clock.fits(seconds):
            clock.time(seconds, lambda row=(section, name, call): results.measure(*row))
        else:
            _skip(results, clock, f"{section}: {name}", seconds)


def _cases(size: str, make: MakeConfig, log_every: int, preset: str) -> list[Case]:
    """The rows of updates by importance."""
    gpu = preset == "gpu"

    def case(variant: str = "RVDT", dtype: str = "bfloat16", seeds: int = 1, peers: tuple[str, ...] = ()) -> Case:
        repeats = 5 if gpu and seeds == 1 else 3
        updates = log_every if gpu else max(1, log_every // 5)
        return Case(size, make(variant, dtype), seeds, "vmap" if gpu else "loop", updates, repeats, peers, 10)

    return [
        case(peers=_STYLES),
        case(seeds=5),
        case("QT"),
        case("DT"),
        case(dtype="float32"),
        case(seeds=3),
        case(seeds=8),
    ]


def _measure_case(results: Results, case: Case, data: Data) -> None:
    """Times a row, beside its peers if they are shown to compute the same function."""
    try:
        check_agreement(results, [case], data)
    except ValueError as error:  # which is on record; the rest of the time goes to our own rows
        print(f"  without peers: {error}")
        case = dataclasses.replace(case, peers=())
    measure_updates(results, [case], data)


def _skip(results: Results, clock: Clock, name: str, guess: float) -> None:
    seconds = {"estimated_seconds": round(clock.estimate(guess)), "seconds_left": round(clock.left())}
    print(f"not begun, for lack of time: {name} ({seconds['estimated_seconds']} s, {seconds['seconds_left']} s left)")
    results.note("skipped", name, seconds)
