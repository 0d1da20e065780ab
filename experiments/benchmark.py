"""How fast it is: updates, evaluation, acting, start; beside a PyTorch peer, in the same run.

    python experiments/benchmark.py [--preset=auto] [--only=updates,peer] [--cases=demo/RVDT] [--out=FILE]
    python experiments/benchmark.py --minutes=12
    python experiments/benchmark.py --xla
    python experiments/benchmark.py --table [--write_readme]

A whole run writes experiments/results/benchmark-<device>.json, a partial one runs/benchmark-<device>.json. ``make
bench`` installs PyTorch for the peer; without it the ratios are not measured, without a simulator evaluation is not.
``--minutes`` measures the rows that matter most first, begins none that would not fit, and on an accelerator counts as
a whole run. ``--xla`` compares settings of the compiler for GPUs, each in processes of its own.
"""

import os
import pathlib
import re

from absl import app, flags
from configs import benchmark_small, maze2d

from launcher import parse_flags, refuse_flags, report_errors
from rvdt_jax.errors import UserError

SECTIONS = ("updates", "peer", "transitions", "evaluation", "acting", "startup", "profile", "layers")
ROOT = pathlib.Path(__file__).resolve().parents[1]

_PRESET = flags.DEFINE_enum("preset", "auto", ["auto", "cpu", "gpu"], "Which rows; auto: by JAX's device.")
_ONLY = flags.DEFINE_list("only", list(SECTIONS), f"Parts to measure, of {', '.join(SECTIONS)}.")
_CASES = flags.DEFINE_list("cases", [], "Rows of updates: those whose names contain one of these.")
_OUT = flags.DEFINE_string("out", None, "File of results; unset: the committed one, or one in runs/ for a part.")
_PROFILE = flags.DEFINE_bool("profile", False, "Only where the time of an update goes; the same as --only=profile.")
_MINUTES = flags.DEFINE_float("minutes", None, "Measure the most important rows in this time.", lower_bound=0.0)
_XLA = flags.DEFINE_bool("xla", False, "Measure what settings of XLA are worth; writes runs/xla-<device>.json.")
_TABLE = flags.DEFINE_bool("table", False, "Measure nothing: print the table of the committed results.")
_WRITE_README = flags.DEFINE_bool("write_readme", False, "With --table: put it into experiments/results/README.md.")


def main(argv: list[str]) -> int:
    """Measures and prints, or prints alone."""
    from benchmark.table import MARKERS, load_results, speed_table
    from reporting.sections import write_section

    _check_flags()
    folder = ROOT / "experiments" / "results"
    if _TABLE.value:
        table = speed_table(load_results(folder))
        if _WRITE_README.value:
            write_section(folder / "README.md", table, MARKERS)
        print(table)
        return 0
    if _XLA.value:
        from benchmark.xla import measure_settings

        return measure_settings(ROOT / "runs", _OUT.value)
    sections = ["profile"] if _PROFILE.value else _ONLY.value
    unknown = sorted(set(sections) - set(SECTIONS))
    if not sections:
        raise UserError(f"--only is empty. Choose of {', '.join(SECTIONS)}.")
    if not {"updates", "peer"} & set(sections):
        refuse_flags("Cases are rows of updates", _CASES)
    if unknown:
        raise UserError(f"--only={','.join(unknown)}: there is no such part. Choose of {', '.join(SECTIONS)}.")
    results = run(sections, folder)
    print(f"\n{speed_table([results.content])}\n\nRecords: {results.path}")
    return 0


def _check_flags() -> None:
    """Refuses flags that would be ignored."""
    chosen = (_PRESET, _CASES, _MINUTES)
    if _TABLE.value:
        refuse_flags("--table measures nothing", *chosen, _ONLY, _PROFILE, _OUT, _XLA)
    else:
        refuse_flags("--write_readme belongs to --table", _WRITE_README)
    if _XLA.value:
        refuse_flags("--xla measures settings of the compiler alone", *chosen, _ONLY, _PROFILE)
    if _PROFILE.value:
        refuse_flags("--profile measures one part alone", _ONLY)
    if _MINUTES.value is not None:
        refuse_flags("--minutes chooses what is measured", _ONLY, _CASES, _PROFILE)


def run(sections: list[str], folder: pathlib.Path):
    """Measures the parts; returns the ``Results``."""
    os.environ["JAX_ENABLE_COMPILATION_CACHE"] = "false"  # else compiling would be timed as reading
    import jax
    from benchmark.machine import describe_machine, identity
    from benchmark.plan import accelerator_cases, choose, cpu_cases, make_config
    from benchmark.results import Results
    from benchmark.suite import measure

    machine = describe_machine()
    preset = _PRESET.value if _PRESET.value != "auto" else "cpu" if jax.default_backend() == "cpu" else "gpu"
    whole = set(sections) == set(SECTIONS) and not _CASES.value and (_MINUTES.value is None or preset == "gpu")
    slug = re.sub(r"[^a-z0-9]+", "-", machine["device"].lower()).strip("-")
    default = (folder if whole else ROOT / "runs") / f"benchmark-{slug}-{machine['cores']}-cores.json"
    sizes = {"reference": make_config(maze2d), "demo": make_config(benchmark_small)}
    log_every = {name: make("RVDT", "float32").train.log_every for name, make in sizes.items()}
    results = Results(pathlib.Path(_OUT.value or default), machine, identity)
    if _MINUTES.value is not None:
        from benchmark.minutes import measure_in_time

        measure_in_time(results, sizes, log_every, preset, _MINUTES.value)
        results.finish()
        return results
    if preset == "cpu":
        cases = cpu_cases(**sizes, log_every=log_every["demo"])
    else:
        cases = accelerator_cases(**sizes, log_every=log_every)
    cases = choose(cases, _CASES.value, peers="peer" in sections)
    measure(results, sections, cases, sizes, preset)
    results.finish()
    return results


if __name__ == "__main__":
    app.run(report_errors(main), flags_parser=parse_flags)
