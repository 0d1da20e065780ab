"""One process at a time in a work directory, however the one before it ended."""

import json
import pathlib
import subprocess
import sys

import pytest

from rvdt_jax.runs import workdir
from rvdt_jax.runs.fit import run_config
from rvdt_jax.runs.workdir import LOCK, lock_workdir

ROOT = pathlib.Path(__file__).resolve().parents[2]
HOLDER = """
import pathlib, sys, time
from rvdt_jax.runs.workdir import lock_workdir
with lock_workdir(pathlib.Path(sys.argv[1])):
    print("locked", flush=True)
    time.sleep(100000)
"""


@pytest.fixture
def held(tmp_path):
    """A process that holds the lock of ``tmp_path``."""
    command = [sys.executable, "-c", HOLDER, str(tmp_path)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "locked\n"
    yield process
    process.kill()
    process.wait()


def test_a_second_process_is_refused_and_told_of_the_first(held, tmp_path):
    words = rf"process {held.pid} on \S+ has been training there for 0 minutes\. Wait for it, stop it, or choose"
    with pytest.raises(ValueError, match=words), lock_workdir(tmp_path):
        pass
    assert (tmp_path / LOCK).exists()


def test_a_killed_process_leaves_no_lock_behind(held, tmp_path):
    held.kill()
    held.wait()
    assert (tmp_path / LOCK).exists()  # the file, but nobody holds it
    with lock_workdir(tmp_path):
        assert json.loads((tmp_path / LOCK).read_text())["pid"] != held.pid
    assert list(tmp_path.iterdir()) == []


def test_where_nothing_can_be_locked_a_warning_says_so(tmp_path, monkeypatch, caplog):
    def fail(*_, **__):
        raise OSError(37, "No locks available")

    monkeypatch.setattr(workdir.FileLock, "acquire", fail)
    with lock_workdir(tmp_path):
        pass
    assert "cannot be locked" in caplog.text


@pytest.mark.parametrize("text", ["", "{", "{}", None])
def test_an_owner_that_has_only_begun_is_another_process(text, tmp_path):
    if text is not None:
        (tmp_path / LOCK).write_text(text)
    assert workdir._owner(tmp_path / LOCK) == "another process is training there"


def test_a_run_is_refused_where_another_process_trains(held, tmp_path, small_config, episodes):
    from rvdt_jax.data.cache import write_cache

    data = tmp_path.parent / f"{tmp_path.name}.npz"
    write_cache(data, episodes, {"dataset_id": "test/random"})
    config = small_config(workdir=str(tmp_path), data__source="file", data__path=str(data), variant="BC", env="none")
    with pytest.raises(ValueError, match="has been training there"):
        run_config(config, progress=False)
    assert [path.name for path in tmp_path.iterdir()] == [LOCK]
