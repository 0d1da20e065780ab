"""Runs a table: every cell is one ordinary start of ``run.py``; what is done is skipped, what was cut short goes on.

    python experiments/sweep.py --table=maze2d-reward --config=configs/maze2d.py:small --out=runs/maze2d --seeds=0,1,2

Of the table's cells ``--tasks``, ``--variants`` and ``--regimes`` choose some, ``--set=loss.eta=3`` sets further fields
of all of them, ``--jobs`` says how many run at a time. Ctrl-C and SIGTERM have every run save a checkpoint; the same
command goes on. A cell that ended with an error is reported, and run again with ``--retry``.

Low-data cells are a run for each seed, with a subset of the data drawn by that seed.

``--print`` runs nothing and writes the commands of all cells, finished ones too, one a line; ``--slurm=FILE`` writes an
array job for Slurm, whose tasks leave finished cells alone and go on with interrupted ones.
"""

import importlib.util
import pathlib

from absl import app, flags

from launcher import command, parse_flags, report_errors, split_size
from rvdt_jax.errors import UserError, did_you_mean

_TABLE = flags.DEFINE_string("table", None, "The table whose cells are run.", required=True)
_FILE = flags.DEFINE_string("config", None, "Configuration file of every run.", required=True)
_OUT = flags.DEFINE_string("out", None, "Folder of the run directories; unset: runs/<table>.")
_SEEDS = flags.DEFINE_list("seeds", "0,1,2", "Seeds of every cell.")
_TASKS = flags.DEFINE_list("tasks", None, "Run only these tasks of the table; unset: all.")
_VARIANTS = flags.DEFINE_list("variants", None, "Run these variants; unset: the table's.")
_REGIMES = flags.DEFINE_list("regimes", None, "Run only these low-data regimes; unset: all.")
_SET = flags.DEFINE_multi_string("set", [], "FIELD=VALUE of the configuration, for every cell; may be repeated.")
_JOBS = flags.DEFINE_integer("jobs", None, "Runs at a time, each on its share of the cores; unset: one.", lower_bound=1)
_RETRY = flags.DEFINE_bool("retry", False, "Run the cells that failed again.")
_KEEP = flags.DEFINE_string("keep", None, "Copy the records of finished cells, without checkpoints, to this folder.")
_PRINT = flags.DEFINE_bool("print", False, "Print the commands, one a line, and run nothing.")
_SLURM = flags.DEFINE_string("slurm", None, "Write an array job for sbatch into this file, and run nothing.")
_SBATCH = flags.DEFINE_multi_string("sbatch", [], "An option of that job, such as --sbatch=--gres=gpu:1.")


def main(argv: list[str]) -> int:
    """Lays the grid out, then runs it or writes it down."""
    from rvdt_jax.sweep.execute import Job, State, Sweep, failure_of
    from rvdt_jax.sweep.grid import cells_of_table, flags_of, slurm_script
    from rvdt_jax.sweep.keep import keep_records

    root, settings, overrides = pathlib.Path(_OUT.value or f"runs/{_TABLE.value}"), _settings(), _overrides()
    seeds, jobs = _seeds(), []
    for cell in cells_of_table(_TABLE.value, _TASKS.value, _VARIANTS.value, _REGIMES.value, seeds):
        workdir = root / cell.name
        own = overrides(cell.task, cell.variant) | settings
        jobs.append(Job(cell, workdir, tuple(flags_of(cell, _config_name(), seeds, str(workdir), own))))
    commands = [job.command.replace(command("run", installed=False), command("run"), 1) for job in jobs]
    launcher = pathlib.Path(__file__).resolve().parent / "run.py"
    sweep = Sweep(launcher, jobs, at_once=_JOBS.value or 1, retry=_RETRY.value)
    if _SLURM.value:
        sweep.check_commands()
        workdirs = [str(job.workdir) for job in jobs]
        script = slurm_script(commands, workdirs, at_once=_JOBS.value, options=tuple(_SBATCH.value))
        path = pathlib.Path(_SLURM.value)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(script, encoding="utf-8")
        print(f"{len(jobs)} cells: sbatch {_SLURM.value}")
        return 0
    if _PRINT.value:
        print("\n".join(commands))
        return 0
    states = sweep.run()
    for job in jobs:
        failed = states[job.cell] is State.FAILED
        print(f"{job.cell.name}: {states[job.cell].value}" + (f": {failure_of(job)}" if failed else ""))
    if _KEEP.value:
        new = keep_records(root, jobs, pathlib.Path(_KEEP.value))
        print(f"{new} new records: {_KEEP.value}")
    if sweep.signal is not None:
        return 128 + sweep.signal
    return 0 if all(state is State.DONE for state in states.values()) else 1


def _settings() -> dict[str, str]:
    from rvdt_jax.config.fields import FIELDS

    fields = {}
    for word in _SET.value:
        name, equals, value = word.removeprefix("config.").partition("=")
        if not equals:
            raise UserError(f"--set={word}: write FIELD=VALUE, for example --set=loss.eta=3.")
        if name not in FIELDS:
            raise UserError(f"--set={word}: there is no field config.{name}.{did_you_mean(name, FIELDS)}")
        fields[name] = value
    return fields


def _seeds() -> tuple[int, ...]:
    from rvdt_jax.config.checks import check_seeds

    try:
        seeds = tuple(int(seed) for seed in _SEEDS.value)
    except ValueError:
        raise UserError(f"--seeds={','.join(_SEEDS.value)}: give whole numbers, separated by commas.") from None
    return check_seeds(seeds)


def _config_name() -> str:
    """The configuration as it is named on a command line, wherever this folder lies."""
    (path, size), here = split_size(_FILE.value), pathlib.Path(__file__).resolve().parent
    path = path.resolve()
    name = path.relative_to(here) if here in path.parents else split_size(_FILE.value)[0]
    return f"{name}:{size}" if size else str(name)


def _overrides():
    """The configuration file's ``overrides(task, variant)``: fields that not every variant has; {} if it has none.

    The file is read and its size checked here, so that a mistake is found before the first cell runs.
    """
    from rvdt_jax.config.settings import resolve

    path, size = split_size(_FILE.value)
    spec = importlib.util.spec_from_file_location("sweep_config", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    if size:
        resolve(module.get_config(size))
    return getattr(module, "overrides", lambda task, variant: {})


if __name__ == "__main__":
    app.run(report_errors(main), flags_parser=parse_flags)
