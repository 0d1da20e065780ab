"""Scoring a saved run again, and filming it: from Python and from the command line."""

import dataclasses
import json
import shutil
import subprocess
import sys

import pytest
from conftest import snapshot
from launching import ROOT

from rvdt_jax.evaluation.score_run import load_scored
from rvdt_jax.evaluation.score_run import score_run as score_loaded
from rvdt_jax.evaluation.video import check_video, record_video


@pytest.fixture(scope="module")
def finished(train_run):
    """A finished run on two seeds and two targets."""
    return train_run(seeds=(0, 3), eval__targets=(50.0, 20.0))


@pytest.fixture
def run(finished, tmp_path):
    """A copy of it, for a test to write into."""
    shutil.copytree(finished.folder, tmp_path / "run")
    return dataclasses.replace(finished, folder=tmp_path / "run")


def score_run(folder, episodes=None, **options):
    return score_loaded(load_scored(folder, **options), episodes=episodes)


def test_a_run_is_scored_as_it_was_and_nothing_is_replaced(run):
    before = snapshot(run.folder)
    scores, path = score_run(run.folder)
    assert scores["final"] == run.results["final"] == json.loads(path.read_text())["final"]
    assert scores["provenance"]["recreated"] is True
    again, _ = score_run(run.folder)
    assert again["evaluations"] == scores["evaluations"]
    after = snapshot(run.folder)
    assert before.items() <= after.items()
    assert set(after) - set(before) == {"scores-6.json", "scores-6-2.json"}


def test_other_episodes_targets_and_checkpoints(run):
    scores, path = score_run(run.folder, step=4, episodes=3, targets=(7.0,))
    assert (path.name, scores["steps"], list(scores["final"])) == ("scores-4.json", 4, ["7.0"])
    assert [len(record["returns"]) for record in scores["evaluations"]] == [3, 3]


def test_a_run_without_an_environment_is_scored_in_one_that_is_named(train_run):
    run = train_run(task=None, env="none", policy__return_scale=10.0, loss__reward_scale=1.0)
    with pytest.raises(ValueError, match=r"was trained on data that name no environment.* Name one with --env=ID"):
        load_scored(run.folder)
    scores, _ = score_run(run.folder, env="rvdt/maze2d-umaze-v1", horizon=7)
    assert scores["environment"] == "rvdt/maze2d-umaze-v1"
    assert scores["evaluations"][0]["lengths"] == [7, 7]
    cell = scores["final"]["50.0"]["aggregate"]
    assert (cell["episodes"], cell["normalized_score"]) == (2, None)  # the raw return alone
    with pytest.raises(ValueError, match=r"--env=Pendulum-v1: .* have sizes \(3, 1\), .*\(4, 2\)"):
        load_scored(run.folder, env="Pendulum-v1")
    with pytest.raises(ValueError, match="no environment 'Nowhere-v0' can be made"):
        load_scored(run.folder, env="Nowhere-v0")


@pytest.mark.parametrize(
    ("message", "arguments"),
    [
        ("no checkpoint of update 5; there are those of", {"step": 5}),
        ("--episodes=0", {"episodes": 0}),
        (r"--targets is \(\)", {"targets": ()}),
        ("--targets is .*nan", {"targets": (float("nan"),)}),
    ],
)
def test_bad_values_are_named_and_leave_nothing(finished, message, arguments):
    before = snapshot(finished.folder)
    with pytest.raises(ValueError, match=message):
        score_run(finished.folder, **arguments)
    assert snapshot(finished.folder) == before


def test_targets_for_a_policy_that_sees_none_are_refused(train_run):
    with pytest.raises(ValueError, match="BC sees no target return"):
        score_run(train_run(variant="BC").folder, targets=(5.0,))


def test_what_was_trained_without_scores_is_scored_elsewhere(train_run):
    run = train_run(env="none")
    assert (run.results["final"], run.results["environment"]) == ({}, None)
    scores, _ = score_run(run.folder, episodes=1)
    assert scores["environment"] == "rvdt/maze2d-umaze-v1"
    longer = load_scored(run.folder, env="rvdt/maze2d-medium-v1")  # its own episodes have 600 steps
    assert longer.scoring.environment.horizon == 300
    assert scores["final"]["50.0"]["aggregate"]["episodes"] == 1


def test_a_video_shows_the_whole_episode(run, tmp_path):
    imageio = pytest.importorskip("imageio.v3")
    record_video(load_scored(run.folder, step=6, targets=(50.0,)), tmp_path / "out.gif")
    frames = imageio.imread(tmp_path / "out.gif")
    assert frames.shape[1:] == (240, 240, 3)
    assert (frames[0] != frames[-1]).any()
    assert imageio.immeta(tmp_path / "out.gif")["duration"] == 20  # ms: the environment's 50 frames a second
    assert sorted(path.name for path in tmp_path.glob("*out*")) == ["out.gif"]


def test_a_video_that_cannot_be_written_is_refused_at_once(run, tmp_path):
    (tmp_path / "there.gif").write_text("mine")
    loaded = load_scored(run.folder)
    refusals = {"there.gif": "exists", "nowhere/out.mp4": "is no folder", "out.avi": r"ends in \.mp4 or \.gif"}
    for name, message in refusals.items():
        with pytest.raises(ValueError, match=message):
            check_video(loaded, tmp_path / name)
    assert (tmp_path / "there.gif").read_text() == "mine"


def test_the_command_prints_scores_and_films_with_one_load_of_the_checkpoint(run, tmp_path):
    pytest.importorskip("imageio_ffmpeg")
    code = (
        "import atexit, sys, runpy, rvdt_jax.evaluation.score_run as scoring\nload, loads = scoring.load_run, []\n"
        "def counted(*arguments, **options):\n    loads.append(arguments)\n    return load(*arguments, **options)\n"
        "scoring.load_run = counted\natexit.register(lambda: print('loads:', len(loads)))\n"
        "sys.path.insert(0, 'experiments')\nrunpy.run_path('experiments/evaluate.py', run_name='__main__')"
    )
    flags = f"--workdir={run.folder}", "--episodes=2", "--targets=50,5", f"--video={tmp_path / 'out.mp4'}"
    done = subprocess.run([sys.executable, "-c", code, *flags], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "loads: 1\n" in done.stdout
    assert "recreated data, not D4RL's files" in done.stdout
    assert (tmp_path / "out.mp4").stat().st_size > 1000
    assert (run.folder / "scores-6.json").exists()
