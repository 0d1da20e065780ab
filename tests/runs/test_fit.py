"""Runs from settings to scores, in one process: what they write, that they repeat, resume, and refuse."""

import dataclasses
import functools
import pathlib
import re
import signal

import gymnasium
import numpy as np
import pytest
from agreement import assert_same_run
from compilation import ONE_DEVICE
from conftest import interrupted, snapshot, train
from launching import ROOT, python

import rvdt_jax
from rvdt_jax.acting.saved import load_run
from rvdt_jax.config.serialization import from_json
from rvdt_jax.data.cache import write_cache
from rvdt_jax.data.episodes import Episodes, draw_episodes, keep_episodes
from rvdt_jax.data.rebalance import select_experts
from rvdt_jax.report.records import read_json, read_lines
from rvdt_jax.runs.hooks import Session
from rvdt_jax.tasks import get_task


@pytest.fixture
def configure(make_run_config):
    """As ``make_run_config``, with one variant, so that the tests of this file share what they compile."""
    return functools.partial(make_run_config, variant="DT", seeds=(3, 5), eval__horizon=20)


def steps_of(folder, name="evaluations.jsonl"):
    return sorted({line["step"] for line in read_lines(pathlib.Path(folder) / name)})


def checkpoints_of(folder):
    return sorted(int(path.name) for path in (pathlib.Path(folder) / "checkpoints").iterdir())


@pytest.mark.parametrize("by", ["start", "return"])
def test_a_share_of_the_data_is_trained_on_with_the_experts_that_the_settings_name(by, configure, episodes):
    run = train(configure(data__fraction=0.5, expert__by=by, expert__fraction=0.3, env="none"))
    kept = keep_episodes(episodes, draw_episodes(30, 0.5, 0))
    starts = kept.normalized_starts() if by == "start" else None
    provenance = run.results["provenance"]
    assert provenance["subset"] == {"regime": None, "fraction": 0.5, "seed": 0, "episodes": 15, "of": 30}
    assert provenance["content_digest"] == kept.digest() != episodes.digest()
    experts = select_experts(kept.returns, kept.lengths, starts=starts, fraction=0.3)
    assert provenance["expert_set"] == experts.describe()
    with pytest.raises(ValueError, match="nothing was evaluated, so that no checkpoint is the best one"):
        rvdt_jax.load_policy(run.folder, step="best")


def test_a_run_directory_holds_what_it_promises(configure, caplog, monkeypatch):
    monkeypatch.setattr("rvdt_jax.runs.fit.source_commit", lambda: "0123456789ab")
    handlers = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    config = configure(eval__targets=(50.0, 100.0))
    run = train(config)
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == handlers
    records = {"metrics.jsonl", "timing.jsonl", "evaluations.jsonl", "config.json", "results.json"}
    names = {path.name for path in run.folder.iterdir()}
    assert names == records | {"checkpoints", "learning_curve.png", "tensorboard"}
    assert from_json(read_json(run.folder / "config.json")) == config
    assert "on this CPU" not in caplog.text  # it is short
    metrics = read_lines(run.folder / "metrics.jsonl")
    assert [(line["step"], line["seed"]) for line in metrics] == [(s, seed) for s in (2, 4, 6) for seed in (3, 5)]
    assert all(np.isfinite(list(line.values())).all() for line in metrics)
    assert metrics[0]["policy/nll"] != metrics[1]["policy/nll"]
    assert not any("second" in name or "time" in name for line in metrics for name in line)
    timing = read_lines(run.folder / "timing.jsonl")
    assert [(line["step"], "compile_seconds" in line) for line in timing] == [(2, True), (4, False), (6, False)]
    assert all(line["updates_per_second"] == pytest.approx(2 / line["seconds"]) for line in timing)
    evaluations = read_lines(run.folder / "evaluations.jsonl")
    keys = [(line["step"], line["seed"], line["target"]) for line in evaluations]
    assert keys == [(s, seed, target) for s in (2, 4, 6) for seed in (3, 5) for target in (50.0, 100.0)]
    assert all(len(line["returns"]) == len(line["lengths"]) == (2 if line["final"] else 1) for line in evaluations)
    assert all(line["final"] == (line["step"] == 6) for line in evaluations)
    assert read_json(run.folder / "results.json") == run.results
    cell = run.results["final"]["50.0"]["aggregate"]
    raw = [np.mean(line["returns"]) for line in evaluations if line["final"] and line["target"] == 50.0]
    assert (cell["return"], cell["episodes"]) == (pytest.approx(np.mean(raw)), 4)
    assert cell["normalized_score"] == pytest.approx(get_task("maze2d-umaze-v1").normalized_score(cell["return"]))
    assert (run.results["commit"], run.results["provenance"]["recreated"]) == ("0123456789ab", True)
    assert "subset" not in run.results["provenance"]


def in_evaluation(monkeypatch, step):
    """Has a SIGTERM come in the evaluation of that update."""
    original = Session.score

    def interrupt(self, at, params):
        if at == step:
            monkeypatch.setattr(self._evaluator, "_make_env", lambda episodes: signal.raise_signal(signal.SIGTERM))
        return original(self, at, params)

    monkeypatch.setattr(Session, "score", interrupt)


def test_interrupted_and_resumed_equals_uninterrupted(make_run_config, tmp_path):
    """With all networks that there are; in training, in an evaluation, and in one without a checkpoint of its own."""
    configure = functools.partial(make_run_config, variant="RVDT", eval__horizon=20)
    whole = train(configure("whole"))
    for name, interrupt, options in (
        ("training", interrupted, {}),
        ("evaluation", in_evaluation, {}),
        ("between checkpoints", in_evaluation, {"train__checkpoint_every": 6}),
    ):
        with pytest.MonkeyPatch.context() as patch:
            interrupt(patch, 4)
            stopped = train(configure(name, **options))
        assert (stopped.signal, stopped.results) == (signal.SIGTERM, {})
        assert not (stopped.folder / "results.json").exists()
        assert steps_of(stopped.folder) == [2]
        assert checkpoints_of(stopped.folder)[-1] == 4
        place = pathlib.Path(configure().data.path).rename(tmp_path / f"{name}.npz")  # a file of data may be moved
        configure = functools.partial(configure, data__path=str(place))
        resumed = train(configure(name, **options), resume=True)
        assert (resumed.signal, resumed.results["final"]) == (None, whole.results["final"])
        assert_same_run(whole.folder, resumed.folder)
        assert read_json(resumed.folder / "config.json")["data"]["path"] == str(place)


def test_the_best_checkpoint_is_written_and_kept_although_checkpoints_are_rarer(configure, monkeypatch):
    worths = {2: 1.0, 4: 9.0, 6: 1.0, 8: 2.0, 10: 3.0, 12: 4.0}
    original = Session.score

    def score(self, step, params):
        evaluator = self._evaluator
        self._evaluator = lambda *a, **k: [record | {"returns": [worths[step]]} for record in evaluator(*a, **k)]
        found = original(self, step, params)
        self._evaluator = evaluator
        return found

    monkeypatch.setattr(Session, "score", score)
    folder = train(configure(train__steps=12, train__checkpoint_every=10, train__keep_checkpoints=1)).folder
    assert steps_of(folder) == list(worths)
    assert checkpoints_of(folder) == [4, 12]
    assert (load_run(folder).step, load_run(folder, step="best").step) == (12, 4)
    assert rvdt_jax.load_policy(folder, step="best").config == load_run(folder).config


def test_an_evaluation_written_in_part_is_done_again(configure):
    whole = train(configure())
    records = whole.folder / "evaluations.jsonl"
    content = records.read_bytes()
    # The last evaluation has two lines, one per seed; one of them is lost.
    records.write_bytes(b"".join(content.splitlines(keepends=True)[:-1]))
    assert train(configure(), resume=True).results == whole.results
    assert records.read_bytes() == content


def diverging(monkeypatch, times, at=(4,)):
    """Has the metrics of these updates be NaN, that often; returns the steps that were logged, bad ones included."""
    original, logged = Session.log, []

    def diverge(self, step, metrics):
        logged.append(step)
        bad = {"policy/loss": np.full(2, np.nan)} if step in at and logged.count(step) <= times else {}
        original(self, step, metrics | bad)

    monkeypatch.setattr(Session, "log", diverge)
    return logged


@pytest.mark.parametrize(
    ("rarely", "kept"), [({}, [2]), ({"eval__every": 6, "train__checkpoint_every": 6, "train__steps": 8}, [])], ids=str
)
def test_no_checkpoint_is_written_of_what_has_diverged(rarely, kept, configure, monkeypatch):
    """Also where the next call has begun by then, and would end with a checkpoint."""
    logged = diverging(monkeypatch, times=1)
    config = configure(**rarely)
    left = f"the last checkpoint, of update {kept[-1]}, is sound" if kept else "no checkpoint was written"
    message = f"diverged: policy/loss of seed 3 became nan between updates 2 and 4; {left}"
    with pytest.raises(ValueError, match=message):
        train(config)
    assert logged == [2, 4]
    assert checkpoints_of(config.workdir) == kept
    assert steps_of(config.workdir, "metrics.jsonl") == [2]
    assert_same_run(train(config, resume=True).folder, train(configure("whole", **rarely)).folder)


def test_a_divergence_is_rolled_back_a_few_times_and_stays_on_record(configure, monkeypatch, caplog):
    undisturbed = train(configure("other", train__on_divergence="rollback"))
    logged = diverging(monkeypatch, times=2)
    run = train(configure(train__on_divergence="rollback"))
    assert logged == [2, 4, 4, 4, 6]
    assert steps_of(run.folder, "metrics.jsonl") == steps_of(run.folder) == [2, 4, 6]
    known = read_lines(run.folder / "divergences.jsonl")
    assert [line["rolled_back_to"] for line in known] == [2, 2]
    assert "policy/loss of seed 3 became nan between updates 2 and 4" in known[0]["reason"]
    assert "Rolling back to update 2, attempt 2 of 3" in caplog.text
    lines, others = (read_lines(each.folder / "metrics.jsonl") for each in (run, undisturbed))
    assert lines[0] == others[0]
    assert lines[2] != others[2]  # the same random numbers would lead to the same end
    assert not (undisturbed.folder / "divergences.jsonl").exists()
    logged = diverging(monkeypatch, times=99)
    with pytest.raises(ValueError, match=r"became nan .* It was rolled back 3 times"):
        train(configure("in vain", train__on_divergence="rollback"))
    assert logged == [2, 4, 4, 4, 4]


def test_a_run_that_is_killed_between_two_rollbacks_ends_as_one_that_is_not(configure, monkeypatch):
    settings = {"train__on_divergence": "rollback", "train__steps": 8}
    logged = diverging(monkeypatch, times=1, at=(4, 6))
    whole = train(configure("whole", **settings))
    assert logged == [2, 4, 4, 6, 6, 8]
    logged = diverging(monkeypatch, times=1, at=(4, 6))
    interrupted(monkeypatch)  # after the update 4 that is sound
    parts = configure("parts", **settings)
    assert train(parts).signal is not None
    assert_same_run(train(parts, resume=True).folder, whole.folder, ["metrics.jsonl"])
    assert logged == [2, 4, 4, 6, 6, 8]


@pytest.mark.slow
def test_what_two_devices_train_a_machine_with_one_loads_without_a_word(configure):
    folder = train(configure(parallel__devices=2, variant="QT")).folder
    script = f"import jax, rvdt_jax\npolicy = rvdt_jax.load_policy({str(folder)!r})\npolicy.reset(50.0)\n"
    script += "assert jax.device_count() == 1\nassert abs(policy.act([0.0] * 4)).max() <= 1"
    loaded = python("-c", script, PYTHONPATH=str(ROOT), **ONE_DEVICE)
    assert (loaded.returncode, loaded.stderr) == (0, "")


def test_what_is_refused_touches_nothing(configure, episodes, tmp_path):
    train(configure())
    other, there = dataclasses.replace(episodes, rewards=episodes.rewards + 1), tmp_path / "other.npz"
    write_cache(there, other, {"dataset_id": "test/random", "content_digest": episodes.digest()})
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("precious")
    before = snapshot(tmp_path)
    changed = {"loss__gamma": 0.5, "model__width": 16, "train__steps": 10, "eval__targets": (20.0,)}
    for overrides, resume, message in (
        ({}, False, r"already holds a run.*--resume.*--workdir"),
        (changed, True, r"config\.loss\.gamma is .* there, 0\.5 here; config\.model"),
        ({"data__path": str(there)}, True, r"another run.*content_digest"),  # although the file lies
        ({"train__steps": 4}, True, r"has been trained for 6 updates, but config\.train\.steps is 4"),
        ({"folder": "mine"}, False, "not empty"),
        ({"folder": "mine/thesis.tex"}, False, "is a file"),
        ({"folder": "nowhere"}, True, "no run to resume"),
    ):
        with pytest.raises(ValueError, match=message):
            train(configure(**overrides), resume=resume)
        assert snapshot(tmp_path) == before
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"model__context_length": 31}, r"context_length=31 is longer than every episode.*30"),
        ({"expert__threshold": 1e6}, r"expert\.threshold is 1e\+06.*would be empty"),
        ({"data__path": "nowhere.npz"}, r"nowhere\.npz"),
        ({"data__source": "minari", "data__path": None}, r"no data set.*recreate\.py"),
        ({"data__path": "hopper"}, r"sizes \(11, 3\), but rvdt/maze2d-umaze-v1.*\(4, 2\)"),
        ({"parallel__devices": 3}, r"batch_size=8 does not divide over 3 devices"),
    ],
)
def test_bad_input_leaves_no_trace(overrides, message, configure, tmp_path, monkeypatch):
    other = Episodes("hopper", np.zeros((20, 11)), np.zeros((20, 3)), np.ones(20), np.array([20]), np.array([True]))
    write_cache(tmp_path / "hopper", other, {"dataset_id": "hopper"})
    monkeypatch.chdir(tmp_path)
    config = configure(**overrides)
    with pytest.raises(ValueError, match=message):
        train(config)
    assert not pathlib.Path(config.workdir).exists()


@pytest.mark.parametrize("variant", ["DT", pytest.param("BC", marks=pytest.mark.slow)])
def test_a_loaded_policy_plays_the_episodes_that_were_scored(variant, configure):
    own = {"eval__targets": (50.0, 20.0), "eval__horizon": None, "eval__action_selection": "mean"}
    # The dense reward tells trajectories apart in every digit.
    run = train(configure(task="maze2d-umaze-dense-v1", variant=variant, **own))
    records = read_lines(run.folder / "evaluations.jsonl")
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


@pytest.mark.parametrize("size", ["reference", "small"])
def test_a_long_run_on_a_cpu_says_once_how_long_it_takes(size, configure, monkeypatch, caplog):
    monkeypatch.setattr("rvdt_jax.runs.hooks._LONG_HOURS", -1.0)
    run = train(dataclasses.replace(configure(train__steps=8, env="none"), size=size))
    (line,) = (message for message in caplog.messages if "on this CPU" in message)
    found = re.fullmatch(r"6 updates at (\S+) s: 0 hours on this CPU(.*)", line)
    hint = "; config.size=small (--config=FILE:small) is made for a CPU"
    assert found[2] == ("" if size == "small" else hint)
    first = read_lines(run.folder / "timing.jsonl")[0]
    assert float(found[1]) == pytest.approx(first["seconds"] / 2, rel=0.05)  # without compilation
