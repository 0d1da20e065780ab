"""What a terminal shows of results: every number by hand, and - where there is none."""

import pytest

from rvdt_jax.report.records import summarise
from rvdt_jax.report.summary import data_label, format_scores, plus_minus, print_results, target_name

RECREATED = {"dataset_id": "recreated/maze2d-umaze-v1", "recreated": True}
OWN = {"dataset_id": "toy/walk-v1"}


def results_of(
    rows, *, references=(10.0, 60.0), task="maze2d-umaze-v1", variant="RVDT", provenance=RECREATED, **outcomes
):
    """Results of one target: ``rows`` hold every seed's returns. A score is 2 (return - 10)."""
    records = [
        {"step": 20, "seed": seed, "target": 150.0, "final": True, "returns": list(row)}
        | {name: values[seed] for name, values in outcomes.items()}
        for seed, row in enumerate(rows)
    ]
    return {"task": task, "variant": variant, "steps": 20, "provenance": provenance, **summarise(records, *references)}


def words(line: str) -> list[str]:
    return line.split()


def test_a_line_holds_variant_target_score_return_seeds_and_episodes():
    (line,) = format_scores(results_of([[14.0, 16.0], [20.0, 20.0]]))
    # 15 and 20: 17.5 on average, 3.54 apart; twice that for scores
    assert words(line) == ["RVDT", "150.0", "15.0", "+-", "7.1", "17.5", "+-", "3.5", "2", "4"]


def test_one_seed_has_no_deviation():
    (line,) = format_scores(results_of([[14.0, 16.0]]))
    assert words(line) == ["RVDT", "150.0", "10.0", "15.0", "1", "2"]


@pytest.mark.parametrize("rows", [[[14.0, 16.0], [20.0, 20.0]], [[14.0, 16.0]]], ids=["two seeds", "one seed"])
def test_without_references_there_is_a_dash_in_the_place_of_the_score(rows):
    (line,) = format_scores(results_of(rows, references=(None, None)))
    expected = ["17.5", "+-", "3.5", "2", "4"] if len(rows) == 2 else ["15.0", "1", "2"]
    assert words(line) == ["RVDT", "150.0", "-", *expected]


def test_success_is_a_percentage_and_sub_tasks_a_mean_number():
    success, tasks = [[True, False], [True, True]], [[["kettle"], []], [["kettle", "microwave"], ["kettle"]]]
    (line,) = format_scores(results_of([[1.0, 0.0], [2.0, 1.0]], references=(0.0, 4.0), success=success, tasks=tasks))
    assert line.endswith("  success 75.0 %  1.00 sub-tasks")
    (line,) = format_scores(results_of([[1.0, 0.0], [1.0, 1.0]], success=success))
    assert line.endswith("  success 75.0 %")
    (line,) = format_scores(results_of([[1.0, 0.0], [2.0, 1.0]], tasks=tasks))
    assert line.endswith("  1.00 sub-tasks")
    assert "success" not in line


@pytest.mark.parametrize(
    ("mean", "std", "text"),
    [(1.25, None, "1.2"), (99.96, 0.04, "100.0 +- 0.0"), (-3.0, 2.0, "-3.0 +- 2.0"), (None, None, "-")],
)
def test_a_mean_stands_with_its_deviation_or_alone_or_not_at_all(mean, std, text):
    assert plus_minus(mean, std) == text


def test_recreated_data_are_named_as_such_and_others_by_their_id():
    assert data_label(RECREATED) == "recreated/maze2d-umaze-v1: recreated data, not D4RL's files"
    assert data_label(OWN) == "data: toy/walk-v1"
    assert data_label(OWN | {"recreated": False}) == "data: toy/walk-v1"


@pytest.mark.parametrize(
    ("target", "name"), [("150.0", "target 150"), ("0.5", "target 0.5"), ("none", "no target"), ("3 2", "target 3 2")]
)
def test_a_target_is_named_for_a_reader(target, name):
    assert target_name({"headline_target": target}) == name


def printed(capsys, results, folder="runs/x"):
    print_results(results, folder)
    return capsys.readouterr().out.splitlines()


def test_what_is_printed_names_task_updates_data_and_folder(capsys):
    lines = printed(capsys, [results_of([[14.0, 16.0]]), results_of([[30.0]], variant="DT")])
    assert lines[0] == ""
    assert lines[1] == f"maze2d-umaze-v1: final checkpoint after 20 updates ({data_label(RECREATED)})"
    assert words(lines[2]) == ["variant", "target", "score", "return", "seeds", "episodes"]
    assert words(lines[3]) == ["RVDT", "150.0", "10.0", "15.0", "1", "2"]
    assert words(lines[4]) == ["DT", "150.0", "40.0", "30.0", "1", "1"]
    assert lines[5] == "Records and learning curve: runs/x"
    assert len(lines) == 6


def test_the_columns_stand_below_their_headings(capsys):
    lines = printed(capsys, [results_of([[14.0, 16.0], [20.0, 20.0]]), results_of([[1.0]], references=(None, None))])
    heading, *rows = lines[2:5]
    for row in rows:
        assert len(row) == len(heading)


def test_a_run_without_a_task_and_without_references_is_printed_too(capsys):
    lines = printed(capsys, [results_of([[14.0, 16.0]], task=None, provenance=OWN, references=(None, None))])
    assert lines[1] == "toy/walk-v1: final checkpoint after 20 updates (data: toy/walk-v1)"
    assert words(lines[3]) == ["RVDT", "150.0", "-", "15.0", "1", "2"]


def test_where_nothing_was_scored_that_is_said(capsys):
    lines = printed(capsys, [results_of([], task=None, provenance=OWN)])
    assert lines[2:] == ["Nothing was scored. Records: runs/x"]


def test_failed_episodes_are_said_and_have_no_score():
    cell = {"normalized_score": None, "normalized_score_std": None, "return": None, "return_std": None}
    cell |= {"num_seeds": 2, "episodes": 200, "failed_episodes": 3}
    results = {"variant": "RVDT", "final": {"50.0": {"aggregate": cell}}}
    (line,) = format_scores(results)
    assert line.split()[:4] == ["RVDT", "50.0", "-", "-"]
    assert line.endswith("3 of 200 episodes failed: no score")
