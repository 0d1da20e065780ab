"""Runs side by side: the table's numbers by hand, and nothing in it that flatters or misnames."""

import re

import pytest
from made_up_runs import write_run
from reporting import comparison
from reporting.comparison import compare, format_table

from rvdt_jax.report.records import read_json

TASK = "maze2d-umaze-v1"  # a score s is the return 23.85 + 1.3801 s
OF_OWN_DATA = {"task": None, "provenance": {"dataset_id": "toy/walk-v1"}}


@pytest.fixture
def make_run(tmp_path):
    """A function that writes a finished run with these scores and returns its results."""

    def make(name, *scores, task=TASK, **about):
        write_run(tmp_path / name, task, name.removesuffix("-2"), dict(enumerate(scores)), **about)
        return read_json(tmp_path / name / "results.json")

    return make


def table_of(output, *names):
    """The table that ``compare`` writes; the text that it returns names folders too."""
    compare([output / name for name in names], output, references={})
    return (output / "table.txt").read_text(encoding="utf-8")


def words(table, label):
    """The words of the row of ``label``."""
    (line,) = [line for line in table.splitlines() if line.startswith(f"{label}  ")]
    return line.removeprefix(label).split()


def test_the_table_holds_final_scores_and_differences_by_hand(make_run):
    """All looked better before: a score of 868, a return of 1221.8."""
    runs = [make_run("BC", 4.0, 8.0), make_run("DT", 10.0, 20.0, best=868.0), make_run("RVDT", 40.0, 46.0, 52.0)]
    table = format_table(runs, {"controller": 100.0})
    # score, return, target, updates, seeds, episodes; the deviations are those of the sample
    assert words(table, "RVDT") == ["46.0", "+-", "6.0", "87.3", "+-", "8.3", "50", "20", "3", "3"]
    assert words(table, "controller") == ["100.0"]
    # sqrt(8 / 2 + 36 / 3) = 4; sqrt(7.071^2 / 2 + 6^2 / 3) = sqrt(25 + 12)
    assert table.endswith("RVDT - BC: 40.0, standard error 4.0\nRVDT - DT: 31.0, standard error 6.1")
    assert not re.search("868|1221", table)


def test_runs_on_data_of_ones_own_are_compared_by_their_returns(make_run, tmp_path):
    make_run("V0", 15.0, 20.0, **OF_OWN_DATA)
    make_run("V1", 30.0, **OF_OWN_DATA)
    table = table_of(tmp_path, "V0", "V1")
    assert (tmp_path / "learning_curves.png").read_bytes().startswith(b"\x89PNG")
    assert words(table, "V0") == ["-", "17.5", "+-", "3.5", "50", "20", "2", "2"]
    assert words(table, "V1") == ["-", "30.0", "50", "20", "1", "1"]
    assert table.startswith("toy/walk-v1: ")
    assert "standard error" not in table  # of scores that do not exist
    assert "None" not in table
    runs = [make_run("DT", 30.0), make_run("QT", 30.0, 33.0)]  # one has a single seed
    for pair in (runs, runs[::-1]):
        assert "standard error" not in format_table(pair, {})


@pytest.mark.parametrize("other", [{"task": "maze2d-large-v1"}, OF_OWN_DATA])
def test_runs_of_two_tasks_are_refused(make_run, tmp_path, other):
    make_run("DT", 1.0, 2.0)
    make_run("other", 1.0, 2.0, **other)
    with pytest.raises(ValueError, match=r"several tasks cannot be compared: .*maze2d-umaze-v1"):
        table_of(tmp_path, "DT", "other")
    assert not list(tmp_path.glob("*.*"))


@pytest.mark.parametrize("target", [50.0, 0.5, "none", "300 200 50", "300"])
def test_the_headline_target_is_found_in_the_records(make_run, tmp_path, monkeypatch, target):
    """A number, the name of no target, or the set of candidates of a critic, even of one; two runs are two curves."""
    drawn = []
    monkeypatch.setattr(comparison, "plot_learning_curves", lambda curves, path, **options: drawn.append(curves))
    for name in ("RVDT", "RVDT-2"):
        make_run(name, 15.0, 20.0, target=target)
    table_of(tmp_path, "RVDT", "RVDT-2")
    assert len(drawn[0]) == 2
    for evaluations, found in drawn[0].values():
        assert sum(record["target"] == found for record in evaluations) == 4
