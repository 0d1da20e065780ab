"""The search behind the small configurations: runs its cells and scores them, or prints its table.

    python experiments/tune.py --out=runs/tuning --jobs=2
    python experiments/tune.py --write

The first trains every setting of ``search.py`` on every tuning task, where that is not done yet, scores each maze's
checkpoint under several ways to choose actions, and copies the records to ``experiments/results/tuning``. The second
makes the table there from those records alone; JAX is not needed.
"""

import pathlib

import search
from absl import app, flags

from launcher import keep_compiled_programs, parse_flags, refuse_flags, report_errors
from rvdt_jax.errors import UserError, did_you_mean

RECORDS = pathlib.Path(__file__).resolve().parent / "results" / "tuning"

_OUT = flags.DEFINE_string("out", None, "Run what is missing, in this folder; unset: only print the table.")
_JOBS = flags.DEFINE_integer("jobs", 1, "Runs at a time, each on its share of the cores.", lower_bound=1)
_SETTINGS = flags.DEFINE_list("settings", None, "Run only these settings; unset: all.")
_TASKS = flags.DEFINE_list("tasks", None, "Run only these tasks; unset: all.")
_VARIANTS = flags.DEFINE_list("variants", "RVDT", "Variants to try.")
_RETRY = flags.DEFINE_bool("retry", False, "Run the cells that failed again.")
_WRITE = flags.DEFINE_bool("write", False, "Write the table beside the records instead of printing it.")


def main(argv: list[str]) -> int:
    """Runs, or prints."""
    from reporting.tuning import read_search, search_table

    if _OUT.value:
        refuse_flags("--out runs what is missing, and prints nothing", _WRITE)
        return run(pathlib.Path(_OUT.value))
    refuse_flags("Without --out nothing is run", _JOBS, _SETTINGS, _TASKS, _VARIANTS, _RETRY)
    reasons = {setting: reason for setting, (reason, _) in search.SETTINGS.items()}
    table = search_table(read_search(RECORDS), reasons, tuple(search.CONFIGS), search.MAZES)
    if _WRITE.value:
        (RECORDS / "README.md").write_text(f"{INTRODUCTION}\n{table}", encoding="utf-8")
    else:
        print(table)
    return 0


def run(root: pathlib.Path) -> int:
    """Trains and scores what is missing below ``root``, and keeps the records."""
    from rvdt_jax.sweep.execute import State, Sweep, failure_of
    from rvdt_jax.sweep.keep import keep_records

    jobs = [
        job_of(root, name, task, variant) for name in _settings() for task in _tasks() for variant in _VARIANTS.value
    ]
    launcher = pathlib.Path(__file__).resolve().parent / "run.py"
    sweep = Sweep(launcher, jobs, at_once=_JOBS.value, retry=_RETRY.value)
    states = sweep.run()
    keep_compiled_programs()
    for job in jobs:
        if job.state() is State.DONE and sweep.signal is None:
            score(job)
        elif job.state() is State.FAILED:
            print(f"{job.workdir}: {failure_of(job)}")
    keep_records(root, jobs, RECORDS)
    if sweep.signal is not None:
        return 128 + sweep.signal
    return 0 if all(state is State.DONE for state in states.values()) else 1


def job_of(root: pathlib.Path, setting: str, task: str, variant: str):
    """One cell: a run of ``run.py`` with the setting's fields."""
    from rvdt_jax.sweep.execute import Job
    from rvdt_jax.sweep.grid import Cell, flags_of

    cell, fields = Cell(task, variant), search.SETTINGS[setting][1]
    workdir = root / setting / cell.name
    return Job(cell, workdir, tuple(flags_of(cell, search.CONFIGS[task], search.SEEDS, str(workdir), fields)))


def score(job) -> None:
    """Scores a run on a maze under the other ways to choose actions, unless that is done."""
    from rvdt_jax.algorithms.variants import get_variant
    from rvdt_jax.evaluation.score_run import load_scored, score_run
    from rvdt_jax.tasks import get_task

    task = get_task(job.cell.task)
    if task.name not in search.MAZES or any(job.workdir.glob("scores-*.json")):
        return
    ways = [("mean", (task.ref_max_return,))]
    if get_variant(job.cell.variant).q_guidance:
        ways += [("best_of", None), ("critic", tuple(dict.fromkeys((float(task.horizon), *task.targets))))]
    for selection, targets in ways:
        score_run(load_scored(job.workdir, selection=selection, targets=targets))


def _settings() -> list[str]:
    return _known("--settings", _SETTINGS.value, list(search.SETTINGS))


def _tasks() -> list[str]:
    return _known("--tasks", _TASKS.value, list(search.CONFIGS))


def _known(flag: str, wanted: list[str] | None, there: list[str]) -> list[str]:
    for name in wanted or ():
        if name not in there:
            hint = did_you_mean(name, there)
            raise UserError(f"{flag}: there is no {name!r}.{hint} Choose from {', '.join(there)}.")
    return wanted or there


INTRODUCTION = """# The search for the small settings

Made by `python experiments/tune.py --write` from the records in this folder; `python experiments/tune.py
--out=runs/tuning --jobs=2` runs what is missing. Normalised scores of the final checkpoint, mean +- std over the tuning
seeds, 100 episodes a seed, recreated data. No seed of a published table was used.
"""

if __name__ == "__main__":
    app.run(report_errors(main), flags_parser=parse_flags)
