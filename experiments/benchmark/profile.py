"""Where the time of one update goes: the profiler's trace of a compiled call, summed by kind of operation and by part.

The trace names operations of the compiled program; what is inside each is read from the program's own text.
"""

from __future__ import annotations

import collections
import gzip
import json
import pathlib
import re
import tempfile
import time
from collections.abc import Iterable

import jax

from benchmark.hlo import Instruction, read_computations
from benchmark.updates import Case, Data, compile_ours

_CALLED = re.compile(r"(?:calls|to_apply)=%?([\w.\-]+)")
_CONTAINERS = {"while", "call", "conditional", "parameter", "tuple", "get-tuple-element", "constant"}
# The first that matches names the kind; an operation is known by the opcodes inside it and where it comes from.
_KINDS = (
    ("attention products", r"\b(dot|custom-call)\b.*(bhq|bqk|bhk)|fmha"),
    ("matrix products", r"\bdot\b|gemm|matmul|convolution"),
    ("scatter", r"\bscatter\b"),
    ("gather", r"\b(gather|dynamic-slice)\b"),
    ("softmax and other exponentials", r"\b(exponential|log-plus-one|tanh|exponential-minus-one)\b"),
    ("random numbers and dropout", r"dropout|_uniform|random_bits|threefry|\brng-bit-generator\b"),
    ("sums", r"\breduce(-window)?\b"),
    ("copies", r"^(copy|transpose|bitcast|broadcast|wrapped|slice|concatenate|pad| |parameter|fusion)*$"),
)
_PARTS = (
    ("policy, backward", r"transpose\(jvp\(TransformerPolicy|transpose\(.*TransformerPolicy"),
    ("policy, forward", r"jvp\(.*TransformerPolicy"),
    ("EMA policy, forward", r"TransformerPolicy"),
    ("critics", r"TwinCritic|\(MLP\)|/MLP"),
)


def measure_profile(case: Case, data: Data) -> dict:
    """Shares of the time of one compiled call of ``train_chunk``.

    Returns:
        ``by_operation`` and ``by_part``, each a share of the time that operations took, summed over threads; the
        ``milliseconds_per_update`` of that sum; the ten slowest operations by name; and on an accelerator
        ``launch_gaps``, the share of a call without the profiler in which none of them runs.
    """
    compiled, ordinary, _ = compile_ours(case, data)
    call = ordinary
    if jax.default_backend() == "gpu":  # the trace names no operations of kernels that a command buffer starts
        compiled, call, _ = compile_ours(case, data, options={"xla_gpu_enable_command_buffer": ""})
        call()
    ordinary()
    begun = time.perf_counter()
    ordinary()
    wall = time.perf_counter() - begun
    with tempfile.TemporaryDirectory() as folder:
        with jax.profiler.trace(folder, create_perfetto_trace=True):
            call()
        (path,) = pathlib.Path(folder).rglob("perfetto_trace.json.gz")
        events = read_events(path)
    found = attribute(events, describe_operations(compiled.as_text()), case.updates)
    if jax.default_backend() != "cpu":  # there operations of several threads overlap
        found["launch_gaps"] = round(max(0.0, 1 - found["milliseconds_per_update"] * case.updates / 1000 / wall), 4)
    return case.describe() | found


def read_events(path: pathlib.Path) -> list[tuple[str, float]]:
    """Operation and microseconds of every event in a Perfetto trace.

    Of a trace with an accelerator only what ran on it, for the host's events bear the same names: what stands on a
    GPU's streams, or on a TPU's line of operations.
    """
    with gzip.open(path, "rt", encoding="utf-8") as file:
        trace = json.load(file)
    events = trace["traceEvents"] if isinstance(trace, dict) else trace
    named = [event for event in events if event.get("ph") == "M"]
    processes = {event["pid"]: event["args"]["name"] for event in named if event["name"] == "process_name"}
    threads = {(event["pid"], event["tid"]): event["args"]["name"] for event in named if event["name"] == "thread_name"}
    timed = [event for event in events if event.get("ph") == "X" and "dur" in event]

    def device_line(event: dict) -> str:
        on_device = processes.get(event["pid"], "").startswith("/device:")
        return threads.get((event["pid"], event["tid"]), "") if on_device else ""

    lines = ([event for event in timed if device_line(event).startswith(line)] for line in ("Stream", "XLA Ops"))
    timed = next(filter(None, lines), timed)
    return [(event.get("args", {}).get("hlo_op", event["name"]), float(event["dur"])) for event in timed]


def describe_operations(text: str) -> dict[str, str]:
    """What is inside each operation of a compiled program: its opcodes, and the names of what it was traced from.

    Args:
        text: ``compiled.as_text()``.

    Returns:
        By the operation's name; containers, whose time is that of others, are left out.
    """
    computations = read_computations(text)

    def inside(each: Instruction) -> Iterable[str]:
        yield from (each.opcode, *re.findall(r'(?:op_name|custom_call_target)="([^"]*)"', each.line))
        for called in _CALLED.findall(each.line):
            for other in computations.get(called, ()):
                yield from inside(other)

    lines = [each for instructions in computations.values() for each in instructions]
    return {each.name: " ".join(inside(each)) for each in lines if each.opcode not in _CONTAINERS}


def attribute(events: list[tuple[str, float]], operations: dict[str, str], updates: int) -> dict:
    """Sums the events of known operations by kind, by part and by name; see ``measure_profile``."""
    kinds, parts, names = collections.Counter(), collections.Counter(), collections.Counter()
    for name, duration in events:
        if name in operations:
            kinds[kind_of(operations[name])] += duration
            parts[part_of(operations[name])] += duration
            names[name] += duration
    total = sum(names.values())
    if not total:
        raise RuntimeError("the profiler's trace names no operation of the compiled program")

    def shares(counter: collections.Counter) -> dict[str, float]:
        return {name: round(value / total, 4) for name, value in counter.most_common()}

    slowest = {name: round(value / total, 4) for name, value in names.most_common(10)}
    return {
        "milliseconds_per_update": round(total / 1000 / updates, 3),
        "by_operation": shares(kinds),
        "by_part": shares(parts),
        "slowest": {name: {"share": share, "what": _origin(operations[name])} for name, share in slowest.items()},
    }


def kind_of(operation: str) -> str:
    """What an operation does, by what ``describe_operations`` says of it."""
    return _first(_KINDS, operation, "other elementwise")


def part_of(operation: str) -> str:
    """The part of the update that an operation belongs to."""
    return _first(_PARTS, operation, "sampling, optimisers, targets, the rest")


def _origin(operation: str) -> str:
    """The end of the name that it was traced from."""
    found = re.search(r"jit\S*", operation)
    return found[0][-100:] if found else operation[:100]


def _first(patterns: tuple, text: str, otherwise: str) -> str:
    return next((name for name, pattern in patterns if re.search(pattern, text)), otherwise)
