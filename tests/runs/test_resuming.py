"""A run that goes on with other settings: what may change, what then is in effect, and what stays on record."""

import dataclasses
import json
import pathlib

import jax
import numpy as np
import pytest
from conftest import SMALL, interrupted, snapshot
from faults.harness import last_checkpoint
from settings_helpers import from_file

import rvdt_jax
from rvdt_jax.acting.policy import load_run
from rvdt_jax.runs.fit import fit, run_config
from rvdt_jax.runs.resuming import keep_settings


def lines(folder, name="evaluations.jsonl"):
    return [json.loads(line) for line in (pathlib.Path(folder) / name).open()]


def read(folder, name="config.json"):
    return json.loads((pathlib.Path(folder) / name).read_text())


def go_on(config, **options):
    return run_config(config, resume=True, progress=False, **options)


def same_checkpoints(one, other):
    for left, right in zip(last_checkpoint(one.folder), last_checkpoint(other.folder), strict=True):
        np.testing.assert_array_equal(left, right)


def test_a_finished_run_is_trained_longer_as_if_it_had_been_asked_at_once(make_run_config):
    whole = run_config(make_run_config("whole", train__steps=10), progress=False)
    run = run_config(make_run_config(), progress=False)
    first = read(run.folder, "results.json")
    names = {path.name for path in run.folder.iterdir()}
    go_on(make_run_config())
    assert {path.name for path in run.folder.iterdir()} == names  # what does not change leaves no trace
    longer = go_on(make_run_config(train__steps=10))
    assert (longer.folder / "metrics.jsonl").read_bytes() == (whole.folder / "metrics.jsonl").read_bytes()
    same_checkpoints(whole, longer)
    assert (longer.results["final"], longer.results["steps"]) == (whole.results["final"], 10)
    assert [(line["step"], line["final"]) for line in lines(run.folder)] == [
        (step, step == 10) for step in (2, 4, 6, 8, 10)
    ]
    assert read(run.folder)["train"]["steps"] == 10
    assert read(run.folder, "results-1.json") == first
    (change,) = lines(run.folder, "changes.jsonl")
    assert change == {"step": 6, "changed": {"train.steps": [6, 10]}, "set_aside": ["results-1.json"]}


def test_what_is_refused_changes_nothing(make_run_config):
    config = make_run_config()
    run_config(config, progress=False)
    before = snapshot(config.workdir)
    with pytest.raises(ValueError, match=r"has been trained for 6 updates, but config\.train\.steps is 4"):
        go_on(make_run_config(train__steps=4))
    with pytest.raises(ValueError, match=r"config\.loss\.alpha is 1\.0 there, 3\.0 here"):
        go_on(make_run_config(train__steps=10, eval__targets=(20.0,), loss__alpha=3.0))
    assert snapshot(config.workdir) == before


def test_a_run_keeps_its_own_where_nothing_is_given(make_run_config, small_config):
    run_config(make_run_config(train__steps=4), progress=False)
    run = go_on(make_run_config(train__steps=6), unset=("train.steps",))
    assert run.results["steps"] == 4
    assert not (run.folder / "changes.jsonl").exists()
    own = {"train__steps": 4, "eval__targets": (7.0, 8.0), "eval__horizon": 9, "env": "none"}
    begun = small_config(**own, data__minari_id="a/b-v0")
    unset = ("train.steps", "eval.targets", "eval.horizon", "env")
    assert keep_settings(small_config(), from_file(begun), unset) == begun
    given = keep_settings(small_config(), from_file(begun), ())
    assert given == dataclasses.replace(small_config(), data=begun.data)


def test_a_run_that_is_trained_longer_keeps_its_schedule_unless_another_is_given(episodes, tmp_path, caplog):
    """Without a task the learning rate falls to 0 at the last update: at that of the run, not at the new one."""

    def start(**changes):
        settings = rvdt_jax.default_config()
        own = {name: value for name, value in SMALL.items() if name not in ("task", "eval.targets")}
        own |= {"variant": "DT", "env": "none", "workdir": str(tmp_path / "run")}
        settings.update_from_flattened_dict(own | {name.replace("__", "."): value for name, value in changes.items()})
        return fit(episodes, settings, resume=bool(changes), progress=False)

    run = start()
    assert read(run.folder)["train"]["lr_decay_steps"] == 6
    start(train__steps=8)
    assert (read(run.folder)["train"]["steps"], read(run.folder)["train"]["lr_decay_steps"]) == (8, 6)
    assert "the learning rate is 0 from update 6 on: to train longer, set config.train.lr_decay_steps" in caplog.text
    before, after = (jax.tree.leaves(load_run(run.folder, step=step).params) for step in (6, 8))
    assert all((left == right).all() for left, right in zip(before, after, strict=True))
    caplog.clear()
    start(train__steps=10, train__lr_decay_steps=12)
    assert read(run.folder)["train"]["lr_decay_steps"] == 12
    assert "the learning rate is 0" not in caplog.text
    assert [line["changed"] for line in lines(run.folder, "changes.jsonl")] == [
        {"train.steps": [6, 8]},
        {"train.steps": [8, 10], "train.lr_decay_steps": [6, 12]},
    ]


def test_a_run_may_end_where_it_stands(make_run_config, monkeypatch):
    """Its evaluation there was one on the way, with fewer episodes."""
    interrupted(monkeypatch, step=6)
    assert run_config(make_run_config(train__steps=10), progress=False).signal
    run = go_on(make_run_config(train__steps=6))
    assert run.results["final"]["50.0"]["aggregate"]["episodes"] == 2
    go_on(make_run_config(train__steps=8))
    go_on(make_run_config(train__steps=8, eval__episodes=3))
    assert [(line["step"], line["final"], len(line["returns"])) for line in lines(run.folder)] == [
        *((2, False, 1), (4, False, 1), (6, False, 2), (8, True, 3))
    ]


def test_how_often_something_is_written_may_change(make_run_config, monkeypatch):
    whole = run_config(make_run_config("whole", train__steps=12), progress=False)
    interrupted(monkeypatch, step=6)
    run_config(make_run_config(train__steps=12), progress=False)
    rarer = {"train__log_every": 4, "eval__every": 4, "train__checkpoint_every": 4, "train__keep_checkpoints": 5}
    run = go_on(make_run_config(train__steps=12, **rarer))
    assert [line["step"] for line in lines(run.folder, "metrics.jsonl")] == [2, 4, 6, 8, 12]
    assert [line["step"] for line in lines(run.folder)] == [2, 4, 8, 12]
    assert read(run.folder)["train"]["log_every"] == 4
    same_checkpoints(whole, run)
    assert not list(run.folder.glob("evaluations-*"))


@pytest.mark.parametrize(
    ("change", "new"),
    [
        ({"eval__targets": (50.0, 20.0)}, [50.0, 20.0]),
        ({"eval__targets": (20.0,)}, [20.0]),
        ({"eval__horizon": 10}, [50.0]),
        ({"eval__action_selection": "sample"}, [50.0]),
    ],
    ids=str,
)
def test_evaluations_that_mean_something_else_are_set_aside(change, new, make_run_config, monkeypatch):
    interrupted(monkeypatch, step=6)
    run_config(make_run_config(train__steps=8), progress=False)
    run = go_on(make_run_config(train__steps=8, **change))
    aside = lines(run.folder, "evaluations-1.jsonl")
    assert [(line["step"], line["target"]) for line in aside] == [(2, 50.0), (4, 50.0)]
    # What is on record is of one kind, from the update on that training went on from.
    assert [(line["step"], line["target"]) for line in lines(run.folder)] == [
        (step, target) for step in (6, 8) for target in new
    ]
    assert run.results["headline_target"] == str(new[0])
    assert set(run.results["best"]) == set(run.results["final"]) == set(map(str, new))
    (changed,) = lines(run.folder, "changes.jsonl")
    assert changed["set_aside"] == ["evaluations-1.jsonl"]
    assert load_run(run.folder).config.eval.targets == tuple(new)


def test_a_finished_run_is_scored_again_as_it_is_asked(make_run_config):
    run = run_config(make_run_config(), progress=False)
    first, evaluations = run.results, lines(run.folder)
    again = go_on(make_run_config(eval__episodes=5))
    assert again.results["final"]["50.0"]["aggregate"]["episodes"] == 5
    assert lines(run.folder)[:-1] == evaluations[:-1]
    assert lines(run.folder)[-1]["returns"][:2] == evaluations[-1]["returns"]  # the same starts
    assert lines(run.folder, "evaluations-1.jsonl") == evaluations
    assert read(run.folder, "results-1.json") == first
    other = go_on(make_run_config(eval__episodes=5, eval__targets=(20.0,)))
    assert set(other.results["final"]) == {"20.0"}
    assert [line["set_aside"] for line in lines(run.folder, "changes.jsonl")] == [
        ["evaluations-1.jsonl", "results-1.json"],
        ["evaluations-2.jsonl", "results-2.json"],
    ]
