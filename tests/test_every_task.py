"""Every task of the published tables runs from the command line: load, train, evaluate, score.

The public data cannot be had in a test; small sets made in the real environments stand in for them (``contract.py``).
"""

import json
import math
import os
import pathlib
import subprocess
import sys

import pytest
from contract import collect_minari, record_d4rl_file

from rvdt_jax.tasks import all_tasks

ROOT = pathlib.Path(__file__).resolve().parents[1]
TINY = (
    "train.steps=2",
    "train.batch_size=4",
    "train.log_every=2",
    "model.width=8",
    "model.layers=1",
    "model.heads=1",
    "model.context_length=3",
    "model.critic_width=8",
    "model.critic_layers=1",
    "eval.every=2",
    "eval.episodes=2",
    "eval.horizon=10",
    "eval.processes=1",
)


@pytest.fixture(scope="module")
def shared(tmp_path_factory) -> pathlib.Path:
    return tmp_path_factory.mktemp("every-task")


@pytest.fixture
def environment(shared, monkeypatch) -> dict[str, str]:
    """One Minari root and one compilation cache for all tasks; those of a family compile the same programs."""
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(shared / "minari"))
    cache = {"JAX_COMPILATION_CACHE_DIR": str(shared / "jax"), "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}
    return {name: value for name, value in os.environ.items() if name != "XLA_FLAGS"} | cache  # one device


def put_data_in_place(task, folder: pathlib.Path, environment: dict[str, str]):
    """The source that is served; through the importer's own command where only D4RL's file has the data."""
    source = task.source("remote") or task.source("recipe")
    if source is not None:
        collect_minari(source)
        return source
    source, file = task.source("import"), folder / task.file_url.rsplit("/", 1)[-1]
    record_d4rl_file(task, file)
    command = [sys.executable, "experiments/import_d4rl.py", f"--task={task.name}", f"--file={file}"]
    subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True)
    return source


@pytest.mark.parametrize("name", all_tasks())
def test_a_task_runs_from_its_configuration(name, environment, tmp_path):
    task = all_tasks()[name]
    source = put_data_in_place(task, tmp_path, environment)
    command = [sys.executable, "experiments/run.py", f"--config=configs/{task.family}.py", f"--config.task={name}"]
    command += [f"--config.{setting}" for setting in TINY] + [f"--workdir={tmp_path / 'run'}"]
    command += [f"--config.eval.targets={task.targets[0]},"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr

    results = json.loads((tmp_path / "run" / "results.json").read_text())
    assert results["task"] == name
    assert results["provenance"]["dataset_id"] == source.dataset_id
    assert results["environment"] == source.env_id or source.env_id is None
    cell = results["final"][str(task.targets[0])]["aggregate"]
    assert cell["episodes"] == 2
    expected = 100 * (cell["return"] - task.ref_min_return) / (task.ref_max_return - task.ref_min_return)
    assert math.isclose(cell["normalized_score"], expected)
    assert ("success_rate" in cell) == (task.family in ("antmaze", "adroit"))
    assert ("tasks_completed" in cell) == (task.family == "kitchen")
    assert name in done.stdout
    assert "Traceback" not in done.stderr
