"""The whole benchmark, part by part, into one file of results."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable

import jax

from benchmark.acting import measure_acting
from benchmark.data import make_episodes
from benchmark.flop_count import measure_flops
from benchmark.machine import OtherWork, matmul_peak, torch_matmul_peak
from benchmark.plan import MakeConfig
from benchmark.profile import measure_profile
from benchmark.results import Results
from benchmark.startup import measure_startup
from benchmark.transitions import VARIANTS, measure_transitions
from benchmark.updates import Case, Data, measure_case, measure_layers

AGREEMENT_BATCH = 16  # windows of the update that is compared with the peer's before anything is timed
ACT_CALLS = 500
# Horizons and turns, by preset and size: a step of the reference size takes a second on two cores.
_EVALUATION = {
    "cpu": {
        "demo": {"steps": 60, "loop_steps": 60, "repeats": 3, "selections": ("mean", "critic")},
        "reference": {"steps": 4, "loop_steps": 12, "repeats": 3, "selections": ("mean",)},
    },
    "gpu": {
        size: {"steps": 100, "loop_steps": 100, "repeats": 5, "selections": ("mean", "critic")}
        for size in ("demo", "reference")
    },
}
_FILES = {"demo": "configs/benchmark_small.py", "reference": "configs/maze2d.py"}


def measure(
    results: Results, sections: list[str], cases: list[Case], sizes: dict[str, MakeConfig], preset: str
) -> None:
    """Measures the parts named, row by row.

    Args:
        results: where they go.
        sections: ``updates`` and ``peer`` (beside them), ``transitions``, ``evaluation``, ``acting``, ``startup``,
            ``profile``, ``layers``.
        cases: the rows of ``updates``.
        sizes: what makes the settings of ``reference`` and ``demo``.
        preset: ``cpu`` or ``gpu``.
    """
    data = Data.of(make_episodes())
    if "peer" in sections:
        check_agreement(results, cases, data)
    if "updates" in sections or "peer" in sections:
        measure_updates(results, cases, data)
    if "transitions" in sections:
        way = "loop" if preset == "cpu" else "vmap"  # as ``parallel.seeds=auto`` chooses
        for variant in VARIANTS:
            config, peak = sizes["reference"](variant, "float32"), peak_flops(results, "float32")
            call = functools.partial(measure_transitions, config, data, way, peak)
            results.measure("transitions", variant, call)
    for size, make in sizes.items():
        for section, name, call in other_rows(size, make, data, preset):
            if section in sections or (section == "flops" and "profile" in sections):
                results.measure(section, name, call)


def other_rows(size: str, make: MakeConfig, data: Data, preset: str) -> list[tuple[str, str, Callable[[], dict]]]:
    """The rows of a size besides those of updates, by importance: section, name, and what measures it."""
    config = make("RVDT", "bfloat16" if preset == "gpu" and size == "reference" else "float32")
    case = Case(size, config, 1, "loop", 2 if size == "reference" and preset == "cpu" else 20, 1)
    rows = [("evaluation", size, functools.partial(_evaluate, config, data, _EVALUATION[preset][size]))]
    rows.append(("acting", size, functools.partial(measure_acting, config, data, calls=ACT_CALLS)))
    for cached in (True, False):
        flags = [f"--config={_FILES[size]}", "--config.variant=RVDT", "--config.seeds=0,"]
        start = functools.partial(measure_startup, flags, data.episodes, compilation_cache=cached)
        rows.append(("startup", f"{size}, {'with' if cached else 'without'} a compilation cache", start))
    if size == "reference":
        rows.append(("startup", "TD3+BC, 8 seeds, 4,000,000 steps", _start_large))
    rows.append(("profile", case.name, functools.partial(measure_profile, case, data)))
    rows.append(("layers", case.name, functools.partial(measure_layers, dataclasses.replace(case, repeats=3), data)))
    return [*rows, ("flops", case.name, functools.partial(measure_flops, case, data))]


def _start_large() -> dict:
    """Eight seeds on a store as large as maze2d-large's, whose memory is of interest."""
    flags = ["--config=configs/maze2d.py", "--config.variant=TD3+BC", "--config.seeds=0,1,2,3,4,5,6,7"]
    return measure_startup(flags, make_episodes(4_000_000), compilation_cache=True)


def _evaluate(config, data: Data, options: dict) -> dict:
    try:
        from benchmark.evaluation import measure_evaluation

        return measure_evaluation(config, data, **options)
    except ImportError as error:
        if error.name not in _SIMULATORS:
            raise
        return {"not_measured": f"{error.name} is not installed"}


_SIMULATORS = ("gymnasium", "gymnasium_robotics", "mujoco")


def check_agreement(results: Results, cases: list[Case], data: Data) -> None:
    """One update of each style against ours, for every size and variant that is timed beside the peer.

    Raises:
        ValueError: they compute different functions.
    """
    try:
        from benchmark.agreement import TOLERANCE, for_agreement, measure_agreement, worst
        from benchmark.peer import STYLES
        from benchmark.peer_update import peer_device
    except ImportError as error:
        if error.name != "torch":
            raise
        note = {"not_measured": f"{error.name} is not installed"}
        results.measure("agreement", "all", lambda: note)
        return

    def compare(case: Case, style: str) -> dict:
        config = for_agreement(case.config, AGREEMENT_BATCH)
        with jax.default_matmul_precision("highest"):  # and not in TF32
            store = data.store(config)
            deviations = measure_agreement(config, store, data.sizes[2], STYLES[style], device=peer_device())
        return {"tolerance": TOLERANCE, "worst_over_tolerance": worst(deviations), "deviations": deviations}

    for case in cases:
        for style in case.peers:
            name = f"{case.size}/{case.config.variant}/{style}"
            if name in results.content.get("agreement", {}):
                continue
            row = results.measure("agreement", name, functools.partial(compare, case, style))
            if not row.get("worst_over_tolerance", math.inf) <= 1.0:  # nor is a NaN agreement
                reason = row.get("failed") or row["deviations"]
                raise ValueError(
                    f"agreement, {name}: the peer was not shown to compute the same function ({reason}); times beside "
                    "it would mean nothing. Mend one of the two, or leave the peer out: --only=updates."
                )


def peak_flops(results: Results, dtype: str) -> float | None:
    """The matmul peak of the run for a dtype, measured when it is first asked for; None if that failed."""
    measured = results.content.get("matmul_peak", {}).get(dtype)
    if measured is None:
        both = {"jax": matmul_peak, "torch": torch_matmul_peak}
        measured = results.measure("matmul_peak", dtype, lambda: {name: peak(dtype) for name, peak in both.items()})
    return measured.get("jax", {}).get("best")


def measure_updates(results: Results, cases: list[Case], data: Data) -> None:
    """Times the rows, each beside the peers that it names."""

    def timed(case: Case) -> dict:
        with OtherWork() as others:
            row = measure_case(case, data, peak_flops(results, case.config.model.dtype))
        return row | {"cores_busy_with_other_work": others.cores} | _memory()

    for case in cases:
        row = results.measure("updates", case.name, functools.partial(timed, case))
        _say_row(row)


def _memory() -> dict:
    """The process's high-water mark on the device so far, where the device keeps one."""
    stats = jax.devices()[0].memory_stats() or {}
    return {"process_peak_device_bytes": stats.get("peak_bytes_in_use")}


def _say_row(row: dict, say: Callable[[str], None] = print) -> None:
    if "failed" in row:
        return
    line = f"  {row['milliseconds_per_update']['median']:.4g} ms per update"
    for style, peer in row["peers"].items():
        if "ratio" in peer:
            line += f"; {style} PyTorch {peer['ratio']['median']:.2f} times that"
    say(line)
