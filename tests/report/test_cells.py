"""What the records of runs amount to: final checkpoints alone, seeds pooled, failures shown."""

import json
import math
import shutil

import pytest
from made_up_runs import write_run

from rvdt_jax.report.cells import read_cells

UMAZE = ("maze2d-umaze-v1", "RVDT", "")


def test_a_cell_is_the_final_checkpoints_mean_and_std_over_seeds(tmp_path):
    write_run(tmp_path / "a", "maze2d-umaze-v1", "RVDT", {0: 10.0, 1: 20.0, 2: 60.0}, best=900.0)
    cell = read_cells([tmp_path])[UMAZE]
    assert cell.mean == pytest.approx(30.0)
    assert cell.std == pytest.approx(math.sqrt(700.0))
    assert (cell.steps, cell.episodes, cell.target, cell.recreated) == (20, 1, "50.0", True)
    assert cell.size == "width 32, 1 layer, K=5, batch 256"
    assert "recreated data, not D4RL's files" in cell.data


def test_beside_it_stands_the_maximum_over_the_evaluations(tmp_path):
    write_run(tmp_path / "a", "maze2d-umaze-v1", "RVDT", {0: 10.0, 1: 20.0}, best=15.0)
    write_run(tmp_path / "b", "maze2d-umaze-v1", "RVDT", {2: 60.0}, best=15.0)
    cell = read_cells([tmp_path])[UMAZE]
    assert cell.maxima == {0: pytest.approx(15.0), 1: pytest.approx(20.0), 2: pytest.approx(60.0)}
    assert cell.max_mean == pytest.approx(95 / 3)
    assert cell.mean == pytest.approx(30.0)
    assert (cell.evaluations, cell.evaluation_episodes) == (2, 1)


def test_a_cell_without_evaluations_on_record_has_no_maximum(tmp_path):
    write_run(tmp_path / "a", "maze2d-umaze-v1", "RVDT", {0: 10.0})
    (tmp_path / "a" / "evaluations.jsonl").unlink()
    cell = read_cells([tmp_path])[UMAZE]
    assert (cell.mean, cell.maxima, cell.max_mean) == (pytest.approx(10.0), {}, None)


def test_records_of_older_versions_are_read(tmp_path):
    """Their ``best`` held each seed's own maximum."""
    write_run(tmp_path / "a", "maze2d-umaze-v1", "RVDT", {0: 10.0, 1: 700.0}, best=500.0)
    before = read_cells([tmp_path])[UMAZE]
    path = tmp_path / "a" / "results.json"
    results = json.loads(path.read_text())
    seeds = results["best"]["50.0"]["seeds"]
    seeds["0"] = seeds["0"] | {"step": 10, "normalized_score": 500.0}
    path.write_text(json.dumps(results))
    assert read_cells([tmp_path])[UMAZE] == before


def test_one_seed_has_no_std(tmp_path):
    write_run(tmp_path / "a", "maze2d-umaze-v1", "RVDT", {3: 10.0})
    cell = read_cells([tmp_path])[UMAZE]
    assert (cell.mean, cell.std) == (pytest.approx(10.0), None)


def test_runs_of_one_cell_pool_their_seeds(tmp_path):
    write_run(tmp_path / "a", "maze2d-umaze-v1", "RVDT", {0: 10.0, 1: 20.0})
    write_run(tmp_path / "b", "maze2d-umaze-v1", "RVDT", {2: 60.0})
    for name in "ab":
        (tmp_path / f"{name}.command").write_text(f"run {name}\n")
    cell = read_cells([tmp_path])[UMAZE]
    assert cell.mean == pytest.approx(30.0)
    assert len(cell.scores) == 3
    assert cell.command == "run a\nrun b"
    assert [folder.name for folder in cell.folders] == ["a", "b"]


def test_runs_with_other_settings_are_not_pooled(tmp_path):
    write_run(tmp_path / "a", "maze2d-umaze-v1", "RVDT", {0: 10.0})
    write_run(tmp_path / "b", "maze2d-umaze-v1", "RVDT", {1: 60.0}, eta=2.0)
    with pytest.raises(ValueError, match=r"a and .*b: two runs of maze2d-umaze-v1 RVDT that differ \(.*eta is 1.0"):
        read_cells([tmp_path])


def test_runs_on_other_data_are_not_pooled_and_other_hardware_is_told(tmp_path):
    digests = [{"dataset_id": "x", "content_digest": digest} for digest in ("1", "1", "2")]
    for seed, (name, provenance) in enumerate(zip("abc", digests, strict=True)):
        write_run(tmp_path / name, "maze2d-umaze-v1", "RVDT", {seed: 10.0}, provenance=provenance)
    path = tmp_path / "b" / "results.json"
    path.write_text(path.read_text().replace("1 x cpu", "1 x gpu"))
    with pytest.raises(ValueError, match=r"that differ \(.*data is '1'.*'2'"):
        read_cells([tmp_path])
    shutil.rmtree(tmp_path / "c")
    assert read_cells([tmp_path])[UMAZE].hardware == "1 x CPU (name not recorded) and 1 x gpu"


def test_a_share_of_the_data_that_is_no_regime_is_not_the_whole(tmp_path):
    write_run(tmp_path / "a", "maze2d-umaze-v1", "RVDT", {0: 10.0}, fraction=0.25)
    assert list(read_cells([tmp_path])) == [("maze2d-umaze-v1", "RVDT", "0.25 of the data")]


def test_a_seed_counts_once(tmp_path):
    write_run(tmp_path / "a", "maze2d-umaze-v1", "RVDT", {0: 10.0, 1: 3.0})
    write_run(tmp_path / "b", "maze2d-umaze-v1", "RVDT", {1: 60.0})
    with pytest.raises(ValueError, match="both hold seed 1"):
        read_cells([tmp_path])


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_score_that_is_not_finite_fails_the_cell(bad, tmp_path):
    write_run(tmp_path / "a", "maze2d-umaze-v1", "RVDT", {0: 10.0, 1: bad, 2: 20.0})
    cell = read_cells([tmp_path])[UMAZE]
    assert cell.failed == "no finite score for seed 1"
    assert (cell.mean, cell.std) == (None, None)
    assert (cell.max_mean, cell.max_std) == (None, None)


def test_regimes_are_cells_of_their_own(tmp_path):
    write_run(tmp_path / "a", "maze2d-umaze-v1", "RVDT", {0: 10.0})
    write_run(tmp_path / "b", "maze2d-umaze-v1", "RVDT", {0: 5.0}, regime="D2")
    cells = read_cells([tmp_path])
    assert cells[UMAZE].mean == pytest.approx(10.0)
    assert cells["maze2d-umaze-v1", "RVDT", "D2"].mean == pytest.approx(5.0)


def test_a_run_that_failed_is_a_cell_without_a_score(tmp_path):
    failure = {
        "task": "maze2d-umaze-v1",
        "variant": "RVDT",
        "regime": "",
        "status": 2,
        "command": "run",
        "end_of_log": "",
    }
    (tmp_path / "RVDT.failed.json").write_text(json.dumps(failure))
    cell = read_cells([tmp_path])[UMAZE]
    assert cell.failed == "the run ended with status 2"
    assert (cell.mean, cell.command) == (None, "run")
    write_run(tmp_path / "other", "maze2d-umaze-v1", "RVDT", {0: 10.0})
    cell = read_cells([tmp_path])[UMAZE]  # the seeds that did not fail are not the cell
    assert (cell.mean, cell.failed) == (None, "the run ended with status 2")
    write_run(tmp_path / "RVDT", "maze2d-umaze-v1", "RVDT", {1: 30.0})
    assert read_cells([tmp_path])[UMAZE].mean == pytest.approx(20.0)  # it has succeeded since


def test_runs_without_scores_or_without_a_task_are_no_cells(tmp_path):
    write_run(tmp_path / "a", "maze2d-umaze-v1", "RVDT", {0: 10.0})
    path = tmp_path / "a" / "results.json"
    results = json.loads(path.read_text())
    path.write_text(json.dumps(results | {"final": {}}))
    assert read_cells([tmp_path]) == {}
    path.write_text(json.dumps(results | {"task": None}))
    assert read_cells([tmp_path]) == {}


def test_a_missing_folder_and_a_damaged_record_are_named(tmp_path):
    with pytest.raises(ValueError, match=r"no folder .*nowhere"):
        read_cells([tmp_path / "nowhere"])
    write_run(tmp_path / "a", "maze2d-umaze-v1", "RVDT", {0: 10.0})
    (tmp_path / "a" / "results.json").write_text("{")
    with pytest.raises(ValueError, match=r"a/results.json: cannot be read"):
        read_cells([tmp_path])
