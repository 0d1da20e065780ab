"""The demonstration: DT, QT and RVDT on maze2d-umaze, three seeds each, from nothing to a table and a picture.

    python experiments/demo.py [--workdir=runs/demo]

What is finished is not trained again, and what was interrupted goes on; delete the work directory to start afresh.
"""

import pathlib

from absl import app, flags

from launcher import keep_compiled_programs, parse_flags, report_errors

TASK, VARIANTS = "maze2d-umaze-v1", ("DT", "QT", "RVDT")
# D4RL's reference points, and what its controller reaches when it plans anew at every episode (144.3 +- 1.3 over 1000
# episodes: tests/envs/test_reference_returns.py).
REFERENCES = {"random": 0.0, "D4RL's controller": 100.0, "a controller that re-plans": 144.0}

_WORKDIR = flags.DEFINE_string("workdir", "runs/demo", "Where the runs go, one folder per variant.")


def main(argv: list[str]) -> int:
    """Trains what is not trained yet, then prints the table and draws the curves."""
    keep_compiled_programs()
    from reporting.comparison import compare

    folder = pathlib.Path(_WORKDIR.value)
    for variant in VARIANTS:
        signal = train(variant, folder / variant)
        if signal is not None:
            return 128 + signal
    print(compare([folder / variant for variant in VARIANTS], folder, references=REFERENCES))
    return 0


def train(variant: str, folder: pathlib.Path) -> int | None:
    """Trains one variant, unless it is finished; returns the signal that interrupted it."""
    from configs.maze2d import get_config

    from rvdt_jax.config.settings import resolve
    from rvdt_jax.runs.fit import run_config
    from rvdt_jax.runs.workdir import check_workdir

    settings = get_config("small")
    settings.task, settings.variant, settings.workdir = TASK, variant, str(folder)
    config = resolve(settings)
    started = (folder / "config.json").exists()
    check_workdir(folder, config, resume=started)
    if (folder / "results.json").exists():
        print(f"{folder}: finished earlier; delete it to train again.")
        return None
    return run_config(config, resume=started).signal


if __name__ == "__main__":
    app.run(report_errors(main), flags_parser=parse_flags)
