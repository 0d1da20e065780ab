"""Records of finished cells, gathered without replacing anything."""

import json

import pytest
from made_up_runs import write_run

from rvdt_jax.report.cells import read_cells
from rvdt_jax.sweep.execute import Job
from rvdt_jax.sweep.grid import Cell
from rvdt_jax.sweep.keep import keep_records

TASK = "maze2d-umaze-v1"


@pytest.fixture
def jobs(tmp_path):
    """Two finished cells with a checkpoint each, and one that is not."""
    cells = [Cell(TASK, variant) for variant in ("DT", "QT", "RVDT")]
    jobs = [Job(cell, tmp_path / "out" / cell.name, ()) for cell in cells]
    for job, score in zip(jobs[:2], (10.0, 20.0), strict=True):
        write_run(job.workdir, TASK, job.cell.variant, {0: score})
        (job.workdir / "checkpoints").mkdir()
        job.beside(".command").write_text(f"run {job.cell.variant}\n")
    return jobs


def test_records_and_commands_of_finished_cells_are_kept_once_and_never_replaced(jobs, tmp_path):
    assert keep_records(tmp_path / "out", jobs, tmp_path / "kept") == 2
    cells = [(*key[:2], round(cell.mean, 9), cell.command) for key, cell in read_cells([tmp_path / "kept"]).items()]
    assert sorted(cells) == [(TASK, "DT", 10.0, "run DT"), (TASK, "QT", 20.0, "run QT")]
    folder = tmp_path / "kept" / TASK / "DT"
    assert {path.name for path in folder.iterdir()} == {"config.json", "evaluations.jsonl", "results.json"}
    assert keep_records(tmp_path / "out", jobs, tmp_path / "kept") == 0
    held = json.loads((folder / "results.json").read_text()) | {"steps": 7}
    (folder / "results.json").write_text(json.dumps(held))
    with pytest.raises(ValueError, match=r"kept/.*DT: holds other records than .*out/.*DT"):
        keep_records(tmp_path / "out", jobs, tmp_path / "kept")
    assert json.loads((folder / "results.json").read_text()) == held


def test_a_cell_without_evaluations_is_kept_too(jobs, tmp_path):
    (jobs[0].workdir / "evaluations.jsonl").unlink()
    for new in (2, 0):
        assert keep_records(tmp_path / "out", jobs, tmp_path / "kept") == new


def test_a_failure_is_kept_until_the_cell_succeeds(jobs, tmp_path):
    failure = {"task": TASK, "variant": "RVDT", "regime": "", "status": 2, "command": "run RVDT", "end_of_log": ""}
    jobs[2].beside(".failed.json").write_text(json.dumps(failure))
    keep_records(tmp_path / "out", jobs, tmp_path / "kept")
    assert read_cells([tmp_path / "kept"])[TASK, "RVDT", ""].failed == "the run ended with status 2"
    write_run(jobs[2].workdir, TASK, "RVDT", {0: 30.0})  # by the cluster, say, which leaves no .command
    assert keep_records(tmp_path / "out", jobs, tmp_path / "kept") == 1
    cell = read_cells([tmp_path / "kept"])[TASK, "RVDT", ""]
    assert (cell.mean, cell.failed, cell.command) == (pytest.approx(30.0), "", "")
