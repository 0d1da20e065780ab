"""Which rows a benchmark has: everything on an accelerator, on CPU what fits into some ten minutes on two cores."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from benchmark.updates import Case
from rvdt_jax.config.settings import Config, resolve
from rvdt_jax.errors import UserError

VARIANTS = ("DT", "QT", "RVDT")
SEVERAL_SEEDS = (3, 5, 8)
MakeConfig = Callable[[str, str], Config]  # variant and dtype -> settings


def make_config(module) -> MakeConfig:
    """What makes the resolved settings of a configuration file."""

    def make(variant: str, dtype: str) -> Config:
        settings = module.get_config()
        settings.variant, settings.model.dtype = variant, dtype
        settings.seeds = (0,)
        return resolve(settings)

    return make


def cpu_cases(reference: MakeConfig, demo: MakeConfig, log_every: int) -> list[Case]:
    """The rows for CPU: an update of the reference size takes seconds, so one seed, float32, two variants, few turns.

    Args:
        reference, demo: make the settings of either size.
        log_every: updates of one compiled call of the demo size, as its users run it; a timed call is a part of that.
    """
    rows = [
        Case("reference", reference(variant, "float32"), 1, "loop", 3, 3, ("public", "strong"), 1)
        for variant in ("DT", "RVDT")
    ]
    updates = log_every // 2
    rows += [
        Case("demo", demo(variant, "float32"), 1, "loop", updates, 5, ("public", "strong"), 30) for variant in VARIANTS
    ]
    ways = [(seeds, way) for seeds in SEVERAL_SEEDS for way in ("loop", "vmap")]
    rows += [Case("demo", demo("RVDT", "float32"), seeds, way, log_every // 5, 3) for seeds, way in ways]
    return [*rows, *(Case("demo", demo(variant, "bfloat16"), 1, "loop", updates, 3) for variant in ("DT", "RVDT"))]


def accelerator_cases(reference: MakeConfig, demo: MakeConfig, log_every: dict[str, int]) -> list[Case]:
    """Every combination of size, dtype, variant and number of seeds; the peer beside one seed.

    Args:
        reference, demo: make the settings of either size.
        log_every: by size, updates of one compiled call, as users run it.
    """
    rows = []
    for size, make in (("reference", reference), ("demo", demo)):
        for dtype in ("bfloat16", "float32"):
            for variant in VARIANTS:
                for seeds in (1, *SEVERAL_SEEDS):
                    peers = ("public", "strong") if seeds == 1 else ()
                    rows.append(Case(size, make(variant, dtype), seeds, "vmap", log_every[size], 5, peers, 20))
    return rows


def choose(cases: list[Case], wanted: list[str], peers: bool) -> list[Case]:
    """The rows whose names contain one of ``wanted`` (all, where that is empty), with the peer or without.

    Raises:
        UserError: no row is left; the message lists them.
    """
    chosen = [case for case in cases if not wanted or any(part in case.name for part in wanted)]
    if not chosen:
        names = "; ".join(case.name for case in cases)
        raise UserError(f"--cases={','.join(wanted)}: no row has such a name. The rows are: {names}.")
    return chosen if peers else [dataclasses.replace(case, peers=()) for case in chosen]
