"""Record files that survive a crash, and scores worked out by hand."""

import json
import os

import pytest

from rvdt_jax.report.records import (
    append_lines,
    best_step,
    extrapolation,
    keep_lines,
    read_json,
    read_lines,
    summarise,
    write_json,
)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "evaluations.jsonl"


def at_steps(*steps):
    return [{"step": step, "value": step / 3} for step in steps]


def test_records_are_appended_one_per_line_and_read_in_order(path):
    assert read_lines(path) == []
    append_lines(path, at_steps(1))
    before = path.read_bytes()
    append_lines(path, at_steps(2, 3))
    assert path.read_bytes().startswith(before)
    assert [json.loads(line) for line in path.read_text().splitlines()] == read_lines(path) == at_steps(1, 2, 3)


@pytest.mark.parametrize("kept", [1, 10, -1])
def test_an_incomplete_last_line_is_left_out(path, kept):
    """Also if only the line's end is missing, since the next record would be written behind it."""
    append_lines(path, at_steps(1, 2))
    whole = len(path.read_bytes())
    append_lines(path, at_steps(3))
    content = path.read_bytes()
    path.write_bytes(content[: whole + kept] if kept > 0 else content[:kept])
    assert read_lines(path) == at_steps(1, 2)


def test_a_damaged_line_is_named(path):
    append_lines(path, at_steps(1, 2))
    path.write_text(path.read_text() + "{\n")
    with pytest.raises(ValueError, match=r"evaluations\.jsonl, line 3: not valid JSON .* Repair or remove that line"):
        read_lines(path)


def test_a_resumed_run_drops_what_lies_behind_its_checkpoint(path):
    keep_lines(path, lambda record: record["step"] <= 20)
    assert not path.exists()
    append_lines(path, at_steps(10, 10, 20))
    before = path.read_bytes()
    append_lines(path, at_steps(30, 40))
    path.write_bytes(path.read_bytes()[:-5])  # a crash while writing
    keep_lines(path, lambda record: record["step"] <= 20)
    assert path.read_bytes() == before
    append_lines(path, at_steps(30))
    assert read_lines(path) == at_steps(10, 10, 20, 30)
    keep_lines(path, lambda record: False)
    assert read_lines(path) == []


def test_json_is_replaced_as_a_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "results.json"
    for value in ({"b": [1]}, {"a": 1}):
        write_json(path, value)
        assert read_json(path) == value
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(TypeError):
        write_json(path, {"a": object()})

    def crash(*arguments):
        raise OSError("killed before the move")

    monkeypatch.setattr(os, "replace", crash)
    with pytest.raises(OSError, match="killed"):
        write_json(path, {"a": 2})
    assert read_json(path) == {"a": 1}


@pytest.mark.parametrize(
    "content", [None, b"", b'{"a": ', b"\xff\xfe", b"[" * 200_000], ids=lambda value: str(value)[:9]
)
def test_json_that_cannot_be_read_is_named(tmp_path, content):
    path = tmp_path / "config.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ValueError, match=r"config\.json: cannot be read") as caught:
        read_json(path)
    assert str(caught.value).startswith(str(path))


@pytest.mark.parametrize(
    ("read", "size", "words"),
    [
        (read_json, 10**12, r"cannot be read \(ValueError: it has more than 64 MiB"),
        (read_lines, 10**13, r"claims 9\.09 TiB, and this machine has .* Repair or remove it"),
    ],
)
def test_a_huge_file_is_refused_before_it_is_read(path, read, size, words):
    with path.open("wb") as file:
        file.truncate(size)  # takes no room on the disk
    with pytest.raises(ValueError, match=words):
        read(path)


def evaluation(step, seed, target, returns, final=False, **more):
    lengths = [300] * len(returns)
    record = {"step": step, "seed": seed, "target": target, "final": final, "returns": returns, "lengths": lengths}
    return record | more


@pytest.fixture
def evaluations():
    """Two seeds and two targets, once during training and once at its end."""
    return [
        evaluation(10, 0, 50.0, [30.0, 50.0]),  # mean 40
        evaluation(10, 0, 100.0, [0.0, 20.0]),  # 10
        evaluation(10, 1, 50.0, [10.0, 10.0]),  # 10
        evaluation(10, 1, 100.0, [110.0, 110.0]),  # 110
        evaluation(20, 0, 50.0, [20.0, 20.0, 26.0], final=True),  # 22
        evaluation(20, 0, 100.0, [60.0, 50.0, 70.0], final=True),  # 60
        evaluation(20, 1, 50.0, [30.0, 30.0, 36.0], final=True),  # 32
        evaluation(20, 1, 100.0, [70.0, 70.0, 70.0], final=True),  # 70
    ]


REFERENCES = 10.0, 60.0  # a score is 2 (return - 10)
ROOT_2 = 2**0.5


def close(**values):
    return {name: pytest.approx(value) if isinstance(value, float) else value for name, value in values.items()}


def cell(value, score, episodes, step):
    return close(**{"return": value, "normalized_score": score, "episodes": episodes, "step": step})


def total(value, value_std, score, score_std, episodes, seeds):
    names = ("return", "return_std", "normalized_score", "normalized_score_std", "episodes", "num_seeds")
    return close(**dict(zip(names, (value, value_std, score, score_std, episodes, seeds), strict=True)))


def test_final_scores_by_hand(evaluations):
    summary = summarise(evaluations, *REFERENCES)
    assert summary["final"] == {
        "50.0": {
            "seeds": {"0": cell(22.0, 24.0, 3, 20), "1": cell(32.0, 44.0, 3, 20)},
            # Two values that lie 10 apart have the sample's standard deviation 10 / sqrt 2.
            "aggregate": total(27.0, 10 / ROOT_2, 34.0, 20 / ROOT_2, 6, 2),
        },
        "100.0": {
            "seeds": {"0": cell(60.0, 100.0, 3, 20), "1": cell(70.0, 120.0, 3, 20)},
            "aggregate": total(65.0, 10 / ROOT_2, 110.0, 20 / ROOT_2, 6, 2),
        },
    }
    assert json.loads(json.dumps(summary, allow_nan=False)) == summary
    with pytest.raises(ValueError, match=r"two evaluations of seed 0 at step 20, one target"):
        summarise([*evaluations, evaluations[4]], *REFERENCES)
    assert summarise(evaluations[:4], *REFERENCES)["final"] == {}


def test_best_scores_by_hand(evaluations):
    """At update 10 the mean over seeds at the headline target, 50, is 25, and at update 20 it is 27."""
    summary = summarise(evaluations, *REFERENCES)
    assert summary["best"] == summary["final"]
    assert best_step(evaluations) == 20
    evaluations[0]["returns"] = [30.0, 58.0]  # at update 10 it is 27 now, and the earlier of equals counts
    assert best_step(evaluations) == 10
    assert summarise(evaluations, *REFERENCES)["best"] == {
        "50.0": {
            "seeds": {"0": cell(44.0, 68.0, 2, 10), "1": cell(10.0, 0.0, 2, 10)},
            "aggregate": total(27.0, 34 / ROOT_2, 34.0, 68 / ROOT_2, 4, 2),
        },
        "100.0": {
            "seeds": {"0": cell(10.0, 0.0, 2, 10), "1": cell(110.0, 200.0, 2, 10)},
            "aggregate": total(60.0, 100 / ROOT_2, 100.0, 200 / ROOT_2, 4, 2),
        },
    }


def test_the_best_step_is_that_of_the_best_mean_over_seeds_at_the_first_target():
    records = [evaluation(1, 0, 9, [4.0, 6.0]), evaluation(1, 0, 3, [99.0]), evaluation(1, 1, 9, [1.0])]
    assert best_step([]) is None
    assert best_step(records) == 1
    records += [evaluation(2, 0, 9, [9.0]), evaluation(2, 1, 9, [None, 9.0])]  # failed
    assert best_step(records) == 1
    records += [evaluation(3, 0, 9, [0.0]), evaluation(3, 1, 9, [7.0])]
    assert best_step(records) == 3
    records += [evaluation(4, 0, 9, [3.0]), evaluation(4, 1, 9, [4.0])]  # as good, but later
    assert best_step(records) == 3


def test_deviations_are_those_of_the_sample_and_one_seed_has_none():
    records = [evaluation(5, seed, "none", [value], final=True) for seed, value in enumerate((1.0, 2.0, 6.0))]
    # mean 3; squares 4 + 1 + 9 = 14, divided by n - 1 = 2
    aggregate = summarise(records, 0.0, 100.0)["final"]["none"]["aggregate"]
    assert aggregate == total(3.0, 7**0.5, 3.0, 7**0.5, 3, 3)
    assert summarise(records[:1], 0.0, 100.0)["final"]["none"]["aggregate"] == total(1.0, None, 1.0, None, 1, 1)


def test_without_references_there_are_returns_but_no_scores(evaluations):
    summary = summarise(evaluations, None, None)
    assert summary["final"]["50.0"] == {
        "seeds": {"0": cell(22.0, None, 3, 20), "1": cell(32.0, None, 3, 20)},
        "aggregate": total(27.0, 10 / ROOT_2, None, None, 6, 2),
    }
    assert json.loads(json.dumps(summary, allow_nan=False)) == summary


def test_success_and_completed_tasks_by_hand():
    """Two seeds in the kitchen: 1 of 2 and 2 of 2 episodes succeed; 1.5 and 2 sub-tasks are completed."""
    tasks = [["kettle"], ["kettle", "microwave"]], [["kettle", "light switch"], ["light switch", "microwave"]]
    records = [
        evaluation(20, 0, 4.0, [1.0, 2.0], final=True, success=[False, True], tasks=tasks[0]),
        evaluation(20, 1, 4.0, [2.0, 2.0], final=True, success=[True, True], tasks=tasks[1]),
    ]
    entry = summarise(records, 0.0, 4.0)["final"]["4.0"]
    assert [entry["seeds"][seed]["success_rate"] for seed in "01"] == [0.5, 1.0]
    assert [entry["seeds"][seed]["tasks_completed"] for seed in "01"] == [1.5, 2.0]
    assert entry["aggregate"] == total(1.75, 0.5 / ROOT_2, 43.75, 12.5 / ROOT_2, 4, 2) | close(
        success_rate=0.75, success_rate_std=0.5 / ROOT_2, tasks_completed=1.75, tasks_completed_std=0.5 / ROOT_2
    )


def failing():
    """Seed 0 loses an episode, seed 1 none."""
    tells = {"success": [True, False, True], "tasks": [["kettle"], [], []]}
    failed = [None, "it broke", None]
    one = evaluation(10, 0, 50.0, [3.0, None, 5.0], final=True, failed=failed, **tells)
    return [one, evaluation(10, 1, 50.0, [1.0, 2.0, 3.0], final=True, **tells)]


def test_a_failed_episode_leaves_no_score_and_is_counted():
    """The mean of the others would be biased: that of a policy that breaks the simulator where it does badly."""
    entry = summarise(failing(), 0.0, 10.0)["final"]["50.0"]
    nothing = {"return": None, "normalized_score": None, "success_rate": None, "tasks_completed": None}
    assert entry["seeds"]["0"] == nothing | {"episodes": 3, "step": 10, "failed_episodes": 1}
    assert entry["seeds"]["1"]["normalized_score"] == 20.0
    assert (entry["seeds"]["1"]["success_rate"], entry["seeds"]["1"]["tasks_completed"]) == (2 / 3, 1 / 3)
    aggregate = entry["aggregate"]
    assert (aggregate["normalized_score"], aggregate["return_std"], aggregate["failed_episodes"]) == (None, None, 1)
    assert summarise(failing(), 0.0, 10.0)["best"] == {}  # the best evaluation is one without failures


def test_a_warning_of_extrapolation_from_one_hundredth_of_the_steps_on():
    record = evaluation(5, 3, 50.0, [1.0, 1.0])
    assert extrapolation(record) == extrapolation(record | {"steps_outside": 6}) == ""
    assert extrapolation(record | {"steps_outside": 60}).startswith("seed 3, target 50.0: 10% of the steps")
