"""``results.json``, the picture of a run and the printed table, from its records."""

import json
import sys

import pytest

from rvdt_jax.report import plots, provenance
from rvdt_jax.report.records import append_lines, summarise
from rvdt_jax.report.results import data_label, format_scores, hardware_label, print_results, target_name, write_results

SETTINGS = {"task": "maze2d-umaze-v1", "variant": "RVDT", "seeds": (0, 1), "train": {"steps": 20, "batch_size": 8}}
SETTINGS |= {"eval": {"action_selection": "best_of"}}
RECREATED = {"dataset_id": "recreated/maze2d-umaze-v1", "recreated": True}
OWN = {"dataset_id": "toy/walk-v1"}
FACTS = {"environment": "rvdt/maze2d-umaze-v1", "ref_min_return": 10.0, "ref_max_return": 60.0}
FACTS |= {"provenance": RECREATED, "hardware": "1 x cpu", "versions": {"numpy": "2"}}
OF_OWN_DATA = FACTS | {"environment": None, "ref_min_return": None, "ref_max_return": None, "provenance": OWN}


def evaluate(folder, *returns):
    """Records of a run of one seed per return, at two steps and two targets."""
    records = (
        {"step": step, "seed": seed, "target": target, "final": step == 20, "returns": [value + target]}
        for step in (10, 20)
        for seed, value in enumerate(returns)
        for target in (5.0, 0.0)
    )
    append_lines(folder / "evaluations.jsonl", records)


def test_results_hold_scores_settings_and_facts(tmp_path):
    evaluate(tmp_path, 10.0, 20.0)
    results = write_results(SETTINGS, tmp_path, FACTS)
    assert json.loads((tmp_path / "results.json").read_text()) == results
    expected = FACTS | {"task": "maze2d-umaze-v1", "variant": "RVDT", "seeds": [0, 1], "steps": 20}
    expected |= {"action_selection": "best_of", "headline_target": "5.0"}  # the first that was played
    assert expected.items() <= results.items()
    aggregate = results["final"]["5.0"]["aggregate"]
    assert (aggregate["return"], aggregate["normalized_score"]) == (20.0, 20.0)  # 2 (return - 10)
    assert set(results["best"]) == {"5.0", "0.0"}
    assert (tmp_path / "learning_curve.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("task", "facts", "title"),
    [("maze2d-umaze-v1", FACTS, "maze2d-umaze-v1 (recreated data)"), (None, OF_OWN_DATA, "own data (toy/walk-v1)")],
)
def test_the_picture_says_what_it_shows_and_without_scores_there_is_none(tmp_path, monkeypatch, task, facts, title):
    drawn = []
    monkeypatch.setattr(plots, "plot_learning_curves", lambda *curves, **options: drawn.append((*curves[0], options)))
    results = write_results(SETTINGS | {"task": task}, tmp_path, facts)
    assert (results["headline_target"], results["final"], results["best"], drawn) == (None, {}, {}, [])
    evaluate(tmp_path, 10.0, 20.0)
    write_results(SETTINGS | {"task": task}, tmp_path, facts)
    low, high = facts["ref_min_return"], facts["ref_max_return"]
    options = {"title": title, "held": [], "ref_min_return": low, "ref_max_return": high}
    assert drawn == [("RVDT (target 5)", options)]


def test_without_matplotlib_there_are_results_and_a_warning(tmp_path, monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, "rvdt_jax.report.plots", None)
    evaluate(tmp_path, 10.0, 20.0)
    write_results(SETTINGS, tmp_path, FACTS)
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["evaluations.jsonl", "results.json"]
    assert "no picture" in caplog.text


def results_of(*rows, references=(10.0, 60.0), variant="RVDT", **outcomes):
    """Results of one target: ``rows`` hold every seed's returns. A score is 2 (return - 10)."""
    common = {"step": 20, "target": 150.0, "final": True} | outcomes
    records = [common | {"seed": seed, "returns": row} for seed, row in enumerate(rows)]
    facts = {"task": "maze2d-umaze-v1", "variant": variant, "steps": 20, "provenance": RECREATED}
    return facts | summarise(records, *references)


SUCCESS = {"success": [True, False], "tasks": [["kettle", "microwave"], ["kettle"]]}


@pytest.mark.parametrize(
    ("rows", "facts", "words"),
    [
        # 15 and 20: 17.5 on average, 3.54 apart; twice that for scores
        ([[14.0, 16.0], [20.0, 20.0]], {}, "15.0 +- 7.1 17.5 +- 3.5 2 4"),
        ([[14.0, 16.0]], {}, "10.0 15.0 1 2"),
        ([[14.0, 16.0], [20.0, 20.0]], {"references": (None, None)}, "- 17.5 +- 3.5 2 4"),
        ([[14.0, 16.0]], SUCCESS, "10.0 15.0 1 2 success 50.0 % 1.50 sub-tasks"),
        ([[1.0, None]], {"failed": [None, "it broke"]}, "- - 1 2 1 of 2 episodes failed: no score"),
    ],
)
def test_a_line_holds_variant_target_score_return_seeds_episodes_and_outcomes(rows, facts, words):
    (line,) = format_scores(results_of(*rows, **facts))
    assert line.split() == ["RVDT", "150.0", *words.split()]


def test_labels(monkeypatch):
    assert data_label(RECREATED) == "recreated/maze2d-umaze-v1: recreated data, not D4RL's files"
    assert data_label(OWN) == data_label(OWN | {"recreated": False}) == "data: toy/walk-v1"
    names = {"150.0": "target 150", "0.5": "target 0.5", "none": "no target", "3 2": "target 3 2"}
    assert {target: target_name({"headline_target": target}) for target in names} == names
    monkeypatch.setattr(provenance, "processor", lambda: "AMD EPYC")
    monkeypatch.setattr(provenance, "usable_cores", lambda: 2)
    assert provenance.describe_hardware("cpu") == "1 x AMD EPYC (2 cores)"
    assert provenance.describe_hardware("NVIDIA H100", devices=4) == "4 x NVIDIA H100"
    assert provenance.describe_hardware("cpu", 4, processes=2) == "2 processes x 2 x AMD EPYC (2 cores)"
    assert hardware_label({"hardware": "1 x cpu"}) == "1 x CPU (name not recorded)"


def test_what_is_printed(capsys):
    print_results([results_of([14.0, 16.0], [20.0, 20.0]), results_of([30.0], variant="DT")], "runs/x")
    _, subject, *table, end = capsys.readouterr().out.splitlines()
    assert subject == f"maze2d-umaze-v1: final checkpoint after 20 updates ({data_label(RECREATED)})"
    assert end == "Records and learning curve: runs/x"
    assert [line.split()[0] for line in table] == ["variant", "RVDT", "DT"]
    assert len({len(line) for line in table}) == 1  # the columns stand below their headings
    print_results([results_of() | {"task": None, "provenance": OWN}], "runs/x")
    subject = "toy/walk-v1: final checkpoint after 20 updates (data: toy/walk-v1)"
    assert capsys.readouterr().out.splitlines()[1:] == [subject, "Nothing was scored. Records: runs/x"]
