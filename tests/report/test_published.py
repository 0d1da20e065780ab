"""The published cells are those of the reference file, the source's slips are found, and QT's protocol by hand."""

import hashlib
from importlib import resources

import numpy as np
import pytest

from rvdt_jax.report.published import TABLES, cells_of, contradictions, maxima, published_scores, wrong_averages
from rvdt_jax.tasks import LOW_DATA, all_tasks


def test_every_line_of_the_reference_file_is_a_cell_of_one_table():
    content = (resources.files("rvdt_jax") / "reference" / "published_scores.csv").read_bytes()
    assert hashlib.sha256(content).hexdigest() == "367b6672568d517a86b71fbe4e8dfd959f9d472c6f4fb3e5a8237a3b510c1381"
    assert len(published_scores()) == sum(len(cells_of(table)) for table in TABLES) == 455
    assert {cell.regime for cell in cells_of("low-data")} == set(LOW_DATA)
    assert {cell.d4rl_task for cell in published_scores()} - {""} == set(all_tasks())
    cells = {(c.table, c.regime, c.d4rl_task or c.task, c.method): (c.mean, c.std) for c in published_scores()}
    assert cells["gym", "", "hopper-medium-expert-v2", "RVDT"] == (113.1, 0.5)
    assert cells["low-data", "D4", "maze2d-large-v1", "RVDT"] == (95.1, None)
    with pytest.raises(ValueError, match="no table 'mujoco'; choose one of gym, adroit"):
        cells_of("mujoco")


def test_where_the_source_contradicts_itself():
    wrong = {table: wrong_averages(table) for table in TABLES}
    assert {table: len(found) for table, found in wrong.items() if found} == {"gym": 6, "antmaze": 1}
    assert wrong["antmaze"] == ["QT: printed 57.0, mean of its cells 55.50"]
    assert len(contradictions()) == 3
    assert "QT on maze2d-umaze-v1: 99.2 in the table maze2d, 105.4 in the table maze2d-reward" in contradictions()


def test_of_each_seed_the_highest_mean_over_the_first_ten_episodes():
    by_seed = [
        # The episodes after the tenth do not count, the final evaluation does.
        ([3.0] * 10 + [99.0] * 10, [2.0] * 20, [7.0] * 10 + [0.0] * 90),
        ([1.0] * 20, [4.0] * 5 + [6.0] * 15, [2.0] * 10 + [None]),
        # An evaluation with a failed episode among the first ten does not.
        ([9.0, None] + [9.0] * 10, [1.0] * 10, [1.0] * 10),
        ([None] * 10, [None] * 10, [None] * 10),
    ]
    evaluations = [{"seed": 0, "target": "a b", "returns": [999.0]}]  # nor does another target
    evaluations += [{"seed": n, "target": 50.0, "returns": each} for n, rows in enumerate(by_seed) for each in rows]
    found = maxima(evaluations, "50.0")
    np.testing.assert_equal(found.returns, {0: 7.0, 1: 5.0, 2: 1.0, 3: np.nan})
    assert (found.evaluations, found.episodes) == (3, 10)
    assert maxima(evaluations, "a b").returns == {0: 999.0}
    assert maxima([], "50.0").returns == {}
