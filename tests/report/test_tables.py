"""Made-up records through every table, in every format: numbers, blanks, failures, averages."""

import csv
import io
import math
import re

import pytest
from made_up_runs import write_run

from rvdt_jax.report.cells import read_cells
from rvdt_jax.report.published import TABLES, cells_of
from rvdt_jax.report.readme import results_section
from rvdt_jax.report.render import as_csv, latex, markdown
from rvdt_jax.report.tables import Column, make_table


def rows_of_csv(table):
    return list(csv.DictReader(io.StringIO(as_csv(table))))


def line_of(text, label):
    """The cells of the first Markdown line that begins with the label."""
    line = next(line for line in text.splitlines() if line.startswith(f"| {label} |"))
    return [cell.strip() for cell in line.strip("|").split("|")]


def headings_of(text):
    return [cell.strip() for cell in re.search(r"^\|( +\|.*)\|$", text, re.MULTILINE)[1].split("|")]


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
def test_a_cell_of_every_table_arrives_in_every_format(name, tmp_path):
    empty = make_table(name, {})
    row = next(row for row in empty.rows if row.task)
    variant = empty.variants[0]
    write_run(tmp_path / "a", row.task, variant, {0: 30.0, 1: 34.0}, regime=row.regime or None)
    table = make_table(name, read_cells([tmp_path]))
    assert [(r.label, v) for r, v, _ in table.cells()] == [(row.label, variant)]
    index = headings_of(markdown(table)).index(f"{variant}, ours")
    assert line_of(markdown(table), row.label)[index] == "**32.0 ± 2.8**"
    assert r"32.0 $\pm$ 2.8" in latex(table)
    line = next(line for line in rows_of_csv(table) if line["our_mean"])
    published = row.published.get(variant)
    gap = "" if published is None else f"{32.0 - published.mean:.2f}"
    assert (line["our_mean"], line["our_std"], line["difference"]) == ("32.00", "2.83", gap)
    assert (line["seeds"], line["episodes_per_seed"], line["updates"]) == ("2", "1", "20")
    assert "recreated data" in line["data"]
    assert len(table.missing()) == sum(1 for r in table.rows if r.task) * len(table.variants) - 1


def test_the_list_of_our_cells_has_difference_seeds_steps_and_data(tmp_path):
    write_run(tmp_path / "a", "maze2d-umaze-v1", "RVDT", {0: 100.0}, provenance={"dataset_id": "d4rl-hdf5/umaze"})
    text = markdown(make_table("maze2d", read_cells([tmp_path])))
    details = line_of(text.split("Our cells:")[1], "maze2d-umaze-v1")
    expected = ["maze2d-umaze-v1", "RVDT", "100.0", "145.1 ± 3.8", "-45.1", "500.0", "2 x 1", "1", "1", "20", "50"]
    assert details == [*expected, "width 32, 1 layer, K=5, batch 256", "d4rl-hdf5/umaze", "1 x CPU (name not recorded)"]
    assert "recreated" not in text  # nothing here is


def test_our_average_needs_every_row_and_no_failure(tmp_path):
    def averages():
        table = make_table("maze2d", read_cells([tmp_path]))
        row = next(row for row in table.rows if row.average)
        return [table.average(row, Column(variant)) for variant in ("DT", "QT", "RVDT")]

    write_run(tmp_path / "1", "maze2d-umaze-v1", "RVDT", {0: 10.0})
    write_run(tmp_path / "2", "maze2d-medium-v1", "RVDT", {0: 20.0, 1: 40.0})
    assert averages() == [None, None, None]
    write_run(tmp_path / "3", "maze2d-large-v1", "RVDT", {0: 50.0})
    assert averages() == [None, None, pytest.approx(30.0)]
    text = markdown(make_table("maze2d", read_cells([tmp_path])))
    assert line_of(text, "average")[-2:] == ["**30.0**", "500.0"]
    for folder, task in (("4", "maze2d-umaze-v1"), ("5", "maze2d-medium-v1"), ("6", "maze2d-large-v1")):
        write_run(tmp_path / folder, task, "QT", {0: math.nan if folder == "6" else 7.0})
    assert averages() == [None, None, pytest.approx(30.0)]


def test_a_failed_cell_is_shown_as_failed_in_every_format(tmp_path):
    write_run(tmp_path / "a", "maze2d-umaze-v1", "RVDT", {0: 100.0, 1: math.nan})
    table = make_table("maze2d", read_cells([tmp_path]))
    assert line_of(markdown(table), "maze2d-umaze-v1")[-2:] == ["**failed**", "failed"]
    assert "failed: no finite score for seed 1" in markdown(table)
    assert "& failed" in latex(table)
    line = next(line for line in rows_of_csv(table) if line["failed"])
    assert (line["our_mean"], line["difference"]) == ("", "")


def test_regimes_do_not_mix_in_rows_or_averages(tmp_path):
    for number, task in enumerate(("maze2d-umaze-v1", "maze2d-medium-v1", "maze2d-large-v1")):
        write_run(tmp_path / f"{number}", task, "RVDT", {0: 60.0 + number}, regime="D1")
        write_run(tmp_path / f"{number}w", task, "RVDT", {0: 1.0})
    table = make_table("low-data", read_cells([tmp_path]))
    averages = {row.regime: table.average(row, Column("RVDT")) for row in table.rows if row.average}
    assert averages == {"D1": pytest.approx(61.0), "D2": None, "D3": None, "D4": None}
    assert [row.regime for row, _, _ in table.cells()] == ["D1"] * 3


def test_ours_stand_in_rows_of_their_own_where_the_source_names_no_data(tmp_path):
    write_run(tmp_path / "a", "maze2d-medium-v1", "RVDT-Dup", {0: 100.0})
    table = make_table("ablation", read_cells([tmp_path]))
    text = markdown(table)
    assert line_of(text, "hopper")[1:9] == ["109.5", "112.1", "111.9", "112.3", "112.6", "112.1", "113.6", "113.8"]
    assert line_of(text, "hopper")[9:] == [""] * 9
    assert [cell for cell in line_of(text, "maze2d-medium-v1") if cell] == ["maze2d-medium-v1", "**100.0**", "500.0"]
    write_run(tmp_path / "b", "maze2d-umaze-v1", "RVDT-Dup", {0: 50.0})
    text = markdown(make_table("ablation", read_cells([tmp_path])))
    assert line_of(text, "average")[9:] == [""] * 9  # what the source's average stands for was not run


def test_the_maximum_over_training_stands_in_a_column_of_its_own(tmp_path):
    """Of seed 0 the evaluation half-way is the highest, of seed 1 the final one."""
    write_run(tmp_path / "a", "maze2d-umaze-v1", "RVDT", {0: 90.0, 1: 500.0}, best=456.0)
    cells = read_cells([tmp_path])
    for name in ("maze2d", "maze2d-reward", "ablation"):
        table = make_table(name, cells)
        text = markdown(table)
        row = dict(zip(headings_of(text), line_of(text, "maze2d-umaze-v1"), strict=True))
        assert row["RVDT, ours"] == "**295.0 ± 289.9**"
        assert row["RVDT, ours (max)"] == "478.0 ± 31.1"
        assert r"295.0 $\pm$ 289.9 & 478.0 $\pm$ 31.1" in latex(table)
        assert "RVDT, ours & RVDT, ours (max)" in latex(table)
        line = next(line for line in rows_of_csv(table) if line["our_mean"])
        assert (line["our_mean"], line["our_max_mean"], line["our_max_std"]) == ("295.00", "478.00", "31.11")
        assert (line["evaluations"], line["episodes_per_evaluation"]) == ("2", "1")
        assert "Ours are maxima over 2 evaluations of 1 episode in every cell" in text
    assert "| **295.0 ± 289.9** | 478.0 ± 31.1 |" in results_section(cells)


def test_the_number_of_evaluations_is_given_for_each_cell_where_it_differs(tmp_path):
    write_run(tmp_path / "a", "maze2d-umaze-v1", "RVDT", {0: 10.0})
    write_run(tmp_path / "b", "maze2d-medium-v1", "DT", {0: 10.0})
    path = tmp_path / "b" / "evaluations.jsonl"
    path.write_text(path.read_text().splitlines(keepends=True)[-1])
    notes = " ".join(make_table("maze2d", read_cells([tmp_path])).notes)
    assert (
        "2 evaluations of 1 episode in maze2d-umaze-v1 RVDT; 1 evaluation of 1 episode in maze2d-medium-v1 DT" in notes
    )


def test_without_evaluations_on_record_there_is_no_column_of_maxima(tmp_path):
    write_run(tmp_path / "a", "maze2d-umaze-v1", "RVDT", {0: 10.0})
    (tmp_path / "a" / "evaluations.jsonl").unlink()
    table = make_table("maze2d", read_cells([tmp_path]))
    assert "RVDT, ours (max)" not in markdown(table) + latex(table)
    assert "Columns headed (max)" not in markdown(table) + latex(table)
    assert line_of(markdown(table), "maze2d-umaze-v1")[-1] == "**10.0**"


def test_vdt_has_a_column_in_the_maze2d_tables_where_it_was_run(tmp_path):
    write_run(tmp_path / "a", "maze2d-umaze-v1", "RVDT", {0: 10.0})
    for name in ("maze2d", "maze2d-reward"):
        assert make_table(name, read_cells([tmp_path])).variants == ("DT", "QT", "RVDT")
        assert not [variant for _, variant in make_table(name, read_cells([tmp_path])).missing() if variant == "VDT"]
    write_run(tmp_path / "b", "maze2d-open-v0", "VDT", {0: 20.0})
    cells = read_cells([tmp_path])
    assert make_table("maze2d", cells).variants == ("DT", "QT", "RVDT")  # which has no open maze
    assert make_table("maze2d-reward", cells).variants == ("DT", "QT", "VDT", "RVDT")
    text = results_section(cells)
    assert "| VDT, published" not in text
    assert line_of(text, "maze2d-open-v0")[5:7] == ["**20.0**", "500.0"]


def test_the_footnotes_say_where_the_source_contradicts_itself():
    notes = {name: " ".join(make_table(name, {}).notes) for name in TABLES}
    assert "RVDT: printed 91.2, mean of its cells 90.98" in notes["gym"]
    for name in ("maze2d", "maze2d-reward"):
        assert "QT on maze2d-large-v1: 242.7 in the table maze2d, 240.1 in the table maze2d-reward" in notes[name]
    assert "does not say which data sets" in notes["ablation"]
    assert "does not define its regimes" in notes["low-data"]
    assert "QT's published scores are maxima over 10 to 101 evaluations of 10 episodes" in notes["gym"]
    assert "QT's published scores are maxima over 51 evaluations of 10 episodes" in notes["maze2d-reward"]
    assert "QT's published scores are maxima over the evaluations of 10 episodes" in notes["ablation"]


def test_the_readme_has_rows_that_were_run_beside_the_published_ones(tmp_path):
    assert results_section({}) == "Nothing was run yet."
    write_run(tmp_path / "a", "maze2d-umaze-v1", "RVDT", {0: 100.0, 1: 90.0})
    write_run(tmp_path / "b", "maze2d-umaze-v1", "DT", {0: 10.0})
    text = results_section(read_cells([tmp_path]))
    assert line_of(text, "maze2d-umaze-v1") == [
        *("maze2d-umaze-v1", "31.0 ± 21.3", "**10.0**", "500.0", "105.4 ± 4.8", ""),
        *("145.1 ± 3.8", "**95.0 ± 7.1**", "500.0 ± 0.0"),
    ]
    assert "| maze2d-large-v1 |" not in text
    assert "recreated data, not D4RL's files" in text
    assert "Not run: maze2d-umaze-v1 QT." in text
    assert "Ours are the final checkpoint's at the headline target." in text
    assert "QT on maze2d-umaze-v1: 99.2 in the table maze2d, 105.4" in text
