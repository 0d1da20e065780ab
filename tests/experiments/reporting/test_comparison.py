"""Runs side by side: the table's numbers by hand, and nothing in it that flatters or misnames."""

import pytest
from reporting import comparison
from reporting.comparison import compare, format_table

from rvdt_jax.report.records import append_lines, write_json
from rvdt_jax.report.results import assemble_results

REFERENCES = {"random": 0.0, "controller": 100.0}
RECREATED = {"dataset_id": "recreated/maze2d-umaze-v1", "recreated": True}
OF_OWN_DATA = {"task": None, "provenance": {"dataset_id": "toy/walk-v1"}, "references": (None, None)}


@pytest.fixture
def make_run(tmp_path):
    """A function that writes a finished run; ``final`` and ``before`` hold one mean return per seed."""

    def make(name, final, before=(), target=50.0, references=(10.0, 60.0), **facts):
        evaluations = [
            {"step": step, "seed": seed, "target": target, "final": step == 20, "returns": [value - 1, value + 1]}
            for step, values in ((10, before or final), (20, final))
            for seed, value in enumerate(values)
        ]
        settings = {"variant": name.split("/")[-1].removesuffix("-2"), "seeds": range(len(final)), "eval": {}}
        facts = {"task": "maze2d-umaze-v1", "provenance": RECREATED, "hardware": "1 x cpu"} | facts
        facts |= dict(zip(("ref_min_return", "ref_max_return"), references, strict=True))
        results = assemble_results({"task": None} | settings, 20, evaluations, facts)
        (tmp_path / name).mkdir(parents=True)
        append_lines(tmp_path / name / "evaluations.jsonl", evaluations)
        write_json(tmp_path / name / "results.json", results)
        return results

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
    """A score is 2 (return - 10): BC scores 4 and 8, DT 10 and 20, RVDT 40, 46 and 52; all looked better before."""
    runs = [
        make_run("BC", (12.0, 14.0)),
        make_run("DT", (15.0, 20.0), before=(444.0, 444.0)),
        make_run("RVDT", (30.0, 33.0, 36.0), before=(777.0, 777.0, 777.0)),
    ]
    table = format_table(runs, REFERENCES)
    # score, return, target, updates, seeds, episodes; the deviations are those of the sample
    assert words(table, "DT") == ["15.0", "+-", "7.1", "17.5", "+-", "3.5", "50", "20", "2", "4"]
    assert words(table, "RVDT") == ["46.0", "+-", "6.0", "33.0", "+-", "3.0", "50", "20", "3", "6"]
    assert (words(table, "random"), words(table, "controller")) == (["0.0"], ["100.0"])
    # sqrt(8 / 2 + 36 / 3) = 4; sqrt(7.071^2 / 2 + 6^2 / 3) = sqrt(25 + 12)
    last = ["RVDT - BC: 40.0, standard error 4.0", "RVDT - DT: 31.0, standard error 6.1"]
    assert table.splitlines()[-2:] == last
    heading = table.splitlines()[:2]
    assert heading[0].startswith("maze2d-umaze-v1: normalised score of the final checkpoint")
    assert "1 x CPU (name not recorded)" in heading[1]
    for flattering in ("444", "868", "777", "1534"):  # returns, and the scores they would be
        assert flattering not in table


def test_runs_on_data_of_ones_own_are_compared_by_their_returns(make_run, tmp_path):
    make_run("V0", (15.0, 20.0), **OF_OWN_DATA)
    make_run("V1", (30.0,), **OF_OWN_DATA)
    table = table_of(tmp_path, "V0", "V1")
    assert (tmp_path / "learning_curves.png").read_bytes().startswith(b"\x89PNG")
    assert words(table, "V0") == ["-", "17.5", "+-", "3.5", "50", "20", "2", "4"]
    assert words(table, "V1") == ["-", "30.0", "50", "20", "1", "2"]
    assert table.startswith("toy/walk-v1: ")
    assert "standard error" not in table  # of scores that do not exist
    assert "None" not in table
    one_seed = [make_run("V2", (30.0,)), make_run("V3", (30.0, 33.0))]
    for runs in (one_seed, one_seed[::-1]):
        assert "standard error" not in format_table(runs, {})


@pytest.mark.parametrize("other", [{"task": "maze2d-large-v1"}, OF_OWN_DATA])
def test_runs_of_two_tasks_are_refused(make_run, tmp_path, other):
    make_run("DT", (1.0, 2.0))
    make_run("other", (1.0, 2.0), **other)
    with pytest.raises(ValueError, match=r"several tasks cannot be compared: .*maze2d-umaze-v1"):
        table_of(tmp_path, "DT", "other")
    assert not list(tmp_path.glob("*.*"))


@pytest.mark.parametrize("target", [50.0, 0.5, "none", "300 200 50", "300"])
def test_the_headline_target_is_found_in_the_records(make_run, tmp_path, monkeypatch, target):
    """A number, the name of no target, or the set of candidates of a critic, even of one; two runs are two curves."""
    drawn = []
    monkeypatch.setattr(comparison, "plot_learning_curves", lambda curves, path, **options: drawn.append(curves))
    for name in ("a/RVDT", "b/RVDT-2"):
        make_run(name, (15.0, 20.0), target=target)
    compare([tmp_path / "a" / "RVDT", tmp_path / "b" / "RVDT-2"], tmp_path, references={})
    assert len(drawn[0]) == 2
    for evaluations, found in drawn[0].values():
        assert sum(record["target"] == found for record in evaluations) == 4
