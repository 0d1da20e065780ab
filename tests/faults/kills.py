"""Killed or asked to stop at random moments, a run goes on and comes to the same end, to the last bit."""

from __future__ import annotations

import random
import signal
from typing import NamedTuple

from faults.harness import Place, check_end, check_whole, expect

CHAIN = 5  # faults that one run meets


class Stage(NamedTuple):
    """Where in a run a fault may strike."""

    name: str  # for the table
    target: str  # the function, as ``victim.py`` takes it
    calls: tuple[int, int]  # of which one is drawn
    seconds: float  # how long it takes about; the fault strikes that long after the call at the latest


BEFORE = (
    Stage("data collection", "rvdt_jax.recreate.maze2d:collect", (1, 1), 0.08),
    Stage("data set write", "rvdt_jax.data.minari.writer:_write", (1, 1), 0.1),
    Stage("cache write", "rvdt_jax.data.source:write_cache", (1, 1), 0.004),
)
DURING = (
    Stage("step", "rvdt_jax.train.driver:train_chunk", (2, 5), 0.02),
    Stage("record write", "rvdt_jax.runs.hooks:append_lines", (2, 9), 0.002),
    Stage("checkpoint write", "rvdt_jax.runs.hooks:Session.save", (1, 3), 0.15),
    Stage("evaluation", "rvdt_jax.evaluation.evaluator:Evaluator._play", (1, 2), 0.3),
)
RESULTS = Stage("results write", "rvdt_jax.runs.fit:write_results", (1, 1), 0.3)


def draw_chain(rng: random.Random) -> list[Stage]:
    """Stages that one run can meet in this order: those before training while there is still something to do."""
    early = rng.sample(BEFORE, rng.randint(0, 2))
    late = [RESULTS] if rng.random() < 0.5 else []
    middle = rng.choices(DURING, k=CHAIN - len(early) - len(late))
    return sorted(early, key=BEFORE.index) + middle + late


def strike(place: Place, stage: Stage, number: int, rng: random.Random) -> bool:
    """Has one fault strike; whether it did, for a call may never come, and checks what it left."""
    fault = {"signal": number, "target": stage.target, "call": rng.randint(*stage.calls)}
    fault["delay"] = rng.uniform(0.0, stage.seconds)
    status, said = place.try_to_train(fault=fault)
    if status == 0:  # the run ended before its call
        return False
    if number == signal.SIGKILL:
        expect(-signal.SIGKILL, status, said)
    elif status != 128 + number:  # before training there is nothing to save: it ends as any process does
        expect(-number, status, said)
    check_whole(place)
    return True


def survive(place: Place, reference: Place, stages: list[Stage], number: int, rng: random.Random) -> list[str]:
    """One run through all these faults and to its end; the names of the stages at which it was struck."""
    struck = [stage.name for stage in stages if strike(place, stage, number, rng)]
    check_end(place, reference)
    return struck
