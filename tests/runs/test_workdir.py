"""Work directories: their names, and one process at a time in each, however the one before it ended."""

import dataclasses
import json
import pathlib
import subprocess
import sys
from unittest import mock

import pytest
from conftest import train
from launching import ROOT
from settings_helpers import of_own_data

from rvdt_jax.runs import workdir
from rvdt_jax.runs.workdir import LOCK, default_workdir, lock_workdir


@pytest.mark.parametrize(
    ("task", "given", "folder"),
    [
        ("maze2d-umaze-v1", {}, "maze2d-umaze-v1"),
        ("pen-human-v1", {"minari_id": "D4RL/pen/human-v2"}, "pen-human-v1"),
        (None, {"minari_id": "mujoco/hopper/expert-v0"}, "mujoco/hopper/expert-v0"),
        (None, {"path": "../secret/my data.v2.npz"}, "my_data.v2"),
        (None, {"minari_id": "../../etc/x-v0"}, "etc/x-v0"),
        (None, {"minari_id": "/etc/x-v0"}, "etc/x-v0"),
        (None, {"minari_id": ".."}, ""),
        (None, {"minari_id": "a\nb\\c"}, "a_b_c"),
        (None, {"path": "/"}, "toy/walk-v1"),
    ],
)
def test_a_run_goes_under_the_name_of_its_task_or_else_of_its_data_and_never_out_of_the_folder(task, given, folder):
    """Episodes that are handed over may bear any name; see ``rvdt_jax.fit``."""
    config = of_own_data(variant="%BC")
    named = dataclasses.replace(config, task=task, data=dataclasses.replace(config.data, **given))
    assert default_workdir(named) == pathlib.Path("runs", folder, "percent-BC")


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
    process = subprocess.Popen([sys.executable, "-c", HOLDER, str(folder)], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout.readline() == "locked\n"
        words = rf"process {process.pid} on \S+ has been training there for \d+ minutes\. Wait for it"
        with pytest.raises(ValueError, match=words):
            train(make_run_config(variant="BC", env="none"))
        assert [path.name for path in folder.iterdir()] == [LOCK]
    finally:
        process.kill()
        process.wait()
    assert (folder / LOCK).exists()  # the file, but nobody holds it
    with lock_workdir(folder):
        assert json.loads((folder / LOCK).read_text())["pid"] != process.pid
    assert list(folder.iterdir()) == []


def test_where_nothing_can_be_locked_a_warning_says_so(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(workdir.FileLock, "acquire", mock.Mock(side_effect=OSError(37, "No locks available")))
    with lock_workdir(tmp_path):
        pass
    assert "cannot be locked" in caplog.text


@pytest.mark.parametrize("text", ["{", "{}", None])
def test_an_owner_that_has_only_begun_is_another_process(text, tmp_path):
    if text is not None:
        (tmp_path / LOCK).write_text(text)
    assert workdir._owner(tmp_path / LOCK) == "another process is training there"
