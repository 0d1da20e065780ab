"""Made-up records through every table, in every format: numbers, blanks, failures, averages."""

import csv
import io
import math
import re

import pytest
from made_up_runs import line_of, write_run

from rvdt_jax.report.cells import read_cells
from rvdt_jax.report.published import TABLES, cells_of
from rvdt_jax.report.render import as_csv, latex, markdown
from rvdt_jax.report.tables import Column, make_table


@pytest.fixture
def write(tmp_path):
    """A function that writes runs of a variant, and returns the cells of all runs so far."""

    def write(variant, scores, **options):
        for task, of_task in scores.items():
            write_run(tmp_path / f"{task}-{variant}-{options.get('regime')}", task, variant, of_task, **options)
        return read_cells([tmp_path])

    return write


UMAZE, MEDIUM, LARGE = "maze2d-umaze-v1", "maze2d-medium-v1", "maze2d-large-v1"


def rows_of_csv(table):
    return list(csv.DictReader(io.StringIO(as_csv(table))))


def headings_of(text):
    return [cell.strip() for cell in re.search(r"^\|( +\|.*)\|$", text, re.MULTILINE)[1].split("|")]


def markdown_line(table, label):
    """The cells of that line in Markdown, by heading."""
    return dict(zip(headings_of(markdown(table)), line_of(markdown(table), label), strict=True))


@pytest.mark.parametrize("name", TABLES)
def test_without_records_every_published_cell_stands_and_ours_are_blank(name):
    table = make_table(name, {})
    rows = rows_of_csv(table)
    printed = {(row["regime"], row["task"], row["method"]): row["published_mean"] for row in rows}
    for cell in cells_of(name):
        assert float(printed[cell.regime, cell.d4rl_task or cell.task, cell.method]) == cell.mean
    assert all(row[column] == "" for row in rows for column in ("our_mean", "our_std", "difference", "seeds", "data"))
    assert "Our cells" not in markdown(table)
    assert latex(table).count(r"\\") == len(table.rows) + 1


@pytest.mark.parametrize("name", TABLES)
def test_a_cell_of_every_table_arrives_in_every_format(name, write):
    """Half-way both seeds scored 33: for seed 0 that is the maximum, for seed 1 the final score is."""
    empty = make_table(name, {})
    row, variant = next(row for row in empty.rows if row.task), empty.variants[0]
    table = make_table(name, write(variant, {row.task: {0: 30.0, 1: 34.0}}, regime=row.regime or None, best=33.0))
    assert [(r.label, v) for r, v, _ in table.cells()] == [(row.label, variant)]
    line = markdown_line(table, row.label)
    assert (line[f"{variant}, ours"], line[f"{variant}, ours (max)"]) == ("**32.0 ± 2.8**", "33.5 ± 0.7")
    assert r"32.0 $\pm$ 2.8 & 33.5 $\pm$ 0.7" in latex(table)
    published = row.published.get(variant)
    gap = "" if published is None else f"{32.0 - published.mean:.2f}"
    expected = {"our_mean": "32.00", "our_std": "2.83", "our_max_mean": "33.50", "our_max_std": "0.71"}
    expected |= {"evaluations": "2", "episodes_per_evaluation": "1", "seeds": "2", "episodes_per_seed": "1"}
    expected |= {"difference": gap, "updates": "20", "data": "recreated/x: recreated data, not D4RL's files"}
    line = next(line for line in rows_of_csv(table) if line["our_mean"])
    assert expected.items() <= line.items()
    assert len(table.missing()) == sum(1 for r in table.rows if r.task) * len(table.variants) - 1


def test_our_average_needs_every_row_and_no_failure(write):
    def averages(cells):
        line = markdown_line(make_table("maze2d", cells), "average")
        return line["RVDT, ours"], line["RVDT, ours (max)"]

    assert averages(write("RVDT", {UMAZE: {0: 10.0}, MEDIUM: {0: 20.0, 1: 40.0}})) == ("", "")
    assert averages(write("RVDT", {LARGE: {0: 50.0}})) == ("**30.0**", "500.0")
    table = make_table("maze2d", write("QT", {UMAZE: {0: 7.0}, MEDIUM: {0: 7.0}, LARGE: {0: 7.0, 1: math.inf}}))
    assert table.average(next(row for row in table.rows if row.average), Column("QT")) is None
    # The failed cell is shown as failed in every format.
    assert line_of(markdown(table), LARGE).count("**failed**") == 1
    assert "failed: no finite score for seed 1" in markdown(table)
    assert "& failed" in latex(table)
    line = next(line for line in rows_of_csv(table) if line["failed"])
    assert (line["our_mean"], line["our_max_mean"], line["difference"]) == ("", "", "")


def test_regimes_do_not_mix_in_rows_or_averages(write):
    write("RVDT", {UMAZE: {0: 60.0}, MEDIUM: {0: 61.0}, LARGE: {0: 62.0}}, regime="D1")
    table = make_table("low-data", write("RVDT", {task: {0: 1.0} for task in (UMAZE, MEDIUM, LARGE)}))
    averages = {row.regime: table.average(row, Column("RVDT")) for row in table.rows if row.average}
    assert averages == {"D1": pytest.approx(61.0), "D2": None, "D3": None, "D4": None}
    assert [row.regime for row, _, _ in table.cells()] == ["D1"] * 3


def test_the_number_of_evaluations_is_given_for_each_cell_where_it_differs(write, tmp_path):
    write("RVDT", {UMAZE: {0: 10.0}})
    write("DT", {MEDIUM: {0: 10.0}})
    path = tmp_path / "maze2d-medium-v1-DT-None" / "evaluations.jsonl"
    path.write_text(path.read_text().splitlines(keepends=True)[-1])
    each = "2 evaluations of 1 episode in maze2d-umaze-v1 RVDT; 1 evaluation of 1 episode in maze2d-medium-v1 DT"
    assert each in " ".join(make_table("maze2d", read_cells([tmp_path])).notes)
    path.unlink()  # without evaluations on record there is no column of maxima
    assert "DT, ours (max)" not in headings_of(markdown(make_table("maze2d", read_cells([tmp_path]))))


def test_vdt_has_a_column_in_the_maze2d_tables_where_it_was_run(write):
    cells, others = write("RVDT", {UMAZE: {0: 10.0}}), ("BC", "QDT", "TD3+BC", "IQL", "CQL", "BCQ", "BEAR")
    assert make_table("maze2d", cells).variants == ("DT", "QT", "RVDT", *others)
    assert make_table("maze2d-reward", cells).variants == ("DT", "QT", "RVDT")
    cells = write("VDT", {"maze2d-open-v0": {0: 20.0}})
    assert make_table("maze2d", cells).variants == ("DT", "QT", "RVDT", *others)  # which has no open maze
    assert make_table("maze2d-reward", cells).variants == ("DT", "QT", "VDT", "RVDT")


def test_other_algorithms_stand_beside_them_by_their_final_checkpoints(write):
    line = markdown_line(make_table("maze2d", write("ReBRAC", {UMAZE: {0: 10.0, 1: 20.0}})), UMAZE)
    assert line["ReBRAC, ours"] == "**15.0 ± 7.1**"  # of which no score is published
    assert "ReBRAC, ours (max)" not in line
