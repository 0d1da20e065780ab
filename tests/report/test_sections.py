"""The parts of a file that stand between two markers."""

import pytest

from rvdt_jax.report.sections import markdown_table, section_of, write_section

MARKERS = ("<!-- begin -->", "<!-- end -->")


def test_the_section_is_replaced_and_nothing_else(tmp_path):
    readme = tmp_path / "README.md"
    readme.write_text("before\n<!-- begin -->\nold\n<!-- end -->\nafter\n", encoding="utf-8")
    write_section(readme, "new", MARKERS)
    assert section_of(readme.read_text(encoding="utf-8"), MARKERS) == "new"
    assert readme.read_text(encoding="utf-8") == "before\n<!-- begin -->\n\nnew\n\n<!-- end -->\nafter\n"


@pytest.mark.parametrize("text", ["nothing here", "<!-- begin -->", "<!-- end -->\n<!-- begin -->"])
def test_a_file_without_the_markers_is_refused_and_left_alone(text, tmp_path):
    readme = tmp_path / "README.md"
    readme.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match="has no lines"):
        write_section(readme, "new", MARKERS)
    assert readme.read_text(encoding="utf-8") == text


def test_a_table():
    assert markdown_table(("a", "b"), [["1", "2"]]) == "| a | b |\n| --- | --- |\n| 1 | 2 |"
