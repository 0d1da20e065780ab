"""Two real processes over loopback: they train what one trains, write once, stop together, and go on together."""

import json
import os
import signal
import socket
import subprocess
import sys
import time

import numpy as np
import pytest
from agreement import assert_losses_equal, assert_params_equal
from compilation import ONE_DEVICE
from conftest import make_episodes
from launching import ROOT, TINY, flags_of

from rvdt_jax.acting.saved import load_run
from rvdt_jax.data.cache import write_cache
from rvdt_jax.report.provenance import describe_hardware
from rvdt_jax.report.records import read_lines

pytestmark = pytest.mark.slow

SETTINGS = TINY | {"train.log_every": 5, "ema.start": 2, "ema.every": 2, "eval.targets": "50,", "data.source": "file"}
FIFTY = {"train.steps": 50, "eval.every": 50}
DT = {"variant": "DT", "train.lr_decay_steps": 50, "train.checkpoint_every": 5, "env": "none"}
ENDLESS = DT | {"train.steps": 1_000_000, "eval.every": 1_000_000}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with data."""
    folder, episodes = tmp_path_factory.mktemp("processes"), make_episodes()
    write_cache(folder / "data.npz", episodes, {"dataset_id": "test/random", "content_digest": episodes.digest()})
    return folder


def start(place, run, settings, flags=(), count=2, each=((), ())):
    """Starts ``count`` processes of run.py; ``each`` has flags of the single ones."""
    command = [sys.executable, "experiments/run.py", "--config=configs/maze2d.py", f"--workdir={place / run}", *flags]
    command += flags_of(SETTINGS | settings | {"data.path": place / "data.npz"})
    if count == 1:
        return [popen(command)]
    command += [f"--coordinator=127.0.0.1:{free_port()}", f"--num_processes={count}"]
    return [popen([*command, f"--process_id={index}", *each[index]]) for index in range(count)]


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def popen(command):
    env = os.environ | ONE_DEVICE
    return subprocess.Popen(command, cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(started):
    """Exit status, stdout and stderr of each."""
    try:
        texts = [process.communicate(timeout=600) for process in started]
    finally:
        for process in started:
            process.kill()
    return [(process.returncode, *text) for process, text in zip(started, texts, strict=True)]


def wait_for(path, started):
    deadline = time.monotonic() + 600
    while not path.exists():
        assert time.monotonic() < deadline
        assert all(process.poll() is None for process in started)
        time.sleep(0.01)


def losses(run):
    lines = read_lines(run / "metrics.jsonl")
    assert [line["step"] for line in lines] == list(range(5, 55, 5))
    return {name: np.array([line[name] for line in lines]) for name in lines[0] if name not in ("step", "seed")}


def test_two_processes_stop_and_go_on_together_and_train_what_one_trains(place):
    started = start(place, "two", FIFTY)
    alone = start(place, "one", FIFTY, count=1)
    wait_for(place / "two" / "metrics.jsonl", started)
    started[1].send_signal(signal.SIGTERM)  # process 0 hears of it
    stopped = finish(started)
    assert [status for status, _, _ in stopped] == [128 + signal.SIGTERM] * 2, stopped
    assert "continue with --resume" in stopped[0][2]
    assert "--resume" not in stopped[1][2]
    (step,) = (int(folder.name) for folder in (place / "two" / "checkpoints").iterdir())
    assert step in range(5, 50, 5)

    finished = finish(start(place, "two", FIFTY, flags=["--resume"], each=((), ["--workdir=/dev/null/nowhere"])))
    assert [status for status, _, _ in finished] == [0, 0], finished
    assert "final checkpoint after 50 updates" in finished[0][1]
    # The other needs no work directory, and says nothing (the line is the network library's).
    assert not [line for line in finished[1][1].splitlines() if "[Gloo]" not in line]
    assert finished[1][2] == ""
    assert finish(alone)[0][0] == 0

    one, two = place / "one", place / "two"
    assert_losses_equal(losses(one), losses(two))
    assert_params_equal(load_run(one).params, load_run(two).params)
    results = json.loads((two / "results.json").read_text())
    assert results["hardware"] == describe_hardware("cpu", devices=2, processes=2)
    assert results["final"]["50.0"]["aggregate"]["episodes"] == 2
    assert {path.name for path in two.iterdir()} == {path.name for path in one.iterdir()}

    before = (two / "results.json").stat().st_mtime_ns
    for status, _, errors in finish(start(place, "two", FIFTY)):
        assert (status, errors.count("already holds a run")) == (2, 1)
        assert "Traceback" not in errors
    assert (two / "results.json").stat().st_mtime_ns == before


@pytest.mark.parametrize("victim", [0, 1])
def test_a_killed_process_ends_the_other(victim, place):
    run = place / f"killed-{victim}"
    started = start(place, run.name, ENDLESS)
    wait_for(run / "checkpoints" / "5", started)
    started[victim].kill()
    assert finish(started)[1 - victim][0] not in (None, 0)
    # Nothing is corrupt: the run goes on to its end.
    steps = read_lines(run / "metrics.jsonl")[-1]["step"] + 5
    ends = DT | {"train.steps": steps, "eval.every": steps}
    ended = finish(start(place, run.name, ends, flags=["--resume"], count=1))
    assert ended[0][0] == 0, ended


WAITING = """
import os, sys, time
import jax
import numpy as np
from rvdt_jax.train import cluster
from rvdt_jax.runs import processes
from rvdt_jax.train.parallel import from_process_0

index = int(sys.argv[2])
cluster.HEARTBEAT_SECONDS = cluster.SHUTDOWN_SECONDS = 5
cluster.start(sys.argv[1], 2, index)
sent = np.array([-0.0, 1.0, np.inf], np.float32) if index == 0 else np.zeros(3, np.float32)
tree = from_process_0({"key": jax.random.key(index), "array": sent})
assert jax.random.key_data(tree["key"]).tolist() == [0, 0]
assert np.signbit(tree["array"]).tolist() == [True, False, False]
with processes.Group() as group:
    assert group.lead(lambda: "from 0") == "from 0"
    if index == 1:
        {end}
    group.lead(lambda: time.sleep(100000))  # as an evaluation would
"""


@pytest.mark.parametrize("end", ["os.kill(os.getpid(), 9)", "raise KeyError('a bug')"])
def test_a_process_that_ends_alone_ends_one_that_does_not_talk_to_it(end):
    address = f"127.0.0.1:{free_port()}"
    started = [popen([sys.executable, "-c", WAITING.replace("{end}", end), address, str(index)]) for index in range(2)]
    (status, _, errors), (other, _, others) = finish(started)
    assert status not in (None, 0)
    assert other not in (None, 0)
    assert "AssertionError" not in errors + others


def test_processes_that_differ_are_refused(place):
    (status, _, errors), (other, _, others) = finish(start(place, "no", FIFTY, each=((), ["--config.loss.eta=2.0"])))
    assert (status, other) == (2, 2)
    for text in (errors, others):
        assert "error: process 1 differs from process 0: config.loss.eta is 2.0 there, " in text
    assert not (place / "no").exists()
