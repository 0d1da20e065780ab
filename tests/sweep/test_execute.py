"""Sweeps with a stand-in for run.py: finished cells are skipped, interrupted ones resumed, failures kept."""

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time

import pytest
from launching import ROOT

from rvdt_jax.report.cells import read_cells
from rvdt_jax.sweep.execute import Job, State, Sweep, failure_of
from rvdt_jax.sweep.grid import Cell

# What run.py does to a folder: config.json first, results.json last; a signal ends it with 128 + its number.
LAUNCHER = """
import json, os, pathlib, signal, sys, time
flags = dict(word.lstrip("-").partition("=")[::2] for word in sys.argv[1:])
folder = pathlib.Path(flags["workdir"])
begun = (folder / "config.json").exists()
if begun != ("resume" in flags):
    sys.exit("error: nothing to resume, or --resume is missing")
if flags.get("unready"):
    (folder.parent / "starts").write_text("unready\\n")
    time.sleep(float(flags["unready"]))
signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
folder.mkdir(parents=True, exist_ok=True)
(folder / "config.json").touch()
print("cores", len(os.sched_getaffinity(0)), "bars", os.environ.get("TQDM_DISABLE"), flush=True)
with (folder.parent / "starts").open("a") as file:
    file.write(folder.name + (" again" if begun else "") + "\\n")
if not (folder.parent / "quick").exists():
    time.sleep(float(flags.get("seconds", 0)))
if flags.get("fail") and not (folder.parent / "mended").exists():
    print("first\\nerror: it broke")
    sys.exit(2)
failed = {"aggregate": {"episodes": 2, "failed_episodes": 2}}
(folder / "results.json").write_text(json.dumps({"final": {"1.0": failed} if flags.get("unscored") else {}}))
sys.exit(2 if flags.get("unscored") else 0)
"""


@pytest.fixture
def make_sweep(tmp_path):
    launcher = tmp_path / "run.py"
    launcher.write_text(LAUNCHER)
    root = tmp_path / "out" / "task"

    def make(*flags, variants=("DT", "QT"), **options):
        workdirs = {variant: root / variant for variant in variants}
        jobs = [Job(Cell("task", name), path, (*flags, f"--workdir={path}")) for name, path in workdirs.items()]
        return Sweep(launcher, jobs, **options), jobs, root

    return make


def starts(root):
    path = root / "starts"
    return path.read_text().split("\n")[:-1] if path.exists() else []


def interrupt(root, runs, times=1):
    """Sends this process a signal, several times, once that many runs have started."""

    def wait():
        while len(starts(root)) < runs:
            time.sleep(0.02)
        for _ in range(times):
            os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=wait).start()


def test_cells_are_run_once_and_their_commands_are_kept(make_sweep):
    sweep, jobs, root = make_sweep()
    assert set(sweep.run().values()) == {State.DONE}
    assert jobs[0].beside(".command").read_text() == jobs[0].command + "\n"
    assert jobs[0].command == f"python experiments/run.py --workdir={root / 'DT'}"
    assert set(make_sweep()[0].run().values()) == {State.DONE}
    assert starts(root) == ["DT", "QT"]
    assert "bars 1" in jobs[0].beside(".log").read_text()


def test_a_failure_is_kept_reported_and_run_again_on_demand_only(make_sweep):
    sweep, jobs, root = make_sweep("--fail=1")
    assert set(sweep.run().values()) == {State.FAILED}
    assert failure_of(jobs[0]) == "error: it broke"
    assert read_cells([root.parent])["task", "DT", ""].failed == "the run ended with status 2"
    make_sweep("--fail=1")[0].run()
    assert starts(root) == ["DT", "QT"]
    (root / "mended").touch()
    assert set(make_sweep("--fail=1", retry=True)[0].run().values()) == {State.DONE}
    assert starts(root)[2:] == ["DT again", "QT again"]
    assert not list(root.glob("*.failed.json"))


def test_a_cell_of_which_every_final_episode_failed_is_not_done(make_sweep):
    sweep, jobs, root = make_sweep("--unscored=1", variants=("DT",))
    assert list(sweep.run().values()) == [State.FAILED]
    assert failure_of(jobs[0])
    again = make_sweep("--unscored=1", variants=("DT",), retry=True)[0]  # what is left to do is to score it
    assert list(again.run().values()) == [State.FAILED]
    assert starts(root) == ["DT"]


def test_a_cell_that_another_command_started_is_refused_before_anything_runs(make_sweep):
    make_sweep(variants=("QT",))[0].run()
    sweep, _, root = make_sweep("--config.loss.eta=2")
    (root / "QT" / "results.json").unlink()
    with pytest.raises(ValueError, match=r"QT: was started by another command .*Choose another --out"):
        sweep.run()
    assert starts(root) == ["QT"]


def test_two_at_a_time_share_the_cores_and_a_signal_stops_both_until_the_same_sweep_resumes(make_sweep):
    sweep, jobs, root = make_sweep("--seconds=30", at_once=2, variants=("DT", "QT", "RVDT"))
    interrupt(root, 2)  # the first does not end before the second begins
    assert list(sweep.run().values()) == [State.STARTED, State.STARTED, State.NEW]
    for job in jobs[:2]:
        assert f"cores {max(1, len(os.sched_getaffinity(0)) // 2)}" in job.beside(".log").read_text()
    assert sweep.signal == signal.SIGTERM
    assert not list(root.glob("*.failed.json"))
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    (root / "quick").touch()
    assert set(make_sweep("--seconds=30", variants=("DT", "QT", "RVDT"))[0].run().values()) == {State.DONE}
    assert starts(root)[2:] == ["DT again", "QT again", "RVDT"]


def test_a_run_that_is_stopped_before_it_could_save_anything_has_not_failed(make_sweep):
    """While it imports or loads data, run.py has no handler yet; a second signal must reach no run."""
    sweep, jobs, root = make_sweep("--unready=30", variants=("DT",))
    interrupt(root, 1, times=2)
    assert sweep.run() == {jobs[0].cell: State.NEW}
    assert not list(root.glob("*.failed.json"))


def test_after_a_kill_no_second_run_starts_while_the_first_one_lives(make_sweep, tmp_path):
    """The sweep is killed outright; its run lives on, and holds the cell until it ends."""
    sweep, jobs, root = make_sweep("--seconds=2", variants=("DT",))
    script = f"""
        import pathlib
        from rvdt_jax.sweep.execute import Job, Sweep
        from rvdt_jax.sweep.grid import Cell
        job = Job(Cell("task", "DT"), pathlib.Path({str(root / "DT")!r}), {jobs[0].flags!r})
        Sweep(pathlib.Path({str(tmp_path / "run.py")!r}), [job]).run()
    """
    killed = subprocess.Popen([sys.executable, "-c", textwrap.dedent(script)], cwd=ROOT)
    while not starts(root):
        time.sleep(0.02)
    killed.kill()
    killed.wait()
    assert sweep.run() == {jobs[0].cell: State.RUNNING}
    while jobs[0].state() is State.RUNNING:
        time.sleep(0.05)
    assert make_sweep("--seconds=2", variants=("DT",))[0].run() == {jobs[0].cell: State.DONE}
    assert starts(root) == ["DT"]
