"""Compiles updates for a GPU that is not there, and says what XLA made of them: kernels, bytes moved, memory, messages.

    python experiments/compile_for_gpu.py [--card=h200] [--devices=1,8] [--cases=RVDT] [--change=...] [--out=FILE]

Rows are those of ``benchmark.py`` on an accelerator. Nothing is run, so no time is known: beside each row stand two
bounds, of the matrix products and of the memory traffic. Needs ``pip install -e '.[cuda]'``, but no GPU.
"""

import functools
import os
import pathlib

from absl import app, flags
from configs import maze2d

from launcher import parse_flags, report_errors
from rvdt_jax.errors import UserError

ROOT = pathlib.Path(__file__).resolve().parents[1]
_CARD = flags.DEFINE_enum("card", "h200", ["h100", "h200"], "The GPU to compile for.")
_DEVICES = flags.DEFINE_list("devices", ["1"], "How many of them, of one machine; a row for each number.")
_ROWS = ["RVDT/bfloat16/1 seed", "RVDT/bfloat16/5", "QT/bfloat16/1 seed", "DT/bfloat16/1 seed", "RVDT/float32/1 seed"]
_CASES = flags.DEFINE_list("cases", _ROWS, "Rows to compile: those whose names contain one of these.")
_CHANGES = ["one vector", "relu", "xla", "one product", "cudnn"]
_CHANGE = flags.DEFINE_enum("change", None, _CHANGES, "Compile with this change of benchmark.py --xla.")
_OUT = flags.DEFINE_string("out", None, "File of the records; unset: runs/compiled-<card>.json.")
UPDATES = 2  # of a program, whose loop has one body however many there are


def main(argv: list[str]) -> int:
    """Compiles, prints and writes."""
    os.environ["JAX_PLATFORMS"] = "cpu"  # else JAX looks for a GPU to run on
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    from benchmark.cards import CARDS, devices_of
    from benchmark.compiled import describe_program
    from benchmark.machine import describe_machine, identity
    from benchmark.plan import accelerator_cases, choose, make_config
    from benchmark.results import Results
    from benchmark.xla import CHANGES

    CHANGES.get(_CHANGE.value, lambda: None)()
    counts = [_count(word) for word in _DEVICES.value]
    make, lengths = make_config(maze2d), {"reference": UPDATES, "demo": UPDATES}
    cases = [case for case in accelerator_cases(make, make, lengths) if case.size == "reference"]
    cases, card = choose(cases, _CASES.value, peers=False), CARDS[_CARD.value]
    devices = {count: devices_of(card, count) for count in counts}
    path = pathlib.Path(_OUT.value or ROOT / "runs" / f"compiled-{_CARD.value}.json")
    results = Results(path, describe_machine(), identity)
    for case in cases:
        for count, chips in devices.items():
            name = ", ".join([case.name, *([f"{count} devices"] if count > 1 else []), *filter(None, [_CHANGE.value])])
            row = results.measure("compiled", name, functools.partial(describe_program, case, card, chips))
            if "failed" not in row:
                print(describe(row), flush=True)
    results.finish()
    print(f"Records: {path}")
    return 0


def _count(word: str) -> int:
    if word.isdecimal() and 1 <= int(word) <= 8:
        return int(word)
    raise UserError(f"--devices={word}: not a number from 1 to 8.")


def describe(row: dict) -> str:
    """What the row says, in a few lines."""
    least = row["milliseconds"]
    lines = [
        f"  {row['kernels']} kernels an update, {row['bytes'] / 1e9:.2f} GB moved, {row['flops'] / 1e12:.3f} TFLOP in "
        f"matrix products; {row['program_bytes'] / 1e9:.2f} GB of memory",
        f"  by data sheet {least['products']:.2f} ms of products and {least['traffic']:.2f} ms of traffic, at least",
    ]
    for group in ("by_part", "by_operation"):
        counts = [f"{name} {each['kernels']} ({each['bytes'] / 1e9:.2f} GB)" for name, each in row[group].items()]
        lines.append(f"  {'; '.join(counts)}")
    if row["messages"]:
        lines.append(f"  {len(row['messages'])} messages between devices")
    return "\n".join(lines)


if __name__ == "__main__":
    app.run(report_errors(main), flags_parser=parse_flags)
