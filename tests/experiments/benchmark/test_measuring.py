"""Rows of the benchmark: timing in turns, one small row from end to end, results on the disk."""

import gzip
import importlib.util
import json
import math
import sys
import types
from unittest import mock

import pytest
from benchmark import evaluation, machine, startup, suite
from benchmark.data import make_episodes
from benchmark.profile import measure_profile, read_events
from benchmark.results import Results
from benchmark.timing import ratios, summarise, take_turns
from benchmark.updates import Case, Data, measure_case, measure_layers

pytestmark = pytest.mark.slow


def test_contestants_take_turns_and_are_compared_turn_by_turn():
    order = []
    seconds = take_turns({"a": lambda: order.append("a"), "b": lambda: order.append("b")}, repeats=2)
    assert order == ["a", "a", "b", "b"] * 2  # the second call of each turn is timed
    assert {name: len(values) for name, values in seconds.items()} == {"a": 2, "b": 2}
    assert ratios([1.0, 2.0, 4.0], [3.0, 4.0, 4.0]) == {"median": 2.0, "min": 1.0, "max": 3.0, "all": [3.0, 2.0, 1.0]}
    assert summarise([0.123456, 0.2])["all"] == [0.1235, 0.2]


def test_a_row_from_end_to_end(small_config):
    config = small_config(variant="DT", model__dropout=0.1)
    data = Data.of(make_episodes(2000))
    case = Case("small", config, 2, "vmap", updates=3, repeats=2, peers=("public", "no such style"), peer_updates=2)
    row = json.loads(json.dumps(measure_case(case, data, peak_flops=1e9, say=lambda line: None)))
    seconds = row["milliseconds_per_update"]["median"] / 1000
    assert row["updates_per_second"] == pytest.approx(2 / seconds, rel=1e-3)
    assert row["tokens_per_second"] == pytest.approx(2 * 8 * 4 * 3 / seconds, rel=1e-3)
    assert row["share_of_peak"] == pytest.approx(row["executed_flops_per_update"] / seconds / 1e9, rel=1e-3)
    assert row["program_bytes"] > data.episodes.observations.nbytes
    assert "failed" in row["peers"]["no such style"]
    if importlib.util.find_spec("torch"):  # two seeds take it twice as long
        public = row["peers"]["public"]
        ours, theirs = row["milliseconds_per_update"]["all"], public["milliseconds_per_update"]["all"]
        assert public["ratio"]["all"] == pytest.approx([2 * b / a for a, b in zip(ours, theirs, strict=True)], rel=2e-3)
    layers = measure_layers(case, data)
    ours, plain = (layers["milliseconds_per_update"][name]["all"] for name in ("ours", "plain"))
    assert layers["ratio"]["all"] == pytest.approx([b / a for a, b in zip(ours, plain, strict=True)], rel=2e-3)
    profile = measure_profile(case, data)
    for kind, part in (("by_operation", "matrix products"), ("by_part", "policy, backward")):
        assert sum(profile[kind].values()) == pytest.approx(1.0, abs=0.01)
        assert profile[kind][part] > 0


def test_of_an_accelerator_only_what_ran_on_it_is_counted(tmp_path):
    """The host's events and a line of whole programs bear the names of operations too."""
    names = [("process_name", 1, 0, "/host:CPU"), ("process_name", 2, 0, "/device:GPU:0")]
    names += [
        ("thread_name", 1, 7, "m"),
        ("thread_name", 2, 8, "Stream #13(Compute)"),
        ("thread_name", 2, 9, "XLA Ops"),
    ]
    events = [{"ph": "M", "name": kind, "pid": p, "tid": t, "args": {"name": name}} for kind, p, t, name in names]

    def timed(process, thread, name, **arguments):
        return {"ph": "X", "pid": process, "tid": thread, "name": name, "dur": 2.5, "args": arguments}

    host, kernel = timed(1, 7, "fusion.1"), timed(2, 8, "loop_fusion", hlo_op="fusion.1")
    for chosen, found in (
        ([host, kernel, timed(2, 9, "fusion.1")], [("fusion.1", 2.5)]),
        ([host, timed(2, 9, "fusion.2")], [("fusion.2", 2.5)]),
        ([host, timed(1, 7, "fusion.3")], [("fusion.1", 2.5), ("fusion.3", 2.5)]),
    ):
        path = tmp_path / "trace.json.gz"
        path.write_bytes(gzip.compress(json.dumps({"traceEvents": events + chosen}).encode()))
        assert read_events(path) == found


def test_results_are_written_row_by_row_and_failures_kept(tmp_path):
    here = {"platform": "cpu", "device": "A", "devices": 1, "cores": 2, "date": "2026-01-01"}
    results = Results(tmp_path / "new" / "r.json", here, machine.identity, say=lambda line: None)
    results.measure("updates", "first", lambda: {"value": 1})
    results.measure("updates", "second", mock.Mock(side_effect=MemoryError("no room\nat all")))
    content = json.loads(results.unfinished.read_text())
    assert content["updates"] == {"first": {"value": 1}, "second": {"failed": "MemoryError: no room"}}
    assert not results.path.exists()  # a run that breaks off replaces nothing
    results.finish()
    assert json.loads(results.path.read_text()) == content
    with pytest.raises(ValueError, match="holds results of A"):
        Results(results.path, here | {"device": "B"}, machine.identity)
    (tmp_path / "other.json").write_text("{}")
    with pytest.raises(ValueError, match="something else"):
        Results(tmp_path / "other.json", here, machine.identity)


LAUNCHER = """
import pathlib, sys, time
folder = pathlib.Path(sys.argv[-1].removeprefix("--workdir="))
folder.mkdir()
(folder / "metrics.jsonl").write_text("{}" + sys.argv[1])
held = bytearray(int(sys.argv[2]) * 2**20)
time.sleep(0.2)
"""


def test_a_start_is_timed_to_its_first_whole_line_and_its_memory_is_its_own(tmp_path):
    held = bytearray(300 * 2**20)  # by the process that starts it

    def start(line_end, mebibytes):
        command = [sys.executable, "-c", LAUNCHER, line_end, str(mebibytes)]
        return startup._start(command, {}, tmp_path / f"{len(line_end)}-{mebibytes}")

    small = start("\n", 0)
    assert 0 < small["seconds_to_first_update"] < 60
    assert 2**20 < small["peak_rss_bytes"] < 100 * 2**20
    assert start("\n", 150)["peak_rss_bytes"] > 150 * 2**20
    with pytest.raises(RuntimeError, match="status 0"):
        start("", 0)
    del held


def test_only_a_missing_simulator_excuses_a_missing_evaluation(monkeypatch):
    missing = {name: ImportError(f"cannot import from {name!r}", name=name) for name in ("mujoco", "rvdt_jax.y")}
    monkeypatch.setattr(evaluation, "measure_evaluation", mock.Mock(side_effect=missing["mujoco"]))
    assert suite._evaluate(None, None, {}) == {"not_measured": "mujoco is not installed"}
    monkeypatch.setattr(evaluation, "measure_evaluation", mock.Mock(side_effect=missing["rvdt_jax.y"]))
    with pytest.raises(ImportError):
        suite._evaluate(None, None, {})


@pytest.mark.parametrize(
    "row", [{"failed": "RuntimeError: no"}, *({"worst_over_tolerance": x, "deviations": {}} for x in (1.01, math.nan))]
)
def test_nothing_is_timed_beside_a_peer_that_does_not_agree(row, small_config):
    pytest.importorskip("torch")
    case = Case("small", small_config(variant="DT"), 1, "loop", 1, 1, peers=("public",), peer_updates=1)
    results = types.SimpleNamespace(content={}, measure=lambda *_: row)
    with pytest.raises(ValueError, match="not shown to compute the same function"):
        suite.check_agreement(results, [case], None)
    results.measure = lambda *_: {"worst_over_tolerance": 1.0}
    suite.check_agreement(results, [case], None)
