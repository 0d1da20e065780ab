"""Every task runs from the command line, on small data sets made in the real environments; see ``contract.py``."""

import json
import math
import runpy

import pytest
from compilation import ONE_DEVICE
from conftest import train
from contract import collect_minari
from launching import ROOT, TINY, flags_of, launch

from rvdt_jax.config.settings import resolve
from rvdt_jax.report.results import print_results
from rvdt_jax.tasks import all_tasks

pytestmark = pytest.mark.slow

SMALL = TINY | {"train.steps": 2, "train.batch_size": 4, "model.heads": 1, "model.context_length": 3}
SMALL |= {"eval.horizon": 10, "eval.processes": 1, "parallel.devices": 1}
# What tasks of one family differ in is their data and settings, not their commands; a process takes long to begin.
FIRST = {task.family: name for name, task in reversed(all_tasks().items())}


@pytest.fixture
def environment(tmp_path_factory, monkeypatch) -> dict[str, str]:
    """One Minari root and one compilation cache for all tasks; those of a family compile the same programs."""
    shared = tmp_path_factory.getbasetemp()
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(shared / "minari"))
    cache = {"JAX_COMPILATION_CACHE_DIR": str(shared / "jax"), "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}
    return ONE_DEVICE | cache


@pytest.mark.parametrize("name", all_tasks())
def test_a_task_runs_from_its_configuration(name, environment, tmp_path, capsys):
    task = all_tasks()[name]
    source = task.source("remote") or task.source("recipe")
    collect_minari(source)
    settings = SMALL | {"task": name, "eval.targets": task.targets[:1]}
    if FIRST[task.family] == name:
        flags = flags_of(settings | {"workdir": tmp_path / "run"})
        done = launch("run.py", f"--config=configs/{task.family}.py", *flags, **environment)
        assert done.returncode == 0, done.stderr
        assert "Traceback" not in done.stderr
        said = done.stdout
    else:
        config = runpy.run_path(str(ROOT / "experiments" / "configs" / f"{task.family}.py"))["get_config"]()
        config.update_from_flattened_dict(settings | {"workdir": str(tmp_path / "run")})
        run = train(resolve(config))
        print_results([run.results], run.folder)
        said = capsys.readouterr().out

    results = json.loads((tmp_path / "run" / "results.json").read_text())
    assert (results["task"], results["provenance"]["dataset_id"]) == (name, source.dataset_id)
    assert results["environment"] == source.env_id or source.env_id is None
    cell = results["final"][str(task.targets[0])]["aggregate"]
    assert cell["episodes"] == 2
    expected = 100 * (cell["return"] - task.ref_min_return) / (task.ref_max_return - task.ref_min_return)
    assert math.isclose(cell["normalized_score"], expected)
    assert ("success_rate" in cell) == (task.family in ("antmaze", "adroit"))
    assert ("tasks_completed" in cell) == (task.family == "kitchen")
    assert name in said
