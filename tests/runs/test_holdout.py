"""Trajectories that are held out: nothing is learned from them, and what policies do on them is on record."""

import dataclasses
import functools

import numpy as np
import pytest
from agreement import assert_same_run
from conftest import interrupted, make_episodes, train

import rvdt_jax
from rvdt_jax.data.cache import write_cache
from rvdt_jax.data.episodes import keep_episodes
from rvdt_jax.errors import UserError
from rvdt_jax.report.records import read_json, read_lines
from rvdt_jax.runs.preparation import hold_out, take_share


@pytest.fixture
def configure(make_run_config):
    how = {"variant": "RDT", "env": "none", "data__holdout": 0.2, "seeds": (3, 5), "policy__return_scale": 10.0}
    return functools.partial(make_run_config, **how)


def test_the_draw_takes_whole_trajectories_and_does_not_depend_on_the_share_that_is_trained_on(configure, episodes):
    kept, held, provenance = hold_out(configure(), episodes, {})
    assert provenance["holdout"] == {"share": 0.2, "seed": 0, "episodes": 6, "of": 30, "steps": held.rewards.size}
    assert sorted([*kept.returns, *held.returns]) == sorted(episodes.returns)
    part, same, _ = hold_out(configure(data__fraction=0.5), episodes, {})
    assert same.digest() == held.digest()
    assert take_share(configure(data__fraction=0.5), part, {})[0].lengths.size == 12
    assert hold_out(configure(data__subset_seed=1), episodes, {})[1].digest() != held.digest()
    with pytest.raises(UserError, match=r"data\.holdout=0\.2 holds out all of 1 trajectories"):
        hold_out(configure(), keep_episodes(episodes, np.arange(30) == 0), {})


def test_nothing_is_learned_from_them_and_what_is_on_record_is_what_the_policy_does(configure, tmp_path, caplog):
    with caplog.at_level("INFO"):
        run = train(configure())
    kept, held, _ = hold_out(configure(), make_episodes(), {})
    write_cache(tmp_path / "kept.npz", kept, {"dataset_id": "test/random", "recreated": True})
    alone = train(configure("alone", data__holdout=0.0, data__path=str(tmp_path / "kept.npz")))
    assert_same_run(run.folder, alone.folder, records=("metrics.jsonl",))
    assert not (alone.folder / "holdout.jsonl").exists()
    assert "holdout" not in alone.results

    records = read_lines(run.folder / "holdout.jsonl")
    assert [(line["step"], line["seed"]) for line in records] == [(s, seed) for s in (2, 4, 6) for seed in (3, 5)]
    policy, errors = rvdt_jax.load_policy(run.folder, seed=5), []
    for start, length, target in zip(held.starts, held.lengths, held.returns, strict=True):
        policy.reset(target)
        for step in range(start, start + length):
            action = policy.act(held.observations[step], held.rewards[step - 1])
            errors.append(np.square(action - held.actions[step]).mean())
            window = policy._acting._windows.actions[0, 0]
            window[min(step - start, 3)] = held.actions[step]  # the log went on with its own action
    last = records[-1]
    assert last["action_error"] == pytest.approx(np.mean(errors), rel=1e-4)
    constant = 2 * 0.1**2 * (np.log(0.1) + 0.5 * np.log(2 * np.pi))  # of a fixed std .1, beside the squared error
    assert last["nll"] == pytest.approx(last["action_error"] + constant, rel=1e-4)
    assert [part["episodes"] for part in last["bins"]] == [1] * 6
    assert [part["returns"][0] for part in last["bins"]] == sorted(held.returns)
    assert sum(part["steps"] * part["action_error"] for part in last["bins"]) == pytest.approx(np.sum(errors), rel=1e-4)
    summary = read_json(run.folder / "results.json")["holdout"]
    assert summary["action_error"] == pytest.approx(np.mean([line["action_error"] for line in records[-2:]]))
    assert len(summary["bins"]) == 6
    assert f"update 6: held out: action error {summary['action_error']:.4g} (lowest" in caplog.text
    events = next((run.folder / "tensorboard" / "seed-5").iterdir()).read_bytes()
    assert b"holdout/action_error" in events


def test_actions_are_compared_in_their_own_unit(configure, tmp_path, episodes):
    wide = dataclasses.replace(episodes, action_low=np.float32([-10, 0]), action_high=np.float32([10, 1]))
    write_cache(tmp_path / "wide.npz", wide, {"dataset_id": "test/random", "recreated": True})
    plain = train(configure(variant="BC"))
    scaled = train(configure("wide", variant="BC", data__path=str(tmp_path / "wide.npz")))
    first, second = (read_lines(run.folder / "holdout.jsonl")[0] for run in (plain, scaled))
    assert second["nll"] == first["nll"] == pytest.approx(first["action_error"])  # BC's loss is the squared error
    assert 20 * first["action_error"] < second["action_error"] < 100 * first["action_error"]


def test_a_run_that_was_interrupted_has_the_same_record(configure, monkeypatch):
    whole = train(configure("whole"))
    interrupted(monkeypatch)
    assert train(configure()).signal
    line = (whole.folder / "holdout.jsonl").read_text().partition("\n")[0]
    with (whole.folder.parent / "run" / "holdout.jsonl").open("a") as file:
        file.write(line.replace('"step": 2', '"step": 4') + "\n")  # cut short in the writing
    resumed = train(configure(), resume=True)
    assert_same_run(whole.folder, resumed.folder, records=("metrics.jsonl", "holdout.jsonl"))
