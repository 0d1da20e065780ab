"""A run that goes on with other settings: what may change, what then is in effect, and what stays on record."""

import functools

import jax
import pytest
from agreement import assert_same_run
from conftest import interrupted, train

from rvdt_jax.acting.saved import load_run
from rvdt_jax.config.settings import left_open
from rvdt_jax.report.records import read_json, read_lines


@pytest.fixture
def configure(make_run_config):
    """As ``make_run_config``, with one variant, so that the tests of this file share what they compile."""
    return functools.partial(make_run_config, variant="DT", eval__horizon=20)


def go_on(config, **options):
    return train(config, resume=True, **options)


def evaluations_of(run, name="evaluations"):
    return read_lines(run.folder / f"{name}.jsonl")


def test_a_finished_run_is_trained_longer_as_if_it_had_been_asked_at_once(configure):
    whole = train(configure("whole", train__steps=10))
    run = train(configure())
    first = read_json(run.folder / "results.json")
    names = {path.name for path in run.folder.iterdir()}
    go_on(configure())
    assert {path.name for path in run.folder.iterdir()} == names  # what does not change leaves no trace
    go_on(configure(), unset=("train.steps",))
    longer = go_on(configure(train__steps=10))
    assert (longer.results["final"], longer.results["steps"]) == (whole.results["final"], 10)
    assert [(line["step"], line["final"]) for line in evaluations_of(run)] == [(k, k == 10) for k in (2, 4, 6, 8, 10)]
    assert read_json(run.folder / "config.json")["train"]["steps"] == 10
    assert read_json(run.folder / "results-1.json") == first
    (change,) = read_lines(run.folder / "changes.jsonl")
    assert change == {"step": 6, "changed": {"train.steps": [6, 10]}, "set_aside": ["results-1.json"]}
    assert (run.folder / "metrics.jsonl").read_bytes() == (whole.folder / "metrics.jsonl").read_bytes()
    assert go_on(configure(train__steps=4), unset=("train.steps",)).results["steps"] == 10


def test_a_run_that_is_trained_longer_keeps_its_schedule_unless_another_is_given(configure, caplog):
    """Without a task the learning rate falls to 0 at the last update: at that of the run, not at the new one."""
    configure = functools.partial(configure, task=None, env="none")
    folder = train(configure()).folder
    go_on(configure(train__steps=8), unset=("train.lr_decay_steps",))
    assert read_json(folder / "config.json")["train"]["lr_decay_steps"] == 6
    assert (
        "policy's learning rate is 0 from update 6 on: to train longer, raise config.train.lr_decay_steps"
        in caplog.text
    )
    before, after = (jax.tree.leaves(load_run(folder, step=step).params) for step in (6, 8))
    assert all((left == right).all() for left, right in zip(before, after, strict=True))
    caplog.clear()
    go_on(configure(train__steps=10, train__lr_decay_steps=12))
    assert "learning rate is 0" not in caplog.text
    changed = [line["changed"] for line in read_lines(folder / "changes.jsonl")]
    assert changed == [{"train.steps": [6, 8]}, {"train.steps": [8, 10], "train.lr_decay_steps": [6, 12]}]


def test_a_new_run_whose_last_updates_have_no_learning_rate_says_so(configure, caplog):
    train(configure(train__lr_decay_steps=3, env="none"))
    assert "the policy's learning rate is 0 from update 3 on" in caplog.text


def test_a_run_may_end_where_it_stands(configure, monkeypatch):
    """Its evaluation there was one on the way, with fewer episodes."""
    interrupted(monkeypatch, step=6)
    assert train(configure(train__steps=10)).signal
    run = go_on(configure(train__steps=6))
    assert run.results["final"]["50.0"]["aggregate"]["episodes"] == 2
    go_on(configure(train__steps=8))
    found = [(line["step"], line["final"], len(line["returns"])) for line in evaluations_of(run)]
    assert found == [(2, False, 1), (4, False, 1), (6, False, 2), (8, True, 2)]


def test_how_often_something_is_written_may_change(configure, monkeypatch):
    whole = train(configure("whole", train__steps=12))
    interrupted(monkeypatch, step=6)
    train(configure(train__steps=12))
    rarer = {"train__log_every": 4, "eval__every": 4, "train__checkpoint_every": 4, "train__keep_checkpoints": 5}
    run = go_on(configure(train__steps=12, **rarer))
    assert [line["step"] for line in read_lines(run.folder / "metrics.jsonl")] == [2, 4, 6, 8, 12]
    assert [line["step"] for line in evaluations_of(run)] == [2, 4, 8, 12]
    assert read_json(run.folder / "config.json")["train"]["log_every"] == 4
    assert_same_run(whole.folder, run.folder, records=())
    assert not list(run.folder.glob("evaluations-*"))


def test_what_is_left_unset_stays_as_the_run_has_it(configure):
    run = train(configure(train__keep_checkpoints=5, train__log_every=1, eval__episodes=3))
    go_on(configure(train__steps=8), unset=tuple(name for name in left_open(None) if name != "train.steps"))
    values = read_json(run.folder / "config.json")
    assert (values["train"]["keep_checkpoints"], values["train"]["log_every"]) == (5, 1)
    assert values["eval"]["episodes"] == 3
    assert len(list((run.folder / "checkpoints").iterdir())) == 4


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
def test_evaluations_that_mean_something_else_are_set_aside(change, new, configure, monkeypatch):
    configure = functools.partial(configure, variant="RDT", train__steps=8)
    interrupted(monkeypatch, step=6)
    train(configure())
    run = go_on(configure(**change))
    aside, found = evaluations_of(run, "evaluations-1"), evaluations_of(run)
    assert [(line["step"], line["target"]) for line in aside] == [(2, 50.0), (4, 50.0)]
    # What is on record is of one kind, from the update on that training went on from.
    assert [(line["step"], line["target"]) for line in found] == [(step, target) for step in (6, 8) for target in new]
    assert run.results["headline_target"] == str(new[0])
    assert set(run.results["best"]) == set(run.results["final"]) == set(map(str, new))
    (changed,) = read_lines(run.folder / "changes.jsonl")
    assert changed["set_aside"] == ["evaluations-1.jsonl"]
    assert load_run(run.folder).config.eval.targets == tuple(new)


def test_a_finished_run_is_scored_again_as_it_is_asked(configure):
    run = train(configure())
    first, evaluations = run.results, evaluations_of(run)
    again = go_on(configure(eval__episodes=5))
    assert again.results["final"]["50.0"]["aggregate"]["episodes"] == 5
    new = evaluations_of(run)
    assert new[:-1] == evaluations[:-1]
    assert new[-1]["returns"][:2] == evaluations[-1]["returns"]  # the same starts
    assert evaluations_of(run, "evaluations-1") == evaluations
    assert read_json(run.folder / "results-1.json") == first
    other = go_on(configure(eval__episodes=5, eval__targets=(20.0,)))
    assert set(other.results["final"]) == {"20.0"}
    aside = [line["set_aside"] for line in read_lines(run.folder / "changes.jsonl")]
    assert aside == [[f"evaluations-{n}.jsonl", f"results-{n}.json"] for n in (1, 2)]
