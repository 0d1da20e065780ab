"""Runs from settings to scores, in one process: what they write, that they repeat, resume, and refuse."""

import dataclasses
import json
import os
import pathlib
import signal
import subprocess
import sys

import gymnasium
import numpy as np
import pytest
from compilation import ONE_DEVICE
from conftest import SMALL, interrupted, snapshot
from faults.harness import last_checkpoint

import rvdt_jax
from rvdt_jax.acting.policy import load_run
from rvdt_jax.config.serialization import from_json
from rvdt_jax.data.cache import write_cache
from rvdt_jax.data.episodes import Episodes, draw_episodes, keep_episodes
from rvdt_jax.data.rebalance import select_experts
from rvdt_jax.report.results import data_label
from rvdt_jax.runs import training as training_run
from rvdt_jax.runs.fit import fit, run_config
from rvdt_jax.runs.hooks import Session
from rvdt_jax.runs.preparation import prepare
from rvdt_jax.runs.processes import Group
from rvdt_jax.tasks import get_task

RECORDS = ("metrics.jsonl", "evaluations.jsonl")


def test_a_share_of_the_data_is_trained_on_and_said_to_be_one(make_run_config, episodes, caplog):
    run = run_config(make_run_config(data__fraction=0.2, variant="BC"), progress=False)
    share = run.results["provenance"]["subset"]
    assert share == {"regime": None, "fraction": 0.2, "seed": 0, "episodes": 6, "of": 30}
    kept = keep_episodes(episodes, draw_episodes(30, 0.2, 0))
    assert run.results["provenance"]["content_digest"] == kept.digest() != episodes.digest()
    assert "of 6 trajectories are expert" in run.results["provenance"]["expert_set"]
    assert "test/random with 6 of 30 trajectories: recreated" in data_label(run.results["provenance"])
    with pytest.raises(ValueError, match=r"data\.fraction"):
        run_config(make_run_config(data__fraction=0.3, variant="BC"), resume=True, progress=False)


def test_the_experts_are_those_that_the_settings_name(make_run_config, episodes):
    for by, starts in (("start", episodes.normalized_starts()), ("return", None)):
        config = make_run_config(expert__by=by, expert__fraction=0.3, env="none")
        provenance = {"dataset_id": "test/random", "source": "memory", "observation_keys": []}
        with Group() as group:
            data = prepare(config, episodes, provenance, pathlib.Path(config.workdir), group, resume=False)
        expected = select_experts(episodes.returns, episodes.lengths, starts=starts, fraction=0.3)
        np.testing.assert_array_equal(data.experts.mask, expected.mask)
        assert data.experts.by == by
        assert data.provenance["expert_set"] == expected.describe()


def test_a_run_directory_holds_what_it_promises(make_run_config):
    config = make_run_config(seeds=(3, 5), eval__targets=(50.0, 100.0))
    run = run_config(config, progress=False)
    names = {path.name for path in run.folder.iterdir()}
    assert names == {
        "config.json",
        "metrics.jsonl",
        "timing.jsonl",
        "evaluations.jsonl",
        "checkpoints",
        "results.json",
        "learning_curve.png",
        "tensorboard",
    }
    assert from_json(json.loads((run.folder / "config.json").read_text())) == config

    metrics = [json.loads(line) for line in (run.folder / "metrics.jsonl").open()]
    assert [(line["step"], line["seed"]) for line in metrics] == [(s, seed) for s in (2, 4, 6) for seed in (3, 5)]
    assert all(np.isfinite(list(line.values())).all() for line in metrics)
    assert "subset" not in run.results["provenance"]
    assert not any("second" in name or "time" in name for line in metrics for name in line)
    timing = [json.loads(line) for line in (run.folder / "timing.jsonl").open()]
    assert [line["step"] for line in timing] == [2, 4, 6]
    assert ["compile_seconds" in line for line in timing] == [True, False, False]
    assert all(line["updates_per_second"] == pytest.approx(2 / line["seconds"]) for line in timing)

    evaluations = [json.loads(line) for line in (run.folder / "evaluations.jsonl").open()]
    keys = [(line["step"], line["seed"], line["target"]) for line in evaluations]
    assert keys == [(s, seed, target) for s in (2, 4, 6) for seed in (3, 5) for target in (50.0, 100.0)]
    assert all(len(line["returns"]) == len(line["lengths"]) == (2 if line["final"] else 1) for line in evaluations)
    assert all(line["final"] == (line["step"] == 6) for line in evaluations)

    results = json.loads((run.folder / "results.json").read_text())
    assert results == run.results
    task = get_task("maze2d-umaze-v1")
    for table in ("final", "best"):
        for target in ("50.0", "100.0"):
            entry = results[table][target]
            assert set(entry["seeds"]) == {"3", "5"}
            for cell in [*entry["seeds"].values(), entry["aggregate"]]:
                assert cell["normalized_score"] == pytest.approx(task.normalized_score(cell["return"]))
    raw = [np.mean(line["returns"]) for line in evaluations if line["final"] and line["target"] == 50.0]
    assert results["final"]["50.0"]["aggregate"]["return"] == pytest.approx(np.mean(raw))
    assert results["final"]["50.0"]["aggregate"]["episodes"] == 4
    assert results["provenance"]["recreated"] is True
    assert "trajectories are expert" in results["provenance"]["expert_set"]


def test_equal_runs_write_equal_bytes(make_run_config):
    folders = [run_config(make_run_config(name), progress=False).folder for name in ("first", "second")]
    for name in RECORDS:
        assert folders[0].joinpath(name).read_bytes() == folders[1].joinpath(name).read_bytes()
    for left, right in zip(*map(last_checkpoint, folders), strict=True):
        np.testing.assert_array_equal(left, right)


def test_another_seed_writes_other_bytes(make_run_config):
    folders = [run_config(make_run_config(str(seed), seeds=(seed,)), progress=False).folder for seed in (0, 1)]
    losses = [json.loads(folder.joinpath("metrics.jsonl").open().readline())["policy/nll"] for folder in folders]
    assert losses[0] != losses[1]


@pytest.mark.parametrize("when", ["training", "saving", "evaluation"])
def test_interrupted_and_resumed_equals_uninterrupted(when, make_run_config, monkeypatch):
    whole = run_config(make_run_config("whole"), progress=False)
    config = make_run_config("interrupted")
    method = {"training": "log", "saving": "save", "evaluation": "evaluate"}[when]
    original = getattr(Session, method)

    def interrupt(self, step, value):
        if step == 4 and when == "evaluation":
            monkeypatch.setattr(
                self._evaluator, "_make_env", lambda episodes: signal.raise_signal(signal.SIGTERM), raising=True
            )
        original(self, step, value)
        if step == 4:
            signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(Session, method, interrupt)
    stopped = run_config(config, progress=False)
    assert stopped.signal == signal.SIGTERM
    assert stopped.results == {}
    assert not (stopped.folder / "results.json").exists()
    evaluated = {json.loads(line)["step"] for line in (stopped.folder / "evaluations.jsonl").open()}
    assert evaluated == {2}
    assert max(int(path.name) for path in (stopped.folder / "checkpoints").iterdir()) == 4
    monkeypatch.undo()

    resumed = run_config(config, resume=True, progress=False)
    assert resumed.signal is None
    for name in RECORDS:
        assert resumed.folder.joinpath(name).read_bytes() == whole.folder.joinpath(name).read_bytes()
    assert resumed.results["final"] == whole.results["final"]
    for left, right in zip(last_checkpoint(whole.folder), last_checkpoint(resumed.folder), strict=True):
        np.testing.assert_array_equal(left, right)


def test_checkpoints_may_be_rarer_than_evaluations(make_run_config, monkeypatch):
    """But for the one whose evaluation is best: that is written, and kept."""
    worths = {2: 1.0, 4: 9.0, 6: 1.0, 8: 2.0, 10: 3.0, 12: 4.0}
    scored(monkeypatch, worths)
    config = make_run_config(train__steps=12, train__checkpoint_every=10, train__keep_checkpoints=9)
    run = run_config(config, progress=False)
    evaluated = [json.loads(line)["step"] for line in (run.folder / "evaluations.jsonl").open()]
    assert evaluated == list(worths)
    steps = sorted(int(path.name) for path in (run.folder / "checkpoints").iterdir())
    assert steps == [2, 4, 10, 12]  # 2 was the best until 4 was
    assert load_run(run.folder, step="best").step == 4


def test_rare_checkpoints_resume_to_the_same_end(make_run_config, monkeypatch):
    options = {"train__checkpoint_every": 6, "train__steps": 8, "variant": "DT"}
    whole = run_config(make_run_config("whole", **options), progress=False)
    monkeypatch.setattr(Session, "evaluate", killed_at(6, Session.evaluate))
    config = make_run_config(**options)
    with pytest.raises(RuntimeError, match="killed"):
        run_config(config, progress=False)
    monkeypatch.undo()
    resumed = run_config(config, resume=True, progress=False)
    for name in RECORDS:
        assert resumed.folder.joinpath(name).read_bytes() == whole.folder.joinpath(name).read_bytes()


def killed_at(step, original):
    """A hook that fails at that update."""

    def fail(self, at, value):
        if at == step:
            raise RuntimeError("killed")
        original(self, at, value)

    return fail


def scored(monkeypatch, worths):
    """Has every evaluation be worth what ``worths`` says of its step."""
    original = Session.score

    def score(self, step, params):
        evaluator = self._evaluator
        worth = lambda *a, **k: [r | {"returns": [worths[step]]} for r in evaluator(*a, **k)]  # noqa: E731
        monkeypatch.setattr(self, "_evaluator", worth)
        found = original(self, step, params)
        monkeypatch.setattr(self, "_evaluator", evaluator)
        return found

    monkeypatch.setattr(Session, "score", score)


def test_a_signal_in_an_evaluation_between_two_checkpoints_loses_nothing(make_run_config, monkeypatch):
    config = make_run_config(train__checkpoint_every=6)
    original = Session.evaluate

    def interrupt(self, step, value):
        if step == 4:
            monkeypatch.setattr(self._evaluator, "_make_env", lambda episodes: signal.raise_signal(signal.SIGTERM))
        original(self, step, value)

    monkeypatch.setattr(Session, "evaluate", interrupt)
    assert run_config(config, progress=False).signal == signal.SIGTERM
    assert (pathlib.Path(config.workdir) / "checkpoints" / "4").is_dir()


def test_a_signal_before_the_first_checkpoint_can_be_resumed(make_run_config, monkeypatch):
    config = make_run_config()

    def crash(*arguments, **options):
        raise RuntimeError("killed")

    monkeypatch.setattr(training_run, "Checkpoints", crash)
    with pytest.raises(RuntimeError, match="killed"):
        run_config(config, progress=False)
    monkeypatch.undo()
    assert run_config(config, resume=True, progress=False).results["steps"] == 6


def test_an_evaluation_written_in_part_is_done_again(make_run_config):
    config = make_run_config(seeds=(3, 5))
    whole = run_config(config, progress=False)
    records = whole.folder / "evaluations.jsonl"
    content = records.read_bytes()
    # The last evaluation has two lines, one per seed; one of them is lost.
    records.write_bytes(b"".join(content.splitlines(keepends=True)[:-1]))
    again = run_config(config, resume=True, progress=False)
    assert records.read_bytes() == content
    assert again.results == whole.results


def test_divergence_is_named_and_leaves_a_sound_checkpoint(make_run_config, monkeypatch):
    config = make_run_config()
    original = Session.log

    def diverge(self, step, metrics):
        bad = {"policy/loss": np.full(1, np.nan)} if step == 4 else {}
        original(self, step, metrics | bad)

    monkeypatch.setattr(Session, "log", diverge)
    message = "diverged: policy/loss of seed 0 became nan between updates 2 and 4; the last checkpoint, of update 2"
    with pytest.raises(ValueError, match=message):
        run_config(config, progress=False)
    steps = {json.loads(line)["step"] for line in (pathlib.Path(config.workdir) / "metrics.jsonl").open()}
    assert steps == {2}


def diverging(monkeypatch, times):
    """Has the metrics of update 4 be NaN, that often; returns the steps that were logged, bad ones included."""
    original, logged = Session.log, []

    def diverge(self, step, metrics):
        logged.append(step)
        bad = {"policy/loss": np.full(1, np.nan)} if step == 4 and logged.count(4) <= times else {}
        original(self, step, metrics | bad)

    monkeypatch.setattr(Session, "log", diverge)
    return logged


def test_a_divergence_is_rolled_back_and_stays_on_record(make_run_config, monkeypatch, caplog):
    undisturbed = run_config(make_run_config("other", variant="DT", train__on_divergence="rollback"), progress=False)
    logged = diverging(monkeypatch, times=2)
    run = run_config(make_run_config(variant="DT", train__on_divergence="rollback"), progress=False)
    assert logged == [2, 4, 4, 4, 6]
    lines = [json.loads(line) for line in (run.folder / "metrics.jsonl").open()]
    assert [line["step"] for line in lines] == [2, 4, 6]
    assert run.results["final"]["50.0"]["aggregate"]["episodes"] == 2
    known = [json.loads(line) for line in (run.folder / "divergences.jsonl").open()]
    assert [line["rolled_back_to"] for line in known] == [2, 2]
    assert "policy/loss of seed 0 became nan between updates 2 and 4" in known[0]["reason"]
    assert "Rolling back to update 2, attempt 2 of 3" in caplog.text
    others = [json.loads(line) for line in (undisturbed.folder / "metrics.jsonl").open()]
    assert lines[0] == others[0]
    assert lines[1] != others[1]  # the same random numbers would lead to the same end
    assert not (undisturbed.folder / "divergences.jsonl").exists()


def test_no_checkpoint_is_written_of_what_has_diverged(make_run_config, monkeypatch):
    """Also where the next call has begun by then, and would end with a checkpoint."""
    logged = diverging(monkeypatch, times=1)
    rarely = {"eval__every": 6, "train__checkpoint_every": 6, "train__steps": 8}
    config = make_run_config(variant="BC", **rarely)
    with pytest.raises(ValueError, match="became nan between updates 2 and 4"):
        run_config(config, progress=False)
    assert logged == [2, 4]
    assert not list((pathlib.Path(config.workdir) / "checkpoints").iterdir())
    resumed = run_config(config, resume=True, progress=False)
    whole = run_config(make_run_config("whole", variant="BC", **rarely), progress=False)
    for name in RECORDS:
        assert resumed.folder.joinpath(name).read_bytes() == whole.folder.joinpath(name).read_bytes()


def test_what_diverges_again_and_again_ends(make_run_config, monkeypatch):
    logged = diverging(monkeypatch, times=99)
    with pytest.raises(ValueError, match=r"became nan .* It was rolled back 3 times"):
        run_config(make_run_config(variant="BC", train__on_divergence="rollback"), progress=False)
    assert logged == [2, 4, 4, 4, 4]


def test_two_devices_train_what_one_resumes_and_loads(make_run_config, monkeypatch):
    config = make_run_config(parallel__devices=2, variant="QT")
    original = Session.log

    def interrupt(self, step, metrics):
        original(self, step, metrics)
        if step == 4:
            signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(Session, "log", interrupt)
    stopped = run_config(config, progress=False)
    monkeypatch.undo()
    # A machine with a single device loads it, and nothing is said about it.
    script = (
        f"import numpy, rvdt_jax\npolicy = rvdt_jax.load_policy({str(stopped.folder)!r})\npolicy.reset(50.0)\n"
        "import jax\nassert jax.device_count() == 1\nassert numpy.isfinite(policy.act(numpy.zeros(4))).all()"
    )
    environment = os.environ | ONE_DEVICE
    loaded = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False
    )
    assert loaded.returncode == 0, loaded.stderr
    assert not loaded.stderr
    resumed = run_config(make_run_config(parallel__devices=1, variant="QT"), resume=True, progress=False)
    assert resumed.results["hardware"].startswith("1 x")


def test_a_signal_handler_does_not_outlive_the_run(make_run_config):
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    run_config(make_run_config(), progress=False)
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before


def test_a_second_run_is_refused_and_nothing_is_touched(make_run_config):
    config = make_run_config()
    run_config(config, progress=False)
    before = snapshot(config.workdir)
    with pytest.raises(ValueError, match=r"already holds a run.*--resume.*--workdir"):
        run_config(config, progress=False)
    assert snapshot(config.workdir) == before


def test_resuming_with_other_settings_names_them(make_run_config):
    run_config(make_run_config(), progress=False)
    config = make_run_config(loss__alpha=3.0, model__width=16)
    before = snapshot(config.workdir)
    with pytest.raises(ValueError, match=r"config\.loss\.alpha is 1\.0 there, 3\.0 here; config\.model\.width"):
        run_config(config, resume=True, progress=False)
    assert snapshot(config.workdir) == before


def test_resuming_on_other_data_is_refused(make_run_config, episodes):
    config = make_run_config()
    run_config(config, progress=False)
    rewards = episodes.rewards.copy()
    rewards[0] += 1
    other = dataclasses.replace(episodes, rewards=rewards)
    write_cache(pathlib.Path(config.data.path), other, {"content_digest": episodes.digest()})  # a file may lie
    with pytest.raises(ValueError, match=r"another run.*content_digest"):
        run_config(config, resume=True, progress=False)


def test_a_data_file_may_be_moved_between_two_starts(make_run_config, tmp_path, monkeypatch):
    whole = run_config(make_run_config("whole"), progress=False)
    interrupted(monkeypatch)
    config = make_run_config()
    run_config(config, progress=False)
    place = tmp_path / "elsewhere" / "renamed.npz"
    place.parent.mkdir()
    pathlib.Path(config.data.path).rename(place)
    resumed = run_config(make_run_config(data__path=str(place)), resume=True, progress=False)
    for name in RECORDS:
        assert resumed.folder.joinpath(name).read_bytes() == whole.folder.joinpath(name).read_bytes()
    assert json.loads((resumed.folder / "config.json").read_text())["data"]["path"] == str(place)


def test_a_run_that_is_refused_keeps_its_settings(make_run_config, episodes, tmp_path):
    config = make_run_config()
    run_config(config, progress=False)
    other = dataclasses.replace(episodes, rewards=episodes.rewards + 1)
    write_cache(tmp_path / "other.npz", other, {"dataset_id": "test/random"})
    before = snapshot(config.workdir)
    with pytest.raises(ValueError, match=r"another run.*content_digest"):
        run_config(make_run_config(data__path=str(tmp_path / "other.npz")), resume=True, progress=False)
    assert snapshot(config.workdir) == before


def test_resuming_nothing_is_refused(make_run_config, tmp_path):
    with pytest.raises(ValueError, match="no run to resume"):
        run_config(make_run_config("nowhere"), resume=True, progress=False)
    assert not (tmp_path / "nowhere").exists()


def test_a_folder_with_other_files_is_refused(make_run_config, tmp_path):
    config = make_run_config("mine")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("precious")
    with pytest.raises(ValueError, match="not empty"):
        run_config(config, progress=False)
    assert snapshot(config.workdir) == {"thesis.tex": b"precious"}


def test_a_file_as_work_directory_is_refused(make_run_config, tmp_path):
    (tmp_path / "file").write_text("precious")
    with pytest.raises(ValueError, match="is a file"):
        run_config(make_run_config("file"), progress=False)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"model__context_length": 31}, r"context_length=31 is longer than every episode.*30"),
        ({"expert__threshold": 1e6}, r"expert\.threshold is 1e\+06.*would be empty"),
        ({"data__path": "nowhere.npz"}, r"nowhere\.npz"),
        ({"data__source": "minari", "data__path": None}, r"no data set.*recreate\.py"),
        ({"task": "maze2d-umaze-v1", "data__path": "hopper"}, r"sizes \(11, 3\), but rvdt/maze2d-umaze-v1.*\(4, 2\)"),
        ({"parallel__devices": 999}, r"parallel\.devices=999"),
        ({"parallel__devices": 3}, r"batch_size=8 does not divide over 3 devices"),
    ],
)
def test_bad_input_leaves_no_trace(overrides, message, make_run_config, tmp_path, monkeypatch):
    other = Episodes("hopper", np.zeros((20, 11)), np.zeros((20, 3)), np.ones(20), np.array([20]), np.array([True]))
    write_cache(tmp_path / "hopper", other, {"dataset_id": "hopper"})
    monkeypatch.chdir(tmp_path)
    config = make_run_config(**overrides)
    with pytest.raises(ValueError, match=message):
        run_config(config, progress=False)
    assert not pathlib.Path(config.workdir).exists()


def test_a_missing_data_set_is_recreated_and_said(small_config, tmp_path, monkeypatch, caplog):
    from rvdt_jax import tasks

    monkeypatch.setitem(tasks._RECIPE_STEPS, "maze2d-umaze", 3000)
    tasks.all_tasks.cache_clear()
    try:
        with caplog.at_level("INFO", logger="rvdt_jax"):
            run = run_config(small_config(workdir=str(tmp_path / "run"), train__steps=2), progress=False)
    finally:
        monkeypatch.undo()
        tasks.all_tasks.cache_clear()
    assert "recreating it once, by D4RL's published recipe" in caplog.text
    assert run.results["provenance"]["recreated"] is True
    assert run.results["provenance"]["dataset_id"] == "recreated/maze2d-umaze-v1"


def test_fit_takes_episodes_of_your_own(make_run_config, episodes):
    config = make_run_config(variant="DT", train__steps=2)
    run = fit(episodes, config, progress=False)
    assert run.results["provenance"]["dataset_id"] == "random"
    assert json.loads((run.folder / "config.json").read_text())["data"]["source"] == "memory"
    assert "recreated" not in run.results["provenance"]


def test_fit_takes_resolved_settings_that_name_no_data(episodes, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    settings = rvdt_jax.default_config()
    tiny = {name: value for name, value in SMALL.items() if name != "task"} | {"train.steps": 2, "variant": "DT"}
    settings.update_from_flattened_dict(tiny)
    config = rvdt_jax.resolve(settings)
    with pytest.raises(ValueError, match=r"config\.task is not set"):
        run_config(config, progress=False)
    assert list(tmp_path.iterdir()) == []
    run = fit(episodes, config, progress=False)
    assert run.folder == pathlib.Path("runs/random/DT")
    assert run.results["provenance"]["source"] == "memory"


def test_fit_refuses_an_id_that_is_not_there(make_run_config):
    with pytest.raises(ValueError, match="no data set my/data-v0 on this machine"):
        fit("my/data-v0", make_run_config(), progress=False)


@pytest.mark.parametrize("variant", ["RVDT", "BC"])
def test_a_loaded_policy_plays_the_episodes_that_were_scored(variant, make_run_config):
    # The dense reward tells trajectories apart in every digit.
    own = {"seeds": (3, 5), "eval__targets": (50.0, 20.0), "eval__action_selection": "mean"}
    config = make_run_config(task="maze2d-umaze-dense-v1", variant=variant, **own)
    run = run_config(config, progress=False)
    records = [json.loads(line) for line in (run.folder / "evaluations.jsonl").open()]
    scored = next(record for record in records if record["final"] and record["seed"] == 5)["returns"][0]
    policy = rvdt_jax.load_policy(run.folder, seed=5)
    env = gymnasium.make("rvdt/maze2d-umaze-dense-v1")
    observation, _ = env.reset(seed=int(np.random.SeedSequence([5, 0x57A7]).generate_state(2)[0]))
    policy.reset()
    total, reward, ended = 0.0, 0.0, False
    while not ended:
        observation, reward, _, ended, _ = env.step(policy.act(observation, reward))
        total += reward
    assert total == pytest.approx(scored, rel=1e-4)


def test_a_loaded_policy_acts_for_one_or_for_many(make_run_config):
    run = run_config(make_run_config(variant="QT", eval__action_selection="critic"), progress=False)
    policy = rvdt_jax.load_policy(run.folder)
    with pytest.raises(ValueError, match="call reset"):
        policy.act(np.zeros(4))
    policy.reset()
    assert policy.act(np.zeros(4)).shape == (2,)
    policy.reset(np.array([10.0, 20.0, 30.0]))
    actions = policy.act(np.zeros((3, 4)), previous_reward=np.zeros(3))
    assert actions.shape == (3, 2)
    assert np.abs(actions).max() <= 1
    with pytest.raises(ValueError, match=r"shape \(4,\); expected \(3, 4\)"):
        policy.act(np.zeros(4))
    with pytest.raises(ValueError, match="target_return"):
        policy.reset(np.nan)


def test_loading_what_is_not_there_is_refused(make_run_config, tmp_path):
    with pytest.raises(ValueError, match="holds no run with a checkpoint"):
        rvdt_jax.load_policy(tmp_path)
    run = run_config(make_run_config(), progress=False)
    with pytest.raises(ValueError, match="has no seed 9; trained were 0"):
        rvdt_jax.load_policy(run.folder, seed=9)
    with pytest.raises(ValueError, match="no checkpoint of update 5; there are those of 2, 4, 6"):
        rvdt_jax.load_policy(run.folder, step=5)


def test_the_best_checkpoint_is_kept_and_can_be_loaded(make_run_config, monkeypatch):
    """Of three evaluations the first is best, and but one checkpoint is kept besides."""
    scored(monkeypatch, {2: 9.0, 4: 1.0, 6: 2.0})
    config = make_run_config(train__keep_checkpoints=1)
    run = run_config(config, progress=False)
    assert sorted(path.name for path in (run.folder / "checkpoints").iterdir()) == ["2", "6"]
    assert load_run(run.folder).step == 6
    assert load_run(run.folder, step="best").step == 2
    assert rvdt_jax.load_policy(run.folder, step="best").config == load_run(run.folder).config


def test_without_an_evaluation_none_is_the_best(make_run_config):
    run = run_config(make_run_config(env="none"), progress=False)
    with pytest.raises(ValueError, match="nothing was evaluated, so that no checkpoint is the best one"):
        load_run(run.folder, step="best")
