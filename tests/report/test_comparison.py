"""Runs side by side: the table's numbers by hand, and nothing in it that flatters or misnames."""

import pytest

from rvdt_jax.report import comparison
from rvdt_jax.report.comparison import compare, difference, format_table, target_name
from rvdt_jax.report.records import append_lines, summarise, write_json

REFERENCES = {"random": 0.0, "controller": 100.0}
RECREATED = {"dataset_id": "recreated/maze2d-umaze-v1", "recreated": True}
ORIGINAL = {"dataset_id": "D4RL/umaze-v1"}


def make_run(
    folder,
    variant,
    final,
    *,
    before=(),
    target=50.0,
    task="maze2d-umaze-v1",
    provenance=RECREATED,
    references=(10.0, 60.0),
):
    """A finished run: ``final`` and ``before`` hold one mean return per seed. A score is 2 (return - 10)."""
    evaluations = [
        {"step": step, "seed": seed, "target": target, "final": step == 20, "returns": [value - 1, value + 1]}
        for step, values in ((10, before or final), (20, final))
        for seed, value in enumerate(values)
    ]
    results = {
        "task": task,
        "variant": variant,
        "seeds": list(range(len(final))),
        "steps": 20,
        "headline_target": str(target),
        "ref_min_return": references[0],
        "ref_max_return": references[1],
        **summarise(evaluations, *references),
        "provenance": provenance,
        "hardware": "1 x cpu",
    }
    folder.mkdir(parents=True)
    append_lines(folder / "evaluations.jsonl", evaluations)
    write_json(folder / "results.json", results)
    return results


def table_of(folders, output):
    """What ``compare`` writes; the text that it returns names folders too."""
    compare(folders, output, references={})
    return (output / "table.txt").read_text(encoding="utf-8")


@pytest.fixture
def runs(tmp_path):
    """DT scores 10 and 20, RVDT 40, 46 and 52; both looked better before the end."""
    return [
        make_run(tmp_path / "DT", "DT", (15.0, 20.0), before=(444.0, 444.0)),
        make_run(tmp_path / "RVDT", "RVDT", (30.0, 33.0, 36.0), before=(777.0, 777.0, 777.0)),
    ]


def words(table, label):
    """The words of the row of ``label``."""
    (line,) = [line for line in table.splitlines() if line.startswith(f"{label}  ")]
    return line.removeprefix(label).split()


def test_the_table_holds_the_final_scores_by_hand(runs):
    table = format_table(runs, REFERENCES)
    # score, return, target, updates, seeds, episodes; the deviations are those of the sample
    assert words(table, "DT") == ["15.0", "+-", "7.1", "17.5", "+-", "3.5", "50", "20", "2", "4"]
    assert words(table, "RVDT")[:6] == ["46.0", "+-", "6.0", "33.0", "+-", "3.0"]
    assert words(table, "RVDT")[6:] == ["50", "20", "3", "6"]


def test_the_best_evaluation_in_training_is_nowhere_in_the_table(runs):
    table = format_table(runs, REFERENCES)
    assert "final checkpoint" in table
    for flattering in ("444", "868", "777", "1534"):  # returns, and the scores they would be
        assert flattering not in table


def test_the_table_names_task_and_hardware(runs):
    heading = format_table(runs, REFERENCES).splitlines()[:2]
    assert heading[0].startswith("maze2d-umaze-v1: normalised score of the final checkpoint")
    assert "1 x CPU (name not recorded)" in heading[1]


def test_references_are_in_the_table(runs):
    table = format_table(runs, REFERENCES)
    assert words(table, "random") == ["0.0"]
    assert words(table, "controller") == ["100.0"]


def test_differences_and_their_standard_errors_by_hand(runs):
    # 46 - 15; sqrt(7.071^2 / 2 + 6^2 / 3) = sqrt(25 + 12)
    assert difference(runs[1], runs[0]) == "RVDT - DT: 31.0, standard error 6.1"
    assert difference(runs[0], runs[1]) == "DT - RVDT: -31.0, standard error 6.1"


def test_the_last_run_is_compared_with_every_other(runs, tmp_path):
    runs.insert(0, make_run(tmp_path / "BC", "BC", (12.0, 14.0)))  # scores 4 and 8, deviation sqrt 8
    last = format_table(runs, REFERENCES).splitlines()[-2:]
    # sqrt(8 / 2 + 36 / 3) = 4
    assert last == ["RVDT - BC: 40.0, standard error 4.0", "RVDT - DT: 31.0, standard error 6.1"]


def test_one_seed_has_a_score_but_no_error(tmp_path):
    runs = [make_run(tmp_path / name, name, (30.0,)) for name in ("DT", "RVDT")]
    table = format_table(runs, {})
    assert words(table, "RVDT") == ["40.0", "30.0", "50", "20", "1", "2"]
    assert "standard error" not in table


@pytest.mark.parametrize("single", ["first", "last"])
def test_one_seed_beside_several_has_no_standard_error(tmp_path, single):
    returns = [(30.0,), (30.0, 33.0)] if single == "first" else [(30.0, 33.0), (30.0,)]
    runs = [make_run(tmp_path / str(number), f"run-{number}", values) for number, values in enumerate(returns)]
    assert "standard error" not in format_table(runs, {})


def test_comparing_writes_the_table_and_the_picture(runs, tmp_path):
    text = compare([tmp_path / "DT", tmp_path / "RVDT"], tmp_path, references=REFERENCES)
    table = (tmp_path / "table.txt").read_text()
    assert table.strip() in text
    assert words(table, "RVDT")[0] == "46.0"
    assert (tmp_path / "learning_curves.png").read_bytes().startswith(b"\x89PNG")
    assert str(tmp_path) in text


def test_recreated_data_is_named_as_such(runs, tmp_path):
    table = table_of([tmp_path / "DT", tmp_path / "RVDT"], tmp_path)
    assert "recreated data, not D4RL's files" in table


def test_other_data_is_named_by_its_id_and_not_called_recreated(tmp_path):
    make_run(tmp_path / "DT", "DT", (15.0, 20.0), provenance=ORIGINAL)
    table = table_of([tmp_path / "DT"], tmp_path)
    assert "D4RL/umaze-v1" in table
    assert "recreated" not in table


@pytest.mark.parametrize("order", [(RECREATED, ORIGINAL), (ORIGINAL, RECREATED)], ids=["first", "last"])
def test_recreated_data_beside_other_data_is_named_too(tmp_path, order):
    for number, provenance in enumerate(order):
        make_run(tmp_path / str(number), f"run-{number}", (15.0, 20.0), provenance=provenance)
    table = table_of([tmp_path / "0", tmp_path / "1"], tmp_path)
    assert "recreated" in table
    assert "D4RL/umaze-v1" in table


@pytest.fixture
def of_own_data(tmp_path):
    """A function: runs on data without a task and without references."""

    def make(*returns, **more):
        given = {"task": None, "provenance": {"dataset_id": "toy/walk-v1"}, "references": (None, None)} | more
        return [make_run(tmp_path / str(number), f"V{number}", each, **given) for number, each in enumerate(returns)]

    return make


def test_runs_without_references_are_compared_by_their_returns(of_own_data, tmp_path):
    of_own_data((15.0, 20.0), (30.0, 33.0))
    table = table_of([tmp_path / "0", tmp_path / "1"], tmp_path)
    assert words(table, "V0") == ["-", "17.5", "+-", "3.5", "50", "20", "2", "4"]
    assert "standard error" not in table  # of scores that there are none of
    assert "toy/walk-v1" in table
    assert (tmp_path / "learning_curves.png").stat().st_size > 5_000


def test_runs_without_a_task_are_not_called_none(of_own_data, tmp_path):
    of_own_data((15.0, 20.0))
    assert "None" not in table_of([tmp_path / "0"], tmp_path)


def test_a_run_on_a_task_and_one_on_other_data_are_refused(of_own_data, tmp_path):
    of_own_data((15.0, 20.0))
    make_run(tmp_path / "task", "DT", (1.0, 2.0))
    with pytest.raises(ValueError, match=r"several tasks cannot be compared"):
        compare([tmp_path / "0", tmp_path / "task"], tmp_path, references={})


@pytest.fixture
def drawn(monkeypatch):
    """What would have been drawn."""
    calls = []
    monkeypatch.setattr(comparison, "plot_learning_curves", lambda curves, path, **options: calls.append(curves))
    return calls


@pytest.mark.parametrize("target", [50.0, 0.5, "none", "300 200 50", "300"])
def test_the_headline_target_is_found_in_the_records(tmp_path, drawn, target):
    """A number; the name of no target; or the set of candidates among which a critic chooses, be it only one."""
    make_run(tmp_path / "RVDT", "RVDT", (15.0, 20.0), target=target)
    compare([tmp_path / "RVDT"], tmp_path, references={})
    ((evaluations, found),) = drawn[0].values()
    assert sum(record["target"] == found for record in evaluations) == 4


def test_two_runs_of_one_variant_are_two_curves(tmp_path, drawn):
    for number, value in enumerate((15.0, 30.0)):
        make_run(tmp_path / str(number), "RVDT", (value, value + 1))
    compare([tmp_path / "0", tmp_path / "1"], tmp_path, references={})
    assert len(drawn[0]) == 2


def test_runs_of_two_tasks_are_refused(runs, tmp_path):
    make_run(tmp_path / "large", "RVDT", (1.0,), task="maze2d-large-v1")
    with pytest.raises(ValueError, match="several tasks cannot be compared: maze2d-large-v1, maze2d-umaze-v1"):
        compare([tmp_path / "DT", tmp_path / "large"], tmp_path, references={})
    assert not (tmp_path / "table.txt").exists()
    assert not (tmp_path / "learning_curves.png").exists()


@pytest.mark.parametrize(
    ("target", "name"),
    [("50.0", "target 50"), ("0.5", "target 0.5"), ("none", "no target"), ("300 200", "target 300 200")],
)
def test_a_target_is_named_for_a_reader(target, name):
    assert target_name({"headline_target": target}) == name
