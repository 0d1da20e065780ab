"""``results.json`` and the picture of a run, out of its records."""

import json
import sys

import pytest

from rvdt_jax.report import plots
from rvdt_jax.report.records import append_lines
from rvdt_jax.report.results import write_results

SETTINGS = {"task": "maze2d-umaze-v1", "variant": "RVDT", "seeds": (0, 1), "train": {"steps": 20, "batch_size": 8}}
SETTINGS |= {"eval": {"action_selection": "mean"}}
FACTS = {
    "environment": "rvdt/maze2d-umaze-v1",
    "ref_min_return": 10.0,
    "ref_max_return": 60.0,
    "provenance": {"dataset_id": "recreated/maze2d-umaze-v1", "recreated": True},
    "hardware": "1 x cpu",
    "versions": {"numpy": "2"},
}
OF_OWN_DATA = FACTS | {
    "environment": None,
    "ref_min_return": None,
    "ref_max_return": None,
    "provenance": {"dataset_id": "toy/walk-v1"},
}


def evaluate(folder, *returns):
    """Records of a run of one seed per return, at two steps and two targets."""
    append_lines(
        folder / "evaluations.jsonl",
        (
            {"step": step, "seed": seed, "target": target, "final": step == 20, "returns": [value + target]}
            for step in (10, 20)
            for seed, value in enumerate(returns)
            for target in (5.0, 0.0)
        ),
    )


@pytest.fixture
def titles(monkeypatch):
    """The titles and references of what would have been drawn."""
    found = []
    monkeypatch.setattr(
        plots, "plot_learning_curves", lambda curves, path, **options: found.append((list(curves), options))
    )
    return found


def test_results_hold_scores_settings_and_facts(tmp_path):
    evaluate(tmp_path, 10.0, 20.0)
    results = write_results(SETTINGS, tmp_path, FACTS)
    assert json.loads((tmp_path / "results.json").read_text()) == results
    assert (results["task"], results["variant"], results["seeds"], results["steps"]) == (
        *("maze2d-umaze-v1", "RVDT"),
        *([0, 1], 20),
    )
    assert results["headline_target"] == "5.0"  # the first that was played
    assert FACTS.items() <= results.items()
    aggregate = results["final"]["5.0"]["aggregate"]
    assert (aggregate["return"], aggregate["normalized_score"]) == (20.0, 20.0)  # 2 (return - 10)
    assert set(results["best"]) == {"5.0", "0.0"}


def test_the_picture_is_drawn(tmp_path):
    evaluate(tmp_path, 10.0, 20.0)
    write_results(SETTINGS, tmp_path, FACTS)
    assert (tmp_path / "learning_curve.png").read_bytes().startswith(b"\x89PNG")


def test_the_picture_says_what_it_shows(tmp_path, titles):
    evaluate(tmp_path, 10.0, 20.0)
    write_results(SETTINGS, tmp_path, FACTS)
    ((labels, options),) = titles
    assert labels == ["RVDT (target 5)"]
    assert options == {"title": "maze2d-umaze-v1 (recreated data)", "ref_min_return": 10.0, "ref_max_return": 60.0}


def test_without_a_task_the_data_are_named_and_no_score_is_made_up(tmp_path, titles):
    evaluate(tmp_path, 10.0, 20.0)
    results = write_results(SETTINGS | {"task": None}, tmp_path, OF_OWN_DATA)
    ((_, options),) = titles
    assert options == {"title": "own data (toy/walk-v1)", "ref_min_return": None, "ref_max_return": None}
    cell = results["final"]["5.0"]["aggregate"]
    assert (cell["return"], cell["normalized_score"], cell["normalized_score_std"]) == (20.0, None, None)
    text = (tmp_path / "results.json").read_text()
    assert '"normalized_score": null' in text
    assert "NaN" not in text


def test_a_run_that_was_not_scored_has_results_and_no_picture(tmp_path):
    results = write_results(SETTINGS | {"task": None}, tmp_path, OF_OWN_DATA)
    assert results["headline_target"] is None
    assert (results["final"], results["best"]) == ({}, {})
    assert [path.name for path in tmp_path.iterdir()] == ["results.json"]


def test_without_matplotlib_there_are_results_and_a_word_about_the_picture(tmp_path, monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, "rvdt_jax.report.plots", None)
    evaluate(tmp_path, 10.0, 20.0)
    write_results(SETTINGS, tmp_path, FACTS)
    assert (tmp_path / "results.json").exists()
    assert not (tmp_path / "learning_curve.png").exists()
    assert "no picture" in caplog.text
