"""The generated sections: the committed pages are those of the committed records, and how results are laid out."""

import pytest
from conftest import snapshot
from launching import ROOT
from made_up_runs import line_of, write_run
from reporting.results import draw_tables, headline_section, results_section, statistics_section
from reporting.sections import HEADLINE, SPEED, markers, results_sections, section_of, write_section
from reporting.unfilled import unfilled_section

from rvdt_jax.config.serialization import used_settings
from rvdt_jax.report.cells import read_cells

RESULTS = ROOT / "experiments" / "results"
FILE = "a download: Minari's data set, which a run fetches itself, or D4RL's file by `import_d4rl.py`"
NAMES = (
    "demo",
    "results",
    "unfilled",
    "statistics",
    "toys",
    "coverage",
    "theory",
    "likeness",
    "random returns",
    "speed",
)


@pytest.fixture(scope="module")
def committed():
    cells = read_cells([RESULTS / "runs"], used_settings)
    return headline_section(cells), results_sections(RESULTS, cells)


@pytest.mark.parametrize("name", NAMES)
def test_the_sections_are_those_of_the_committed_records(name, committed):
    page = (RESULTS / "README.md").read_text(encoding="utf-8")
    assert section_of(page, SPEED if name == "speed" else markers(name)) == committed[1][name]
    assert set(committed[1]) == set(NAMES)


def test_the_headline_is_that_of_the_committed_records(committed):
    assert section_of((ROOT / "README.md").read_text(encoding="utf-8"), HEADLINE) == committed[0]


def test_only_the_section_is_replaced_and_a_page_without_the_markers_is_refused(tmp_path):
    page = tmp_path / "README.md"
    page.write_text("before\n<!-- x: make tables -->\nold\n<!-- end of x -->\nafter\n", encoding="utf-8")
    write_section(page, "new", markers("x"))
    assert page.read_text() == "before\n<!-- x: make tables -->\n\nnew\n\n<!-- end of x -->\nafter\n"
    for text in ("nothing here", "<!-- x: make tables -->", "<!-- end of x -->\n<!-- x: make tables -->"):
        page.write_text(text, encoding="utf-8")
        with pytest.raises(ValueError, match="has no lines"):
            write_section(page, "new", markers("x"))
        assert page.read_text(encoding="utf-8") == text


def test_what_was_not_run_is_said_and_equal_records_are_drawn_alike(tmp_path):
    """The committed records have no such gap."""
    assert results_section({}) == headline_section({}) == statistics_section({}) == "Nothing was run yet."
    write_run(tmp_path / "a", "maze2d-umaze-v1", "RVDT", {0: 100.0, 1: 90.0})
    write_run(tmp_path / "b", "maze2d-umaze-v1", "DT", {0: 10.0})
    cells = read_cells([tmp_path])
    text = results_section(cells)
    assert "Not run: maze2d-umaze-v1 QT." in text
    for name in ("1", "2"):
        draw_tables(cells, tmp_path / name)
    drawn = snapshot(tmp_path / "1")
    assert {"maze2d.png", *(f"maze2d-reward{kind}.png" for kind in ("", "-curves", "-returns"))} <= drawn.keys()
    assert drawn == snapshot(tmp_path / "2")
    assert all(f"pictures/{name}" in text for name in drawn.keys() - {"maze2d.png"})


def test_the_headline_compares_means_over_the_same_rows(tmp_path):
    """Published on umaze and medium, sparse: DT 31.0 and 8.2, RVDT 145.1 and 183.5; large was not run by all."""
    for variant, scores in {"DT": (10, 20, 30), "QT": (50, 60, 70), "RVDT": (70, 80, 90)}.items():
        for task, score in zip(("umaze", "medium", "large"), scores, strict=True):
            if (variant, task) != ("QT", "large"):
                seeds = {seed: float(score + seed) for seed in (0, 1)}
                write_run(tmp_path / variant / task, f"maze2d-{task}-v1", variant, seeds)
    text = headline_section(read_cells([tmp_path]))
    line = line_of(text, "maze2d, sparse and dense rewards")[1:]
    assert (line[:3], line[4], line[6]) == (["2 of 8", "19.6", "**15.5**"], "**55.5**", "**75.5**")
    assert (line[5], line[7:]) == ("164.3", ["1.00 [1.00, 1.00]", "1.00 [1.00, 1.00]"])


def test_a_mean_over_some_of_the_rows_does_not_stand_beside_one_over_all(tmp_path):
    for task in ("hopper-medium-v2", "walker2d-medium-v2"):
        for variant in ("QT", "RVDT"):
            write_run(tmp_path / f"{task}-{variant}", task, variant, {0: 10.0, 1: 30.0})
    write_run(tmp_path / "dt", "hopper-medium-v2", "DT", {0: 10.0})  # too few seeds to count a row
    line = line_of(headline_section(read_cells([tmp_path])), "Locomotion")
    assert line[:2] == ["Locomotion", "2 of 9"]
    assert (line[3], line[5], line[7]) == ("", "**20.0**", "**20.0**")


def test_the_rows_without_scores_are_listed_with_what_they_lack_and_their_command(tmp_path):
    text = unfilled_section({})
    assert text.startswith("0 of the 45 published rows")
    assert "```bash" not in text  # the slow tests run what stands in such blocks, and these take hours
    assert line_of(text, "Kitchen")[1:] == ["kitchen-complete-v0", "DT, QT, RVDT", FILE]
    for number, variant in enumerate(("DT", "RVDT")):
        write_run(tmp_path / str(number), "antmaze-umaze-v0", variant, {0: 1.0})
    text = unfilled_section(read_cells([tmp_path]))
    assert line_of(text, "AntMaze")[1:] == ["antmaze-umaze-v0", "QT", "time: `recreate.py` makes its data"]
    assert "--table=low-data --config=configs/maze2d.py:small --tasks=maze2d-umaze-v1,maze2d-medium-v1," in text


def test_a_filled_row_is_counted_in_every_table_that_has_it(tmp_path):
    for variant in ("DT", "QT", "RVDT"):
        write_run(tmp_path / variant, "hopper-medium-expert-v2", variant, {0: 1.0})
    text = unfilled_section(read_cells([tmp_path]))
    assert text.startswith("2 of the 45")  # locomotion's, and the ablation's
    assert "| hopper |" not in text


def test_other_algorithms_have_rows_of_their_own_and_stay_out_of_the_headline(tmp_path):
    write_run(tmp_path / "a", "maze2d-umaze-v1", "RVDT", {0: 100.0})
    write_run(tmp_path / "b", "maze2d-umaze-v1", "IQL", {0: 30.0})
    cells = read_cells([tmp_path])
    text = results_section(cells).split("### maze2d, other algorithms")[1]
    assert line_of(text, "IQL") == ["IQL", "42.1", "**30.0**", "34.9", "", "61.7", ""]
    assert line_of(text, "TD3+BC")[1:3] == ["14.8", ""]
    assert "; MLPs of 2 x 256, batch 256;" in text
    assert not {"IQL", "MLPs"} & set(headline_section(cells).split())
