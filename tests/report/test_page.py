"""The page stands alone, shows every cell, and is the same for the same records."""

import json
import math
import re

from made_up_runs import measured_coverage as measured
from made_up_runs import write_run

from rvdt_jax.report.cells import read_cells
from rvdt_jax.report.page import page, read_coverages
from rvdt_jax.report.published import TABLES
from rvdt_jax.report.tables import make_table


def pages(folder):
    cells = read_cells([folder])
    return page([make_table(name, cells) for name in TABLES], read_coverages([folder]))


def test_a_page_with_tables_and_pictures(tmp_path):
    assert pages(tmp_path).count("<h2") == len(TABLES)  # without runs, the published tables
    write_run(tmp_path / "a", "maze2d-umaze-v1", "RVDT", {0: 10.0, 1: 30.0})
    write_run(tmp_path / "b", "maze2d-umaze-v1", "QT", {0: 5.0})
    write_run(tmp_path / "c", "maze2d-medium-v1", "QT", {0: math.nan})
    text = pages(tmp_path)
    assert text == pages(tmp_path)
    assert text.startswith("<!doctype html>")
    assert '<td class="ours">20.0 ± 14.1</td>' in text
    assert '<td class="max">500.0 ± 0.0</td>' in text
    assert '<td class="ours failed">failed</td><td class="max failed">failed</td>' in text
    assert "<th>RVDT, ours</th><th>RVDT, ours (max)</th>" in text
    assert "<td>145.1 ± 3.8</td>" in text
    assert text.count("<svg") == 5  # scores in three tables, curves and returns of umaze; none of a failed cell
    (tmp_path / "coverage.json").write_text(json.dumps(measured() | {"task": "maze2d-umaze-v1", "data": "made up"}))
    text = pages(tmp_path)
    assert text == pages(tmp_path)
    assert text.count("<svg") == 6
    assert "ask for a return of 10; returns of 5 to 10 count as that" in text
    assert "maze2d-umaze-v1 (recreated data)" in text
    for figure in ("Learning curves", "Returns of the final episodes"):
        assert figure in text
    assert not re.search(r'(src|href)="(?!#)', text.replace("xlink:href", ""))  # nothing is fetched from elsewhere
    assert "<script" not in text
