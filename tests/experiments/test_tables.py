"""sweep.py, tables.py and benchmark.py --table as a user starts them; none loads JAX."""

import re

import pytest
from benchmark.table import load_results, speed_table
from conftest import snapshot
from launching import ROOT, launch
from made_up_runs import write_run

from rvdt_jax.report.cells import read_cells
from rvdt_jax.report.published import TABLES
from rvdt_jax.report.render import as_csv, latex, markdown
from rvdt_jax.report.tables import make_table

GRID = ("--table=maze2d-reward", "--config=configs/maze2d.py:small")


@pytest.fixture
def start(tmp_path):
    """A function that starts a launcher where JAX and the simulators cannot be imported."""
    site = tmp_path / "site"
    site.mkdir()
    names = ("jax", "jaxlib", "flax", "optax", "gymnasium", "mujoco", "minari")
    (site / "sitecustomize.py").write_text(f"import sys\nfor name in {names}:\n    sys.modules[name] = None\n")

    def start(script, *flags, cwd=ROOT, fails=False):
        result = launch(script, *flags, cwd=cwd, PYTHONPATH=f"{site}:{ROOT}")
        assert (result.returncode != 0) == fails, result.stderr
        return result

    return start


def test_the_commands_of_a_grid_and_its_array_job(start, tmp_path):
    flags = [*GRID, "--tasks=maze2d-umaze-v1", "--seeds=0,1", "--set=train.steps=20", f"--out={tmp_path}"]
    lines = start("sweep.py", *flags, "--print", cwd=ROOT / "experiments").stdout.splitlines()
    for line, variant in zip(lines, ("DT", "QT", "VDT", "RVDT"), strict=True):
        assert line.startswith("python experiments/run.py --config=configs/maze2d.py:small ")
        assert f"--config.task=maze2d-umaze-v1 --config.variant={variant} --config.seeds=0,1 " in line
        assert " --config.train.steps=20 " in line
        assert line.endswith(f"--workdir={tmp_path}/maze2d-umaze-v1/{variant}")
    assert not list(tmp_path.glob("maze2d*"))
    result = start("sweep.py", *flags, f"--slurm={tmp_path / 'job.sh'}", "--sbatch=--gres=gpu:1", "--jobs=2")
    assert result.stdout == f"4 cells: sbatch {tmp_path / 'job.sh'}\n"
    assert "#SBATCH --array=0-3%2" in (tmp_path / "job.sh").read_text()


@pytest.mark.parametrize(
    ("script", "flags", "words"),
    [
        ("sweep.py", ["--table=gym"], "--config.*None"),
        ("sweep.py", [*GRID, "--set=loss.eta"], "--set=loss.eta.*FIELD=VALUE"),
        ("sweep.py", [*GRID, "--seeds=a"], "--seeds=a.*whole numbers"),
        ("tables.py", ["--table=gym", "--records=nowhere"], "no folder nowhere"),
    ],
)
def test_a_mistake_ends_with_one_clear_line(script, flags, words, start):
    result = start(script, *flags, fails=True)
    assert re.search(words, result.stdout + result.stderr)
    assert "Traceback" not in result.stderr


def test_a_table_in_every_format_and_the_page(start, tmp_path):
    write_run(tmp_path / "runs" / "a", "maze2d-umaze-v1", "RVDT", {0: 10.0, 1: 30.0})
    table = make_table("maze2d", read_cells([tmp_path / "runs"]))
    flags = ["--table=maze2d", f"--records={tmp_path / 'runs'}"]
    for name, write in (("markdown", markdown), ("latex", latex), ("csv", as_csv)):
        assert start("tables.py", *flags, f"--format={name}").stdout == write(table) + "\n"
    result = start("tables.py", *flags, f"--html={tmp_path / 'page.html'}", "--aggregate")
    assert "| RVDT | 1 | 2 | 20.0 [" in result.stdout
    assert "20.0 ± 14.1" in (tmp_path / "page.html").read_text()


def test_the_committed_tables_are_those_of_the_committed_records(start, tmp_path):
    start("tables.py", "--table=all", f"--out={tmp_path / 'tables'}")
    made, results = snapshot(tmp_path / "tables"), ROOT / "experiments" / "results"
    assert made == snapshot(results / "tables")
    assert len(made) == 3 * len(TABLES)
    assert start("benchmark.py", "--table").stdout.strip() == speed_table(load_results(results))
