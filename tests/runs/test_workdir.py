"""Work directories: their names, and one process at a time in each, however the one before it ended."""

import dataclasses
import json
import pathlib
import subprocess
import sys

import pytest
from launching import ROOT
from settings_helpers import of_own_data, resolved

from rvdt_jax.runs import workdir
from rvdt_jax.runs.fit import run_config
from rvdt_jax.runs.workdir import LOCK, default_workdir, lock_workdir


@pytest.mark.parametrize(
    ("overrides", "folder"),
    [
        ({"task": "maze2d-umaze-v1", "variant": "%BC"}, "runs/maze2d-umaze-v1/percent-BC"),
        ({"task": "pen-human-v1", "data.minari_id": "D4RL/pen/human-v2"}, "runs/pen-human-v1/RVDT"),
        ({"task": None, "data.minari_id": "mujoco/hopper/expert-v0"}, "runs/mujoco/hopper/expert-v0/RVDT"),
        ({"task": None, "data.source": "file", "data.path": "../secret/my data.v2.npz"}, "runs/my_data.v2/RVDT"),
    ],
)
def test_a_run_goes_under_the_name_of_its_task_or_else_of_its_data(overrides, folder):
    assert default_workdir(resolved(overrides)) == pathlib.Path(folder)


@pytest.mark.parametrize(
    ("given", "folder"),
    [
        ({"minari_id": "../../etc/x-v0"}, "runs/etc/x-v0/DT"),
        ({"minari_id": "/etc/x-v0"}, "runs/etc/x-v0/DT"),
        ({"minari_id": "a/./b/../c"}, "runs/a/b/c/DT"),
        ({"minari_id": "my data, part 2"}, "runs/my_data_part_2/DT"),
        ({"minari_id": ".."}, "runs/DT"),
        ({"minari_id": "a\nb\\c"}, "runs/a_b_c/DT"),
        ({"path": "/"}, "runs/toy/walk-v1/DT"),
        ({"path": ".."}, "runs/DT"),
    ],
)
def test_no_name_of_data_leads_out_of_the_folder_of_runs(given, folder):
    """Episodes that are handed over may bear any name; see ``rvdt_jax.fit``."""
    config = of_own_data(variant="DT")
    named = dataclasses.replace(config, data=dataclasses.replace(config.data, **given))
    assert default_workdir(named) == pathlib.Path(folder)


HOLDER = """
import pathlib, sys, time
from rvdt_jax.runs.workdir import lock_workdir
with lock_workdir(pathlib.Path(sys.argv[1])):
    print("locked", flush=True)
    time.sleep(100000)
"""


def test_a_second_process_is_refused_until_the_first_is_gone(make_run_config, tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    command = [sys.executable, "-c", HOLDER, str(folder)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout.readline() == "locked\n"
        words = rf"process {process.pid} on \S+ has been training there for 0 minutes\. Wait for it, stop it, or choose"
        with pytest.raises(ValueError, match=words):
            run_config(make_run_config(variant="BC", env="none"), progress=False)
        assert [path.name for path in folder.iterdir()] == [LOCK]
    finally:
        process.kill()
        process.wait()
    assert (folder / LOCK).exists()  # the file, but nobody holds it
    with lock_workdir(folder):
        assert json.loads((folder / LOCK).read_text())["pid"] != process.pid
    assert list(folder.iterdir()) == []


def test_where_nothing_can_be_locked_a_warning_says_so(tmp_path, monkeypatch, caplog):
    def fail(*_, **__):
        raise OSError(37, "No locks available")

    monkeypatch.setattr(workdir.FileLock, "acquire", fail)
    with lock_workdir(tmp_path):
        pass
    assert "cannot be locked" in caplog.text


@pytest.mark.parametrize("text", ["{", "{}", None])
def test_an_owner_that_has_only_begun_is_another_process(text, tmp_path):
    if text is not None:
        (tmp_path / LOCK).write_text(text)
    assert workdir._owner(tmp_path / LOCK) == "another process is training there"
