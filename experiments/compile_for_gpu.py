"""Compiles updates for a GPU that is not there, and says what XLA made of them: kernels, bytes moved, memory, messages.

    python experiments/compile_for_gpu.py [--card=h200] [--devices=1,8] [--cases=RVDT] [--changes=relu] [--out=FILE]

Rows are the reference rows of ``benchmark.py`` on an accelerator, each compiled twice: with cuBLAS for the products of
matrices, and with kernels of XLA's own. Nothing is run, so no time is known. Needs ``pip install -e '.[cuda]'``, but
no GPU.
"""

import functools
import itertools
import os
import pathlib

from absl import app, flags
from configs import maze2d

from launcher import parse_flags, report_errors
from rvdt_jax.errors import UserError

ROOT = pathlib.Path(__file__).resolve().parents[1]
_CARD = flags.DEFINE_enum("card", "h200", ["h100", "h200"], "The GPU to compile for.")
_DEVICES = flags.DEFINE_list("devices", ["1"], "How many of them, of one machine; a row for each number.")
_CASES = flags.DEFINE_list(
    "cases",
    ["RVDT/bfloat16/1 seed", "RVDT/bfloat16/5 seeds", "DT/bfloat16/1 seed"],
    "Rows to compile: those whose names contain one of these.",
)
_CHANGES = flags.DEFINE_list("changes", ["none"], "With which changes of benchmark.py --xla; none: as users run it.")
_OUT = flags.DEFINE_string("out", None, "File of the records; unset: runs/compiled-<card>.json.")
UPDATES = 2  # of a program, whose loop has one body however many there are


def main(argv: list[str]) -> int:
    """Compiles, prints and writes; 1 if a row failed."""
    os.environ |= {"JAX_PLATFORMS": "cpu", "JAX_ENABLE_COMPILATION_CACHE": "false"}  # there is no GPU to look for
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    from benchmark.cards import CARDS, devices_of
    from benchmark.compiled import PRODUCTS, describe_program
    from benchmark.machine import describe_machine, identity
    from benchmark.plan import accelerator_cases, choose, make_config
    from benchmark.results import Results
    from benchmark.xla import CHANGES, case_with, changed

    make, lengths = make_config(maze2d), {"reference": UPDATES, "demo": UPDATES}
    cases = [case for case in accelerator_cases(make, make, lengths) if case.size == "reference"]
    cases, card = choose(cases, _CASES.value, peers=False), CARDS[_CARD.value]
    devices = {count: devices_of(card, count) for count in _counts(cases[0].config.train.batch_size)}
    changes = _changes([name for name in CHANGES if name != "unroll"])  # which makes a loop's body of four updates
    path = pathlib.Path(_OUT.value or ROOT / "runs" / f"compiled-{_CARD.value}.json")
    machine = describe_machine()
    machine["device"] = f"programs for {card.name}, compiled on {machine['device']}"
    results, failed = Results(path, machine, identity), 0
    for change, case, count, products in itertools.product(changes, cases, devices, PRODUCTS):
        name = ", ".join(filter(None, [case.name, f"{count} devices" if count > 1 else "", change, products]))
        arguments = case_with(change, case), card, devices[count], products
        with changed(change):
            row = results.measure("compiled", name, functools.partial(describe_program, *arguments))
        if "failed" in row:
            failed += 1
        else:
            print(describe(row), flush=True)
    results.finish()
    print(f"Records: {path}" + (f"; {failed} rows failed" if failed else ""))
    return 1 if failed else 0


def _counts(batch: int) -> list[int]:
    """The numbers of devices asked for."""
    for word in _DEVICES.value or [""]:
        if not word.isdecimal() or not 1 <= int(word) <= 8 or batch % int(word):
            raise UserError(f"--devices={word}: not a number from 1 to 8 that divides the batch of {batch} windows.")
    return [int(word) for word in _DEVICES.value]


def _changes(known: list[str]) -> list[str]:
    """The names of the changes asked for, "" for none."""
    for word in _CHANGES.value or [""]:
        if word not in ("none", *known):
            raise UserError(f"--changes={word}: there is no such change. Choose of none, {', '.join(known)}.")
    return ["" if word == "none" else word for word in _CHANGES.value]


def describe(row: dict) -> str:
    """What the row says, in a few lines."""
    times = row["milliseconds"]
    lines = [
        f"  {row['kernels']} kernels an update, {row['bytes'] / 1e9:.2f} GB read and written, "
        f"{row['flops'] / 1e12:.3f} TFLOP in matrix products; {row['program_bytes'] / 1e9:.2f} GB of memory",
        f"  by data sheet: products {times['products']:.2f} ms, traffic without a cache {times['traffic']:.2f} ms",
    ]
    for group in ("by_part", "by_operation"):
        counts = [f"{name} {each['kernels']} ({each['bytes'] / 1e9:.2f} GB)" for name, each in row[group].items()]
        lines.append(f"  {'; '.join(counts)}")
    if row["messages"]:
        lines.append(f"  {len(row['messages'])} messages between devices")
    return "\n".join(lines)


if __name__ == "__main__":
    app.run(report_errors(main), flags_parser=parse_flags)
