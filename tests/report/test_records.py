"""Record files that survive a crash, and scores worked out by hand."""

import json
import os

import pytest

from rvdt_jax.report.records import append_lines, best_step, keep_lines, read_json, read_lines, summarise, write_json


@pytest.fixture
def path(tmp_path):
    return tmp_path / "evaluations.jsonl"


def at_steps(*steps):
    return [{"step": step, "value": step / 3} for step in steps]


def test_what_is_appended_is_read_in_order(path):
    append_lines(path, at_steps(1, 2))
    append_lines(path, at_steps(3))
    assert read_lines(path) == at_steps(1, 2, 3)


def test_one_record_is_one_line_and_nothing_before_it_changes(path):
    append_lines(path, at_steps(1))
    before = path.read_bytes()
    append_lines(path, at_steps(2, 3))
    assert path.read_bytes().startswith(before)
    assert [json.loads(line) for line in path.read_text().splitlines()] == at_steps(1, 2, 3)


def test_no_file_holds_no_records(path):
    assert read_lines(path) == []
    assert not path.exists()


@pytest.mark.parametrize("kept", [1, 10, -1])
def test_a_last_line_cut_short_is_left_out(path, kept):
    """Also where only the line's end is missing, since the next record would be written behind it."""
    append_lines(path, at_steps(1, 2))
    whole = len(path.read_bytes())
    append_lines(path, at_steps(3))
    content = path.read_bytes()
    path.write_bytes(content[: whole + kept] if kept > 0 else content[:kept])
    assert read_lines(path) == at_steps(1, 2)


def truncate_after(path, step):
    """What a resumed run does with what it wrote after its checkpoint."""
    keep_lines(path, lambda record: record["step"] <= step)


def test_truncating_drops_what_lies_behind_a_step(path):
    append_lines(path, at_steps(10, 10, 20, 20, 30))
    truncate_after(path, 20)
    assert read_lines(path) == at_steps(10, 10, 20, 20)
    truncate_after(path, 15)
    assert read_lines(path) == at_steps(10, 10)
    truncate_after(path, 0)
    assert read_lines(path) == []


def test_truncating_leaves_what_it_keeps_byte_for_byte(path):
    append_lines(path, at_steps(1, 2))
    before = path.read_bytes()
    append_lines(path, at_steps(3))
    truncate_after(path, 2)
    assert path.read_bytes() == before


def test_after_a_crash_records_go_on_in_a_line_of_their_own(path):
    append_lines(path, at_steps(1, 2, 3))
    path.write_bytes(path.read_bytes()[:-5])
    truncate_after(path, 2)
    append_lines(path, at_steps(3))
    assert read_lines(path) == at_steps(1, 2, 3)


def test_truncating_no_file_makes_none(path):
    truncate_after(path, 5)
    assert not path.exists()


def test_json_is_written_and_read(tmp_path):
    write_json(tmp_path / "results.json", {"a": [1, 2.5, None]})
    assert read_json(tmp_path / "results.json") == {"a": [1, 2.5, None]}
    write_json(tmp_path / "results.json", {"b": 1})
    assert read_json(tmp_path / "results.json") == {"b": 1}
    assert [file.name for file in tmp_path.iterdir()] == ["results.json"]


def test_json_that_cannot_be_written_leaves_the_older_file_whole(tmp_path, monkeypatch):
    path = tmp_path / "results.json"
    write_json(path, {"a": 1})
    with pytest.raises(TypeError):
        write_json(path, {"a": object()})
    assert read_json(path) == {"a": 1}

    def crash(*arguments):
        raise OSError("killed before the move")

    monkeypatch.setattr(os, "replace", crash)
    with pytest.raises(OSError, match="killed"):
        write_json(path, {"a": 2})
    assert read_json(path) == {"a": 1}


@pytest.mark.parametrize("content", [None, b"", b'{"a": ', b"\xff\xfe"])
def test_json_that_cannot_be_read_is_named(tmp_path, content):
    path = tmp_path / "config.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ValueError, match=r"config\.json: cannot be read") as caught:
        read_json(path)
    assert str(caught.value).startswith(str(path))


def evaluation(step, seed, target, returns, final=False):
    lengths = [300] * len(returns)
    return {"step": step, "seed": seed, "target": target, "final": final, "returns": returns, "lengths": lengths}


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


@pytest.fixture
def summary(evaluations):
    """A return of 10 scores 0 and one of 60 scores 100: a score is 2 (return - 10)."""
    return summarise(evaluations, 10.0, 60.0)


def close(**values):
    return {name: pytest.approx(value) if isinstance(value, float) else value for name, value in values.items()}


def cell(value, score, episodes, step):
    return close(**{"return": value, "normalized_score": score, "episodes": episodes, "step": step})


def total(value, value_std, score, score_std, episodes, seeds):
    names = ("return", "return_std", "normalized_score", "normalized_score_std", "episodes", "num_seeds")
    return close(**dict(zip(names, (value, value_std, score, score_std, episodes, seeds), strict=True)))


ROOT_2 = 2**0.5


def test_final_scores_by_hand(summary):
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


def test_best_scores_by_hand(evaluations):
    """At update 10 the mean over seeds at the headline target, 50, is 25, and at update 20 it is 27."""
    summary = summarise(evaluations, 10.0, 60.0)
    assert summary["best"] == summary["final"]
    evaluations[0]["returns"] = [30.0, 58.0]  # at update 10 it is 27 now, and the earlier of equals counts
    assert summarise(evaluations, 10.0, 60.0)["best"] == {
        "50.0": {
            "seeds": {"0": cell(44.0, 68.0, 2, 10), "1": cell(10.0, 0.0, 2, 10)},
            "aggregate": total(27.0, 34 / ROOT_2, 34.0, 68 / ROOT_2, 4, 2),
        },
        "100.0": {
            "seeds": {"0": cell(10.0, 0.0, 2, 10), "1": cell(110.0, 200.0, 2, 10)},
            "aggregate": total(60.0, 100 / ROOT_2, 100.0, 200 / ROOT_2, 4, 2),
        },
    }


def test_the_best_scores_are_those_of_the_best_step(evaluations):
    """Of every seed and target: results.json and the kept checkpoint mean one update."""
    for best in (20, 10):
        summary = summarise(evaluations, 10.0, 60.0)["best"]
        steps = {cell["step"] for entry in summary.values() for cell in entry["seeds"].values()}
        assert steps == {best_step(evaluations)} == {best}
        for record in evaluations[:4]:
            record["returns"] = [value + 100 for value in record["returns"]]


def test_final_scores_do_not_change_with_the_evaluations_before(evaluations, summary):
    better = [evaluation(15, seed, 50.0, [1e6]) for seed in (0, 1)]
    changed = summarise(better + evaluations, 10.0, 60.0)
    assert changed["final"] == summary["final"]
    assert changed["best"]["50.0"]["aggregate"]["return"] == 1e6


def test_the_order_of_records_does_not_matter_but_for_the_first(evaluations, summary):
    """The first is at the headline target."""
    assert summarise([evaluations[0], *evaluations[:0:-1]], 10.0, 60.0) == summary


def test_a_run_without_a_final_evaluation_has_no_final_scores(evaluations):
    summary = summarise(evaluations[:4], 10.0, 60.0)
    assert summary["final"] == {}
    assert set(summary["best"]) == {"50.0", "100.0"}


def test_one_seed_has_no_standard_deviation(evaluations):
    summary = summarise([record for record in evaluations if record["seed"] == 0], 10.0, 60.0)
    for table in summary.values():
        aggregate = table["50.0"]["aggregate"]
        assert aggregate["return_std"] is None
        assert aggregate["normalized_score_std"] is None
        assert aggregate["num_seeds"] == 1


def test_three_seeds_use_the_deviation_of_the_sample():
    records = [evaluation(5, seed, "none", [value], final=True) for seed, value in enumerate((1.0, 2.0, 6.0))]
    aggregate = summarise(records, 0.0, 100.0)["final"]["none"]["aggregate"]
    # mean 3; squares 4 + 1 + 9 = 14, divided by n - 1 = 2
    assert (aggregate["return"], aggregate["return_std"]) == (3.0, pytest.approx(7**0.5))


# Without references, and with what the environment tells besides.


def test_without_references_there_are_returns_but_no_scores(evaluations):
    summary = summarise(evaluations, None, None)
    assert summary["final"]["50.0"] == {
        "seeds": {"0": cell(22.0, None, 3, 20), "1": cell(32.0, None, 3, 20)},
        "aggregate": total(27.0, 10 / ROOT_2, None, None, 6, 2),
    }
    assert summary["best"] == summary["final"]
    assert json.loads(json.dumps(summary, allow_nan=False)) == summary


def test_without_references_one_seed_has_neither_score_nor_deviation(evaluations):
    summary = summarise([record for record in evaluations if record["seed"] == 0], None, None)
    assert summary["final"]["50.0"]["aggregate"] == total(22.0, None, None, None, 3, 1)


@pytest.fixture
def outcomes():
    """Two seeds in the kitchen: 1 of 2 and 2 of 2 episodes succeed; 1.5 and 2 sub-tasks are completed."""
    records = [evaluation(20, seed, 4.0, returns, final=True) for seed, returns in enumerate(([1.0, 2.0], [2.0, 2.0]))]
    records[0] |= {"success": [False, True], "tasks": [["kettle"], ["kettle", "microwave"]]}
    records[1] |= {"success": [True, True], "tasks": [["kettle", "light switch"], ["light switch", "microwave"]]}
    return records


def test_success_and_completed_tasks_by_hand(outcomes):
    for table in summarise(outcomes, 0.0, 4.0).values():
        seeds, aggregate = table["4.0"]["seeds"], table["4.0"]["aggregate"]
        assert [seeds[seed]["success_rate"] for seed in "01"] == [0.5, 1.0]
        assert [seeds[seed]["tasks_completed"] for seed in "01"] == [1.5, 2.0]
        assert aggregate == total(1.75, 0.5 / ROOT_2, 43.75, 12.5 / ROOT_2, 4, 2) | close(
            success_rate=0.75, success_rate_std=0.5 / ROOT_2, tasks_completed=1.75, tasks_completed_std=0.5 / ROOT_2
        )


def test_what_the_environment_does_not_tell_is_in_no_cell(evaluations, summary):
    names = {name for table in summary.values() for entry in table.values() for name in entry["aggregate"]}
    assert not {name for name in names if name.startswith(("success", "tasks"))}


def test_one_seed_has_a_success_rate_without_a_deviation(outcomes):
    aggregate = summarise(outcomes[:1], None, None)["final"]["4.0"]["aggregate"]
    assert (aggregate["success_rate"], aggregate["success_rate_std"]) == (0.5, None)
    assert (aggregate["tasks_completed"], aggregate["tasks_completed_std"]) == (1.5, None)


def test_no_task_completed_is_a_number_too():
    record = evaluation(5, 0, 4.0, [0.0, 0.0], final=True) | {"success": [False, False], "tasks": [[], []]}
    aggregate = summarise([record], 0.0, 4.0)["final"]["4.0"]["aggregate"]
    assert (aggregate["success_rate"], aggregate["tasks_completed"]) == (0.0, 0.0)


def test_an_evaluation_that_is_there_twice_is_refused(evaluations):
    with pytest.raises(ValueError, match=r"two evaluations of seed 0 at step 20, one target"):
        summarise([*evaluations, evaluations[4]], 10.0, 60.0)


def test_a_summary_is_plain_json(summary):
    assert json.loads(json.dumps(summary, allow_nan=False)) == summary


# --- episodes that failed ---


def failing(step=10, final=True):
    returns, failed = [3.0, None, 5.0], [None, "it broke", None]
    one = {"step": step, "seed": 0, "target": 50.0, "returns": returns, "lengths": [9, 2, 9], "final": final}
    other = {"step": step, "seed": 1, "target": 50.0, "returns": [1.0, 2.0, 3.0], "lengths": [9] * 3, "final": final}
    return [one | {"failed": failed}, other]


def test_a_failed_episode_leaves_no_score_and_is_counted():
    """A mean of the others would flatter: that of a policy that breaks the simulator where it does badly."""
    entry = summarise(failing(), 0.0, 10.0)["final"]["50.0"]
    assert entry["seeds"]["0"] == {
        "return": None,
        "normalized_score": None,
        "episodes": 3,
        "step": 10,
        "failed_episodes": 1,
    }
    assert entry["seeds"]["1"]["normalized_score"] == 20.0
    assert entry["aggregate"]["normalized_score"] is None
    assert entry["aggregate"]["return_std"] is None
    assert entry["aggregate"]["failed_episodes"] == 1


def test_the_best_evaluation_is_one_without_failures():
    earlier = [record | {"step": 5, "final": False, "returns": [1.0] * 3} for record in failing()]
    earlier = [{name: value for name, value in record.items() if name != "failed"} for record in earlier]
    for records in (earlier + failing(), failing() + earlier):
        best = summarise(records, 0.0, 10.0)["best"]["50.0"]["seeds"]
        assert [(cell["return"], cell["step"]) for cell in best.values()] == [(1.0, 5), (1.0, 5)]
    assert summarise(failing(), 0.0, 10.0)["best"] == {}


def test_the_best_step_is_that_of_the_best_mean_over_seeds_at_the_first_target():
    def record(step, seed, target, value):
        return {"step": step, "seed": seed, "target": target, "returns": value}

    records = [record(1, 0, 9, [4.0, 6.0]), record(1, 0, 3, [99.0]), record(1, 1, 9, [1.0])]
    assert best_step([]) is None
    assert best_step(records) == 1
    records += [record(2, 0, 9, [9.0]), record(2, 1, 9, [None, 9.0])]  # failed
    assert best_step(records) == 1
    records += [record(3, 0, 9, [0.0]), record(3, 1, 9, [7.0])]
    assert best_step(records) == 3
    records += [record(4, 0, 9, [3.0]), record(4, 1, 9, [4.0])]  # as good, but later
    assert best_step(records) == 3


def test_a_file_larger_than_any_record_is_refused_before_it_is_read(tmp_path):
    path = tmp_path / "results.json"
    with path.open("wb") as file:
        file.truncate(10**12)  # takes no room on the disk
    with pytest.raises(ValueError, match=r"results\.json: cannot be read \(ValueError: it has more than 64 MiB"):
        read_json(path)


def test_json_nested_without_end_is_refused(tmp_path):
    path = tmp_path / "results.json"
    path.write_text("[" * 200_000)
    with pytest.raises(ValueError, match=r"results\.json: cannot be read \(RecursionError"):
        read_json(path)


def test_where_episodes_failed_nothing_else_is_known_either():
    one, other = failing()
    tells = {"success": [True, False, True], "tasks": [["kettle"], [], []]}
    seeds = summarise([one | tells, other | tells], 0.0, 10.0)["final"]["50.0"]["seeds"]
    assert (seeds["0"]["success_rate"], seeds["0"]["tasks_completed"]) == (None, None)
    assert (seeds["1"]["success_rate"], seeds["1"]["tasks_completed"]) == (2 / 3, 1 / 3)


def test_a_file_of_lines_larger_than_memory_is_refused_before_it_is_read(path):
    with path.open("wb") as file:
        file.truncate(10**13)
    with pytest.raises(ValueError, match=r"claims 9\.09 TiB, and this machine has .* Repair or remove it"):
        read_lines(path)
