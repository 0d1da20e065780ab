"""Statistics over tasks: known answers, and equal text from equal records."""

import math

import numpy as np
import pytest
from made_up_runs import line_of, write_run
from reporting.aggregate import aggregates, claims, probability_of_improvement
from rliable import metrics

from rvdt_jax.report.cells import read_cells
from rvdt_jax.report.tables import make_table

TASKS = ("maze2d-umaze-v1", "maze2d-medium-v1", "maze2d-large-v1")


def test_the_interquartile_mean_and_the_probability_of_improvement(tmp_path):
    """QT: 0 to 30 on two tasks. RVDT: 15 to 75 in seven runs, in eight on a third. Half-way all were at 500."""
    for number, task in enumerate(TASKS):
        if number < 2:
            write_run(tmp_path / f"QT{number}", task, "QT", {seed: 10.0 * seed for seed in range(4)})
        rvdt = {seed: 15 + 10.0 * seed for seed in range(7)} | ({7: 1e6} if number == 2 else {})
        write_run(tmp_path / f"RVDT{number}", task, "RVDT", rvdt)
    table = make_table("maze2d", read_cells([tmp_path]))
    np.random.seed(5)
    before = np.random.get_state()[1].copy()
    line = line_of(claims([table], resamples=200), "maze2d")
    assert line[1:4] == ["2", "QT 4, RVDT 7", ""]  # over the tasks of both
    assert [word.split()[0] if word else "" for word in line[4:]] == ["15.0", "45.0", "", "0.89"]
    text = aggregates(table, resamples=200)
    tasks, runs, mean = line_of(text, "QT")[1:]
    assert (tasks, runs, mean.split()[0]) == ("2", "4", "15.0")  # of 0 0 10 10 20 20 30 30 the middle half
    assert line_of(text, "RVDT")[1:3] == ["3", "7"]  # the eighth run has one task only
    tasks, runs, improvement = line_of(text, "RVDT > QT")[1:]
    assert (tasks, runs, improvement.split()[0]) == ("2", "7 and 4", "0.89")  # 25 of 28 pairs
    low, high = (float(word.strip("[,]")) for word in improvement.split()[1:])
    assert 0.6 < low < 0.89 < high <= 1.0
    assert "Interquartile means over different tasks cannot be compared." in text
    assert text == aggregates(table, resamples=200)
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # the caller's random numbers are left alone


def test_the_probability_is_rliables():
    rng = np.random.default_rng(0)
    for _ in range(20):
        ours, theirs = (rng.integers(0, 6, (runs, 3)).astype(float) for runs in (5, 8))  # many ties
        expected = metrics.probability_of_improvement(ours, theirs)
        assert probability_of_improvement(ours, theirs) == pytest.approx(expected)


def test_too_few_runs_are_reported(tmp_path):
    write_run(tmp_path / "a", TASKS[0], "QT", {0: 1.0})
    assert "no cell has a score of two runs" in aggregates(make_table("maze2d", read_cells([tmp_path])))
    write_run(tmp_path / "b", TASKS[1], "QT", {0: 1.0, 1: 2.0})
    write_run(tmp_path / "c", TASKS[2], "QT", {0: 1.0, 1: math.nan})
    text = aggregates(make_table("maze2d", read_cells([tmp_path])), resamples=20)
    assert f"Left out, because a run failed or there is only one: {TASKS[0]} QT, {TASKS[2]} QT." in text
    assert "probability" not in text
