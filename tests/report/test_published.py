"""The published cells are those of the reference file, and the source's own slips are found, not typed in."""

import hashlib
from importlib import resources

import pytest

from rvdt_jax.report.published import TABLES, cells_of, contradictions, published_scores, wrong_averages
from rvdt_jax.tasks import LOW_DATA, all_tasks


def test_the_file_is_the_reference_file():
    content = (resources.files("rvdt_jax") / "reference" / "published_scores.csv").read_bytes()
    digest = "367b6672568d517a86b71fbe4e8dfd959f9d472c6f4fb3e5a8237a3b510c1381"
    assert hashlib.sha256(content).hexdigest() == digest


def test_every_line_is_a_cell_of_one_table():
    assert len(published_scores()) == 455
    assert sum(len(cells_of(table)) for table in TABLES) == 455
    assert {cell.regime for cell in cells_of("low-data")} == set(LOW_DATA)
    assert {cell.d4rl_task for cell in published_scores()} - {""} == set(all_tasks())


def test_some_cells():
    cells = {(c.table, c.regime, c.d4rl_task or c.task, c.method): (c.mean, c.std) for c in published_scores()}
    assert cells["gym", "", "hopper-medium-expert-v2", "RVDT"] == (113.1, 0.5)
    assert cells["maze2d", "", "average", "QT"] == (170.2, None)
    assert cells["maze2d-reward", "", "maze2d-umaze-dense-v1", "DT"] == (-6.8, 10.9)
    assert cells["low-data", "D4", "maze2d-large-v1", "RVDT"] == (95.1, None)
    assert cells["ablation", "", "hopper", "RVDT-Dup"] == (112.1, None)


def test_seven_printed_averages_are_not_the_means_of_their_cells():
    wrong = {table: wrong_averages(table) for table in TABLES}
    assert {table: len(found) for table, found in wrong.items() if found} == {"gym": 6, "antmaze": 1}
    assert wrong["antmaze"] == ["QT: printed 57.0, mean of its cells 55.50"]


def test_qt_has_two_values_on_three_mazes_and_nothing_else_has():
    found = contradictions()
    assert len(found) == 3
    assert "QT on maze2d-umaze-v1: 99.2 in the table maze2d, 105.4 in the table maze2d-reward" in found


def test_an_unknown_table_is_named_with_those_there_are():
    with pytest.raises(ValueError, match="no table 'mujoco'; choose one of gym, adroit"):
        cells_of("mujoco")
