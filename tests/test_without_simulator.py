"""Training from the flat cache needs the base requirements of setup.py alone."""

import functools
import json
import os

import pytest
from launching import ROOT, TINY, flags_of, launch

from rvdt_jax.data.cache import write_cache
from rvdt_jax.errors import EXTRAS, UserError, optional_imports


@pytest.fixture
def run(tmp_path):
    """A function that runs a launcher where no extra is installed."""
    (tmp_path / "site").mkdir()
    blocker = f"import sys\nsys.modules.update(dict.fromkeys({list(EXTRAS)}))\n"  # as if they were not installed
    (tmp_path / "site" / "sitecustomize.py").write_text(blocker)
    path = os.pathsep.join([str(tmp_path / "site"), str(ROOT)])
    return functools.partial(launch, PYTHONPATH=path)


@pytest.mark.slow
def test_a_run_without_extras_trains_and_says_that_nothing_is_scored(run, tmp_path, episodes):
    write_cache(tmp_path / "data.npz", episodes, {"dataset_id": "test/random"})
    flags = flags_of(TINY | {"train.steps": 4, "data.source": "file", "data.path": tmp_path / "data.npz"})
    result = run("run.py", "--config=configs/maze2d.py", *flags, f"--workdir={tmp_path / 'run'}")
    assert result.returncode == 0, result.stderr
    assert "nothing will be scored: gymnasium is not installed: pip install 'rvdt-jax[envs]'" in result.stderr
    results = json.loads((tmp_path / "run" / "results.json").read_text())
    assert results["final"] == {}
    assert (tmp_path / "run" / "checkpoints" / "4").is_dir()


@pytest.mark.parametrize(
    ("script", "flags", "package"),
    [
        ("run.py", "--config=configs/maze2d.py --config.data.minari_id=toy/walk-v1", "minari"),
        *(("recreate.py", "--task=maze2d-umaze-v1", "gymnasium"), ("evaluate.py", "--workdir=nowhere", "gymnasium")),
        ("import_d4rl.py", "--task=pen-human-v1 --file=x.hdf5", "h5py"),
    ],
)
def test_a_missing_extra_is_one_sentence_with_the_command(run, script, flags, package):
    result = run(script, *flags.split())
    assert result.returncode == 2
    assert f"{package} is not installed: pip install 'rvdt-jax[{EXTRAS[package]}]'" in result.stderr
    assert "Traceback" not in result.stderr


def test_only_an_optional_package_that_is_absent_is_explained():
    words = r"Films: imageio is not installed: pip install 'rvdt-jax\[video\]'"
    with pytest.raises(UserError, match=words), optional_imports("Films"):
        raise ModuleNotFoundError("No module named 'imageio.v2'", name="imageio.v2")
    for error in (ModuleNotFoundError("No module named 'x'", name="x"), ImportError("it is broken", name="imageio")):
        with pytest.raises(type(error)), optional_imports("Films"):
            raise error
