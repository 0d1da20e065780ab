"""Statistics over tasks: known answers, and equal text from equal records."""

import numpy as np
import pytest
from made_up_runs import write_run

from rvdt_jax.report.aggregate import aggregates, score_matrices
from rvdt_jax.report.cells import read_cells
from rvdt_jax.report.tables import make_table

TASKS = ("maze2d-umaze-v1", "maze2d-medium-v1", "maze2d-large-v1")


@pytest.fixture
def table(tmp_path):
    """QT: 0, 10, 20, 30 on every task. RVDT: the same, raised by 100; one seed more on one task, one task more."""
    for number, task in enumerate(TASKS):
        qt = {seed: 10.0 * seed for seed in range(4)}
        rvdt = {seed: 100 + score for seed, score in qt.items()} | ({9: 1e6} if number == 1 else {})
        if number < 2:
            write_run(tmp_path / f"QT{number}", task, "QT", qt)
        write_run(tmp_path / f"RVDT{number}", task, "RVDT", rvdt)
    return make_table("maze2d", read_cells([tmp_path]))


def test_tasks_and_runs_that_every_variant_has(table):
    matrices = score_matrices(table)
    assert list(matrices) == ["QT", "RVDT"]
    np.testing.assert_allclose(matrices["QT"], np.array([[0.0, 0], [10, 10], [20, 20], [30, 30]]), atol=1e-9)
    np.testing.assert_allclose(matrices["RVDT"], matrices["QT"] + 100)


def test_the_interquartile_mean_and_the_probability_of_improvement(table):
    np.random.seed(5)
    before = np.random.get_state()[1].copy()
    text = aggregates(table, resamples=200)
    assert "2 tasks, 4 runs each" in text
    assert "| QT | 15.0 [" in text  # of 0 0 10 10 20 20 30 30 the middle half
    assert "| RVDT | 115.0 [" in text
    assert "| RVDT > QT | 1.00 [1.00, 1.00] |" in text
    assert text == aggregates(table, resamples=200)
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # the caller's random numbers are left alone


def test_too_little_is_said_to_be_too_little(tmp_path):
    assert "nothing to aggregate" in aggregates(make_table("maze2d", {}))
    write_run(tmp_path / "a", TASKS[0], "QT", {0: 1.0})
    assert "intervals need two" in aggregates(make_table("maze2d", read_cells([tmp_path])))
