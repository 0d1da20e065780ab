"""Launchers in processes of their own, and the settings of the smallest runs."""

import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
TINY = {"train.steps": 6, "train.batch_size": 8, "train.log_every": 2}
TINY |= {"model.width": 8, "model.layers": 1, "model.heads": 2, "model.context_length": 4}
TINY |= {"model.critic_width": 8, "model.critic_layers": 1}
TINY |= {"eval.every": 2, "eval.episodes": 2, "eval.curve_episodes": 1}


def flags_of(settings: dict) -> list[str]:
    return [f"--config.{name}={value}" for name, value in settings.items()]


def launch(script, *flags, cwd=ROOT, **environment) -> subprocess.CompletedProcess:
    """Runs a launcher of ``experiments`` to its end, with these variables besides those of the tests."""
    return python(ROOT / "experiments" / script, *flags, cwd=cwd, **environment)


def python(*arguments, cwd=ROOT / "experiments", **environment) -> subprocess.CompletedProcess:
    """Runs Python to its end, where the launchers stand."""
    command = [sys.executable, *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, env=os.environ | environment, capture_output=True, text=True, check=False)
