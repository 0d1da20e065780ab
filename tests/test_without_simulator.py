"""Training needs neither simulator nor picture: only jax, flax, optax, orbax, chex and NumPy, and the flat cache."""

import json
import os
import pathlib
import subprocess
import sys

from rvdt_jax.data.cache import write_cache

ROOT = pathlib.Path(__file__).resolve().parents[1]
# Makes the packages look as if they were not installed.
BLOCKER = """
import sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("gymnasium", "minari", "mujoco", "matplotlib", "tensorboardX"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name.split(".")[0])

sys.meta_path.insert(0, Blocker())
"""


def test_a_run_without_them_trains_and_says_that_nothing_is_scored(tmp_path, episodes):
    write_cache(tmp_path / "data.npz", episodes, {"dataset_id": "test/random"})
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(BLOCKER)
    settings = (
        "data.source=file",
        f"data.path={tmp_path / 'data.npz'}",
        "train.steps=4",
        "train.batch_size=8",
        "train.log_every=2",
        "model.width=8",
        "model.layers=1",
        "model.context_length=4",
        "eval.every=2",
    )
    command = [sys.executable, str(ROOT / "experiments" / "run.py"), "--config=configs/maze2d.py"]
    command += [f"--config.{setting}" for setting in settings] + [f"--workdir={tmp_path / 'run'}"]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path / "site"), str(ROOT)])}
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert "nothing will be scored: gymnasium is not installed" in result.stderr
    results = json.loads((tmp_path / "run" / "results.json").read_text())
    assert results["final"] == {}
    assert (tmp_path / "run" / "checkpoints" / "4").is_dir()
