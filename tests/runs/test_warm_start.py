"""A run that another one's parameters begin."""

import functools
import shutil

import jax
import pytest
from conftest import train

from rvdt_jax.acting.saved import load_run
from rvdt_jax.errors import UserError
from rvdt_jax.report.records import read_json, read_lines


@pytest.fixture
def configure(make_run_config):
    return functools.partial(make_run_config, variant="DT", env="none", seeds=(3, 5))


@pytest.fixture
def first(configure):
    return train(configure("first", train__steps=4))


def are_equal(one, other, seed=slice(None), others=slice(None)):
    pairs = zip(*(jax.tree.leaves(load_run(run.folder).params["policy"]) for run in (one, other)), strict=True)
    return all((left[seed] == right[others]).all() for left, right in pairs)


def test_it_begins_with_the_parameters_at_update_0_and_says_so(configure, first):
    frozen = configure("frozen", train__init_from=str(first.folder), train__learning_rate=0.0)
    run = train(frozen)
    assert are_equal(run, first)
    assert not are_equal(train(configure("fresh", train__learning_rate=0.0)), first)
    assert [line["step"] for line in read_lines(run.folder / "metrics.jsonl")][:2] == [2, 2]
    source = {"run": str(first.folder), "step": 4, "learners": ["policy"]}
    assert run.results["provenance"]["init_from"] == source
    first.folder.rename(first.folder.with_name("elsewhere"))  # a run that goes on needs it no more
    train(frozen, resume=True)
    assert read_json(run.folder / "results.json")["provenance"]["init_from"] == source


def test_a_run_without_a_checkpoint_begins_again_where_it_began(configure):
    """Though the other run has been trained on meanwhile."""
    longer = functools.partial(configure, "first", train__keep_checkpoints=5)
    first = train(longer(train__steps=4))
    frozen = configure("frozen", train__init_from=str(first.folder), train__learning_rate=0.0)
    before = train(frozen)
    shutil.rmtree(before.folder / "checkpoints")
    train(longer(train__steps=6), resume=True)
    run = train(frozen, resume=True)
    assert run.results["provenance"]["init_from"]["step"] == 4
    assert are_equal(run, before)


def test_a_wrong_source_is_refused_before_the_data_are_read(configure, first, monkeypatch):
    monkeypatch.setattr("rvdt_jax.runs.fit.load_episodes", None)
    for changes in ({"train__init_from": "nowhere"}, {"train__init_from": str(first.folder), "seeds": (3, 4)}):
        with pytest.raises(UserError, match=r"holds no run with a checkpoint|has the seeds"):
            train(configure(**changes))


def test_seeds_take_their_own_and_a_learner_that_is_not_there_stays_fresh(configure, first):
    run = train(configure(variant="QT", seeds=(5,), train__init_from=str(first.folder), train__learning_rate=0.0))
    assert are_equal(run, first, seed=0, others=1)
    assert run.results["provenance"]["init_from"]["learners"] == ["policy"]


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"model__width": 16}, r"sizes differ: policy/.*; policy/action/bias is \(16,\) here and \(8,\) there; "),
        ({"seeds": (3, 4)}, r"has the seeds \(3, 5\), but this run's are \(3, 4\)"),
        ({"train__init_from": "nowhere"}, "nowhere: holds no run with a checkpoint"),
    ],
)
def test_what_does_not_fit_is_refused_before_any_work(changes, complaint, configure, first, monkeypatch):
    monkeypatch.setattr("rvdt_jax.runs.fit.relabel", None)
    config = configure(**{"train__init_from": str(first.folder)} | changes)
    with pytest.raises(UserError, match=complaint):
        train(config)
    assert not (first.folder.parent / "run").exists()
