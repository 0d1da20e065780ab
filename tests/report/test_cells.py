"""Cells from the records of runs: final checkpoints only, seeds pooled, failures shown."""

import json
import math

import pytest
from made_up_runs import write_run

from rvdt_jax.config.serialization import used_settings
from rvdt_jax.errors import UserError
from rvdt_jax.report.cells import read_cells

TASK = "maze2d-umaze-v1"
UMAZE = (TASK, "RVDT", "")


@pytest.fixture
def write(tmp_path):
    """A function that writes a run of RVDT on umaze into a folder of that name."""
    return lambda name, scores, **options: write_run(tmp_path / name, TASK, "RVDT", scores, **options)


def test_a_cell_is_the_final_checkpoints_mean_and_std_over_seeds(write, tmp_path):
    write("a", {0: 10.0, 1: 20.0, 2: 60.0}, best=900.0)
    cell = read_cells([tmp_path])[UMAZE]
    assert cell.score() == (pytest.approx(30.0), pytest.approx(math.sqrt(700.0)))
    assert (cell.steps, cell.episodes, cell.target, cell.recreated) == (20, 1, "50.0", True)
    (tmp_path / "a" / "evaluations.jsonl").unlink()
    cell = read_cells([tmp_path])[UMAZE]
    assert (cell.mean, cell.maxima, cell.score(maximum=True)) == (pytest.approx(30.0), {}, (None, None))


def test_runs_of_one_cell_pool_their_seeds(write, tmp_path):
    for name, scores in (("a", {0: 10.0, 1: 20.0}), ("b", {2: 60.0})):
        write(name, scores, best=15.0)
        (tmp_path / f"{name}.command").write_text(f"run {name}\n")
    path = tmp_path / "b" / "results.json"
    path.write_text(path.read_text().replace('"1 x cpu"', '"1 x gpu", "commit": "1234"'))
    cell = read_cells([tmp_path])[UMAZE]
    assert (cell.mean, len(cell.scores)) == (pytest.approx(30.0), 3)
    assert cell.maxima == {0: pytest.approx(15.0), 1: pytest.approx(20.0), 2: pytest.approx(60.0)}
    assert cell.score(maximum=True)[0] == pytest.approx(95 / 3)
    assert (cell.command, cell.hardware) == ("run a\nrun b", "1 x CPU (name not recorded) and 1 x gpu")
    assert (cell.commit, [folder.name for folder in cell.folders]) == ("1234", ["a", "b"])


def test_parts_of_the_data_are_cells_of_their_own_in_which_low_data_runs_pool_their_subsets(write, tmp_path):
    for seed in (0, 1):
        provenance = {"dataset_id": "x", "content_digest": str(seed)}
        write(f"draw-{seed}", {seed: 10.0 * seed}, regime="D3", draw=seed, provenance=provenance)
    write("quarter", {0: 7.0}, fraction=0.25)
    write("whole", {0: 1.0})
    means = {regime: round(cell.mean, 9) for (_, _, regime), cell in read_cells([tmp_path]).items()}
    assert means == {"D3": 5.0, "0.25 of the data": 7.0, "": 1.0}
    write("other", {1: 1.0}, draw=1)  # which holds other episodes out
    with pytest.raises(ValueError, match="subset_seed"):
        read_cells([tmp_path])


@pytest.mark.parametrize(
    ("scores", "options", "words"),
    [
        ({1: 60.0}, {"eta": 2.0}, r"a and .*b: two runs of maze2d-umaze-v1 RVDT that differ \(.*eta is 1.0"),
        ({1: 60.0}, {"provenance": {"dataset_id": "x", "content_digest": "2"}}, r"that differ \(.*data is None.*'2'"),
        ({0: 60.0}, {}, "both hold seed 0"),
    ],
)
def test_runs_that_differ_or_share_a_seed_are_not_pooled(write, tmp_path, scores, options, words):
    write("a", {0: 10.0})
    write("b", scores, **options)
    with pytest.raises(ValueError, match=words):
        read_cells([tmp_path])


def test_a_run_that_failed_is_a_cell_without_a_score(write, tmp_path):
    failure = {"task": TASK, "variant": "RVDT", "regime": "", "status": 2, "command": "run", "end_of_log": ""}
    (tmp_path / "RVDT.failed.json").write_text(json.dumps(failure))
    cell = read_cells([tmp_path])[UMAZE]
    assert (cell.mean, cell.failed, cell.command) == (None, "the run ended with status 2", "run")
    write("other", {0: 10.0})
    cell = read_cells([tmp_path])[UMAZE]  # the seeds that did not fail are not the cell
    assert (cell.mean, cell.failed) == (None, "the run ended with status 2")
    write("RVDT", {1: 30.0})
    assert read_cells([tmp_path])[UMAZE].mean == pytest.approx(20.0)  # it has succeeded since


def test_the_order_of_the_folders_does_not_matter(write, tmp_path):
    failure = {"task": TASK, "variant": "RVDT", "regime": "", "status": 2, "command": "run", "end_of_log": ""}
    write("a/other", {0: 10.0})
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "RVDT.failed.json").write_text(json.dumps(failure))
    for roots in (["a", "b"], ["b", "a"]):
        assert read_cells([tmp_path / root for root in roots])[UMAZE].failed == "the run ended with status 2"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"data": {"holdout": 0.2}}, "0.2 held out"),
        ({"env": "Mine-v0"}, "in Mine-v0"),
        ({"eval": {"horizon": 50}}, "horizon 50"),
    ],
    ids=str,
)
def test_a_run_of_another_problem_fills_no_row(changes, words, write, tmp_path):
    write("a", {0: 10.0})
    path = tmp_path / "a" / "config.json"
    config = json.loads(path.read_text())
    path.write_text(
        json.dumps(
            config | {name: config[name] | value if name in config else value for name, value in changes.items()}
        )
    )
    assert [key[2] for key in read_cells([tmp_path])] == [words]


def test_what_is_no_cell_is_left_out_and_what_cannot_be_read_is_named(write, tmp_path):
    write("a", {0: 10.0})
    path = tmp_path / "a" / "results.json"
    results = json.loads(path.read_text())
    for changes in ({"final": {}}, {"task": None}):  # nothing was scored; the user's own data
        path.write_text(json.dumps(results | changes))
        assert read_cells([tmp_path]) == {}
    path.write_text("{")
    with pytest.raises(ValueError, match=r"a/results.json: cannot be read"):
        read_cells([tmp_path])
    with pytest.raises(ValueError, match=r"no folder .*nowhere"):
        read_cells([tmp_path / "nowhere"])


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("results.json", b"{}"),
        ("results.json", b"[]"),
        ("evaluations.jsonl", b'{"step": 1}\n'),
        ("a.failed.json", b"{}"),
    ],
)
def test_a_record_that_lacks_something_is_named(name, content, write, tmp_path):
    write("a", {0: 10.0}, best=15.0)
    (tmp_path / "a" / name).write_bytes(content)
    with pytest.raises(
        UserError, match=rf"/a/.*{'failed' if 'failed' in name else 'results'}.json: this record, or one"
    ):
        read_cells([tmp_path])


def test_a_record_in_another_encoding_is_named(write, tmp_path):
    write("a", {0: 10.0}, best=15.0)
    (tmp_path / "a" / "evaluations.jsonl").write_bytes(b"\xff\n")
    with pytest.raises(UserError, match=r"evaluations\.jsonl: 'utf-8' codec"):
        read_cells([tmp_path])


def test_runs_of_two_versions_pool_their_seeds(write, tmp_path):
    for name, later in (("a", {}), ("b", {"iql": {"dropout": 0.0}})):  # as the field is where nobody sets it
        write(name, {len(later): 10.0})
        path = tmp_path / name / "config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {"iql": {}} | later))
    with pytest.raises(UserError, match="that differ"):
        read_cells([tmp_path])
    assert len(read_cells([tmp_path], used_settings)[UMAZE].scores) == 2
