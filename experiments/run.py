"""Trains, evaluates and scores one variant on one task.

    python experiments/run.py --config=configs/maze2d.py --config.variant=RVDT --config.seeds=0,1,2

A relative path to a configuration that does not exist is tried relative to this folder; ``configs/maze2d.py:small`` is
its size for a CPU. Every field of the configuration is a flag, and ``--settings`` prints what they all mean.
What one update does is written in ``update`` of the variant's algorithm, a file of ``rvdt_jax/algorithms``:
``sequence.py`` for RVDT and its family, ``iql.py`` for IQL. ``run_config`` puts the data on the device, compiles many
updates into one call, and evaluates between calls.

Ctrl-C and SIGTERM save a checkpoint and exit with 128 + the signal's number; ``--resume`` goes on.

Several processes train one run together, on one machine or on many, when each is started with

    --coordinator=HOST:PORT --num_processes=N --process_id=I

and otherwise the same flags; HOST is the machine of process 0, which alone writes and scores. Under Slurm's ``srun``
and the ``mpirun`` of Open MPI 4 they find each other without these flags.
"""

from absl import app, flags

from launcher import config_flag, fail, keep_compiled_programs, only_warnings, parse_flags, report_errors

_CONFIG = config_flag()
_SETTINGS = flags.DEFINE_bool("settings", False, "Print the reference of all settings, and do nothing else.")
_WORKDIR = flags.DEFINE_string("workdir", None, "Run directory; the same as --config.workdir.")
_COORDINATOR = flags.DEFINE_string("coordinator", None, "HOST:PORT where process 0 of several can be reached.")
_NUM_PROCESSES = flags.DEFINE_integer("num_processes", None, "How many processes train this run together.")
_PROCESS_ID = flags.DEFINE_integer("process_id", None, "Which of them this is, from 0.")
_DISTRIBUTED = flags.DEFINE_bool(
    "distributed",
    None,
    "Train together with the other tasks of this job. Unset: where Slurm, Open MPI or GKE say that there are several; "
    "given: with whatever JAX detects, Kubernetes and Cloud TPU included; --nodistributed: alone.",
)
_RESUME = flags.DEFINE_bool(
    "resume",
    False,
    "Continue the run in the work directory. A larger --config.train.steps trains it longer; its learning rate still "
    "falls to 0 at the run's own train.lr_decay_steps, unless that is given too. How it is scored (--config.eval.*), "
    "train.log_every, checkpoint_every and keep_checkpoints may differ as well; what is left unset stays.",
)


def main(argv: list[str]) -> int:
    """Resolves the settings and runs them."""
    if _SETTINGS.value:
        from rvdt_jax.config.defaults import settings_page

        print(settings_page(), end="")
        return 0
    if _CONFIG.value is None:
        fail("--config is missing. Name a configuration file, for example --config=configs/maze2d.py:small.")
    keep_compiled_programs()
    from rvdt_jax.config.settings import left_open, resolve
    from rvdt_jax.report.results import check_scored, print_results
    from rvdt_jax.runs.fit import run_config
    from rvdt_jax.train import cluster

    settings = _CONFIG.value
    if _WORKDIR.value is not None:
        settings.workdir = _WORKDIR.value
    config = resolve(settings)
    index = cluster.start(_COORDINATOR.value, _NUM_PROCESSES.value, _PROCESS_ID.value, _DISTRIBUTED.value)
    if index > 0:
        only_warnings()
    run = run_config(config, resume=_RESUME.value, unset=left_open(settings))
    if run.signal is not None:
        return 128 + run.signal
    if index == 0:
        print_results([run.results], run.folder)
        check_scored(run.results, run.folder / "evaluations.jsonl")
    return 0


if __name__ == "__main__":
    app.run(report_errors(main), flags_parser=parse_flags)
