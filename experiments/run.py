"""Trains, evaluates and scores one variant on one task.

    python experiments/run.py --config=configs/maze2d.py --config.variant=RVDT --config.seeds=0,1,2

A relative path to a configuration that does not exist is tried relative to this folder. Every field of the
configuration is a flag. Ctrl-C and SIGTERM save a checkpoint and exit with 128 + the signal's number; ``--resume``
goes on.
"""

from absl import app, flags

from launcher import config_flag, parse_flags, report_errors

_CONFIG = config_flag()
_WORKDIR = flags.DEFINE_string("workdir", None, "Run directory; the same as --config.workdir.")
_RESUME = flags.DEFINE_bool("resume", False, "Continue the run in the work directory.")


def main(argv: list[str]) -> int:
    """Resolves the settings and runs them."""
    from rvdt_jax.config import resolve
    from rvdt_jax.report.summary import print_results
    from rvdt_jax.runner import run_config

    settings = _CONFIG.value
    if _WORKDIR.value is not None:
        settings.workdir = _WORKDIR.value
    run = run_config(resolve(settings), resume=_RESUME.value)
    if run.signal is not None:
        return 128 + run.signal
    print_results([run.results], run.folder)
    return 0


if __name__ == "__main__":
    app.run(report_errors(main), flags_parser=parse_flags)
