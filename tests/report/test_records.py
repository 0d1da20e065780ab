"""Record files that survive a crash, and scores worked out by hand."""

import json
import os

import pytest

from rvdt_jax.errors import UserError
from rvdt_jax.report import records
from rvdt_jax.report.records import append_lines, best_step, keep_lines, read_json, read_lines, summarise, write_json
from rvdt_jax.report.results import check_scored


@pytest.fixture
def path(tmp_path):
    return tmp_path / "evaluations.jsonl"


def at_steps(*steps):
    return [{"step": step, "value": step / 3} for step in steps]


def test_records_are_appended_one_per_line_and_a_damaged_one_is_named(path):
    assert read_lines(path) == []
    append_lines(path, at_steps(1))
    append_lines(path, at_steps(2, 3))
    assert [json.loads(line) for line in path.read_text().splitlines()] == read_lines(path) == at_steps(1, 2, 3)
    path.write_text(path.read_text() + "{\n")
    with pytest.raises(ValueError, match=r"evaluations\.jsonl, line 4: not valid JSON .* Repair or remove that line"):
        read_lines(path)


def test_an_incomplete_last_line_is_left_out(path):
    """Also if only the line's end is missing, since the next record would be written behind it."""
    append_lines(path, at_steps(1, 2, 3))
    for lost in (1, 4, 15):
        os.truncate(path, path.stat().st_size - lost)
        assert read_lines(path) == at_steps(1, 2)


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


def test_json_is_replaced_as_a_whole_or_not_at_all(path):
    write_json(path, {"a": 1})
    with pytest.raises(TypeError):
        write_json(path, {"a": object()})
    assert read_json(path) == {"a": 1}
    assert list(path.parent.iterdir()) == [path]


def test_files_that_cannot_be_read_are_named_and_huge_ones_before_they_are_read(path):
    for content in (None, b'{"a": ', b"\xff\xfe", b"[" * 200_000):
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(ValueError, match=r"^/.*evaluations\.jsonl: cannot be read"):
            read_json(path)
    os.truncate(path, 10**13)  # takes no room on the disk
    with pytest.raises(ValueError, match=r"cannot be read \(ValueError: it has more than 64 MiB"):
        read_json(path)
    with pytest.raises(ValueError, match=r"claims 9\.09 TiB, and this machine has .* Repair or remove it"):
        read_lines(path)


def evaluation(step, seed, target, returns, final=False, **more):
    return {"step": step, "seed": seed, "target": target, "final": final, "returns": returns} | more


@pytest.fixture
def evaluations():
    """Two seeds and two targets, once during training and once at its end."""
    before = [(0, 50.0, [30.0, 50.0]), (0, 100.0, [0.0, 20.0]), (1, 50.0, [10.0, 10.0]), (1, 100.0, [110.0, 110.0])]
    final = [(0, 50.0, [20.0, 20.0, 26.0]), (0, 100.0, [60.0, 50.0, 70.0])]  # 22 and 60 on average
    final += [(1, 50.0, [30.0, 30.0, 36.0]), (1, 100.0, [70.0, 70.0, 70.0])]  # 32 and 70
    return [evaluation(10, *each) for each in before] + [evaluation(20, *each, final=True) for each in final]


REFERENCES = 10.0, 60.0  # a score is 2 (return - 10)
ROOT_2 = 2**0.5


def cell(value, score, episodes, step):
    return {"return": value, "normalized_score": pytest.approx(score), "episodes": episodes, "step": step}


def total(value, value_std, score, score_std, episodes, seeds):
    stds = {"return_std": pytest.approx(value_std), "normalized_score_std": pytest.approx(score_std)}
    return {"return": value, "normalized_score": score, "episodes": episodes, "num_seeds": seeds} | stds


def test_final_scores_by_hand(evaluations):
    summary = summarise(evaluations, *REFERENCES)
    seeds = {"0": cell(22.0, 24.0, 3, 20), "1": cell(32.0, 44.0, 3, 20)}
    # Two values that lie 10 apart have the sample's standard deviation 10 / sqrt 2.
    lower = {"seeds": seeds, "aggregate": total(27.0, 10 / ROOT_2, 34.0, 20 / ROOT_2, 6, 2)}
    seeds = {"0": cell(60.0, 100.0, 3, 20), "1": cell(70.0, 120.0, 3, 20)}
    higher = {"seeds": seeds, "aggregate": total(65.0, 10 / ROOT_2, 110.0, 20 / ROOT_2, 6, 2)}
    assert summary["final"] == {"50.0": lower, "100.0": higher}
    assert json.loads(json.dumps(summary, allow_nan=False)) == summary
    with pytest.raises(ValueError, match=r"two evaluations of seed 0 at step 20, one target"):
        summarise([*evaluations, evaluations[4]], *REFERENCES)
    assert summarise(evaluations[:4], *REFERENCES)["final"] == {}
    summary = summarise(evaluations[:5], None, None)  # one seed and no references
    assert summary["final"]["50.0"]["aggregate"] == total(22.0, None, None, None, 3, 1)
    assert json.loads(json.dumps(summary, allow_nan=False)) == summary


def test_best_scores_by_hand(evaluations):
    """At update 10 the mean over seeds at the headline target, 50, is 25, and at update 20 it is 27."""
    summary = summarise(evaluations, *REFERENCES)
    assert summary["best"] == summary["final"]
    assert best_step(evaluations) == 20
    evaluations[0]["returns"] = [30.0, 58.0]  # at update 10 it is 27 now, and the earlier of equals counts
    assert best_step(evaluations) == best_step(evaluations[:1] + evaluations[:0:-1]) == 10
    best = summarise(evaluations, *REFERENCES)["best"]["50.0"]
    assert best["seeds"] == {"0": cell(44.0, 68.0, 2, 10), "1": cell(10.0, 0.0, 2, 10)}
    assert best["aggregate"] == total(27.0, 34 / ROOT_2, 34.0, 68 / ROOT_2, 4, 2)
    evaluations[2]["returns"] = [None, 99.0]  # a step with a failed episode is never the best
    assert best_step(evaluations) == 20
    assert best_step([]) is None


def test_success_and_completed_tasks_by_hand():
    """Two seeds in the kitchen: 1 of 2 and 2 of 2 episodes succeed; 1.5 and 2 sub-tasks are completed."""
    tasks = [["kettle"], ["kettle", "microwave"]], [["kettle", "light switch"], ["light switch", "microwave"]]
    found = [evaluation(20, 0, 4.0, [1.0, 2.0], final=True, success=[False, True], tasks=tasks[0])]
    found += [evaluation(20, 1, 4.0, [2.0, 2.0], final=True, success=[True, True], tasks=tasks[1])]
    entry = summarise(found, 0.0, 4.0)["final"]["4.0"]
    assert entry["seeds"]["0"] == cell(1.5, 37.5, 2, 20) | {"success_rate": 0.5, "tasks_completed": 1.5}
    std = pytest.approx(0.5 / ROOT_2)
    outcomes = {"success_rate": 0.75, "success_rate_std": std, "tasks_completed": 1.75, "tasks_completed_std": std}
    assert entry["aggregate"] == total(1.75, 0.5 / ROOT_2, 43.75, 12.5 / ROOT_2, 4, 2) | outcomes


def test_a_failed_episode_leaves_no_score_and_is_counted():
    """The mean of the others would be biased: that of a policy that breaks the simulator where it does badly."""
    tells = {"final": True, "success": [True, False, True], "tasks": [["kettle"], [], []]}
    broken = evaluation(10, 0, 50.0, [3.0, None, 5.0], failed=[None, "it broke", None], **tells)
    summary = summarise([broken, evaluation(10, 1, 50.0, [1.0, 2.0, 3.0], **tells)], 0.0, 10.0)
    entry = summary["final"]["50.0"]
    nothing = {"return": None, "normalized_score": None, "success_rate": None, "tasks_completed": None}
    assert entry["seeds"]["0"] == nothing | {"episodes": 3, "step": 10, "failed_episodes": 1}
    assert entry["seeds"]["1"] == cell(2.0, 20.0, 3, 10) | {"success_rate": 2 / 3, "tasks_completed": 1 / 3}
    aggregate = entry["aggregate"]
    assert (aggregate["normalized_score"], aggregate["return_std"], aggregate["failed_episodes"]) == (None, None, 1)
    assert summary["best"] == {}


def test_an_evaluation_of_which_every_episode_failed_is_an_error(path):
    def check(*returns):
        reasons = [None if value else "it broke" for value in returns]
        check_scored(summarise([evaluation(10, 0, 50.0, returns, final=True, failed=reasons)], None, None), path)

    check(1.0, 2.0)
    check(None, 2.0)
    check_scored({"final": {}}, path)  # nothing was scored on this machine
    with pytest.raises(UserError, match=r"every episode .* failed; .*evaluations.jsonl has"):
        check(None, None)


def test_a_warning_of_extrapolation_from_one_hundredth_of_the_steps_on():
    record = evaluation(5, 3, 50.0, [1.0, 1.0], lengths=[300, 300])
    assert records.extrapolation(record | {"steps_outside": 6}) == ""
    assert records.extrapolation(record | {"steps_outside": 60}).startswith("seed 3, target 50.0: 10% of the steps")
