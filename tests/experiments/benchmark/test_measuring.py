"""Rows of the benchmark: timing in turns, one small row from end to end, results on the disk, the plan, the machine."""

import importlib.util
import json
import math
import sys
import types

import pytest
from benchmark import machine, plan, startup, suite
from benchmark.data import LONGEST, make_episodes
from benchmark.profile import measure_profile
from benchmark.results import Results
from benchmark.timing import ratios, summarise, take_turns
from benchmark.updates import Case, Data, measure_case

from rvdt_jax.data.episodes import check_episodes

pytestmark = pytest.mark.slow


def test_contestants_take_turns():
    order = []
    seconds = take_turns({"a": lambda: order.append("a"), "b": lambda: order.append("b")}, repeats=2)
    assert order == ["a", "a", "b", "b"] * 2  # the second call of each turn is timed
    assert {name: len(values) for name, values in seconds.items()} == {"a": 2, "b": 2}


def test_ratios_are_taken_turn_by_turn():
    assert ratios([1.0, 2.0, 4.0], [3.0, 4.0, 4.0]) == {"median": 2.0, "min": 1.0, "max": 3.0, "all": [3.0, 2.0, 1.0]}
    assert summarise([0.123456, 0.2])["all"] == [0.1235, 0.2]


def test_the_data_are_like_maze2d_umaze():
    episodes = check_episodes(make_episodes(200_000))
    assert 75 < episodes.lengths.mean() < 86
    assert 45 < episodes.lengths.std() < 60
    assert episodes.lengths.max() <= LONGEST
    assert 0.2 < (episodes.returns > 0).mean() < 0.3
    assert make_episodes(1000).digest() == make_episodes(1000).digest() != make_episodes(1000, seed=1).digest()


def test_a_row_from_end_to_end(small_config):
    config = small_config(variant="DT", model__dropout=0.1)
    data = Data.of(make_episodes(2000))
    case = Case("small", config, 2, "vmap", updates=3, repeats=2, peers=("public", "no such style"), peer_updates=2)
    said = []
    row = measure_case(case, data, peak_flops=1e9, say=said.append)
    json.dumps(row)
    seconds = row["milliseconds_per_update"]["median"] / 1000
    assert row["updates_per_second"] == pytest.approx(2 / seconds, rel=1e-3)
    assert row["tokens_per_second"] == pytest.approx(2 * 8 * 4 * 3 / seconds, rel=1e-3)
    assert row["share_of_peak"] == pytest.approx(row["executed_flops_per_update"] / seconds / 1e9, rel=1e-3)
    assert row["program_bytes"] > data.episodes.observations.nbytes
    assert "failed" in row["peers"]["no such style"]
    assert any("no such style" in line for line in said)
    public = row["peers"]["public"]
    if importlib.util.find_spec("torch"):  # two seeds take it twice as long
        ours, theirs = row["milliseconds_per_update"]["all"], public["milliseconds_per_update"]["all"]
        assert public["ratio"]["all"] == pytest.approx([2 * b / a for a, b in zip(ours, theirs, strict=True)], rel=2e-3)
    profile = measure_profile(case, data)
    assert sum(profile["by_operation"].values()) == pytest.approx(1.0, abs=0.01)
    assert sum(profile["by_part"].values()) == pytest.approx(1.0, abs=0.01)
    assert profile["by_operation"]["matrix products"] > 0
    assert profile["by_part"]["policy, backward"] > 0


def test_results_are_written_row_by_row_and_failures_kept(tmp_path):
    here = {"platform": "cpu", "device": "A", "devices": 1, "cores": 2, "date": "2026-01-01"}
    results = Results(tmp_path / "new" / "r.json", here, machine.identity, say=lambda line: None)
    results.measure("updates", "first", lambda: {"value": 1})

    def fail():
        raise MemoryError("no room\nat all")

    results.measure("updates", "second", fail)
    content = json.loads(results.unfinished.read_text())
    assert content["updates"] == {"first": {"value": 1}, "second": {"failed": "MemoryError: no room"}}
    assert content["machine"] == here
    assert not results.path.exists()  # a run that breaks off replaces nothing
    results.finish()
    assert json.loads(results.path.read_text()) == content
    said = []
    Results(results.path, here | {"date": "2026-02-02"}, machine.identity, say=said.append)
    assert "2026-01-01" in said[0]
    with pytest.raises(ValueError, match="holds results of A"):
        Results(results.path, here | {"device": "B"}, machine.identity)
    (tmp_path / "other.json").write_text("{}")
    with pytest.raises(ValueError, match="something else"):
        Results(tmp_path / "other.json", here, machine.identity)


def test_the_plans_cover_what_they_should(small_config):
    def make(variant, dtype):
        return small_config(variant=variant, model__dtype=dtype)

    cpu = [case.name for case in plan.cpu_cases(make, make, 20)]
    assert len(set(cpu)) == len(cpu)
    assert [name for name in cpu if name.startswith("reference")] == [
        f"reference/{variant}/float32/1 seed" for variant in ("DT", "RVDT")
    ]
    assert "demo/RVDT/float32/8 seeds, vmap" in cpu
    cases = plan.accelerator_cases(make, make, {"reference": 20, "demo": 100})
    assert len({case.name for case in cases}) == 2 * 2 * 3 * 4
    (chosen,) = plan.choose(cases, ["reference/QT/bfloat16/1 seed"], peers=False)
    assert not chosen.peers
    with pytest.raises(ValueError, match="no row has such a name"):
        plan.choose(cases, ["reference/XT"], peers=True)


def test_the_matmul_peak_is_the_best_of_the_sizes(monkeypatch):
    monkeypatch.setattr(machine, "_SIZES", {"cpu": (16, 32), "other": (16, 32)})
    for peak in (machine.matmul_peak("float32"), machine.matmul_peak("bfloat16")):
        assert peak["best"] == max(peak["by_size"].values()) > 0


def test_the_machine_is_described():
    described = machine.describe_machine()
    json.dumps(described)
    assert described["versions"]["jax"]
    assert len(machine.identity(described)) == 4


def test_other_work_is_what_the_cores_did_beside_us_and_what_the_host_took(tmp_path, monkeypatch):
    monkeypatch.setattr(machine, "STAT", tmp_path / "stat")
    monkeypatch.setattr(machine.os, "times", lambda: types.SimpleNamespace(**dict.fromkeys(TIMES, 0.0)))
    monkeypatch.setattr(machine.time, "perf_counter", iter([0.0, 10.0]).__next__)
    second = machine.os.sysconf("SC_CLK_TCK")
    before, after = [100, 0, 0, 50, 0, 0, 0, 7, 0, 0], [100 + 3 * second, 0, 0, 999, 0, 0, 0, 7 + 2 * second, 0, 0]
    machine.STAT.write_text(f"cpu  {' '.join(map(str, before))}\ncpu0 1\n")
    with machine.OtherWork() as others:
        machine.STAT.write_text(f"cpu  {' '.join(map(str, after))}\ncpu0 1\n")
    assert others.cores == 0.5  # 3 seconds of others and 2 of the host's, in 10
    machine.STAT.unlink()
    monkeypatch.setattr(machine.time, "perf_counter", lambda: 0.0)
    with machine.OtherWork() as others:
        pass
    assert others.cores is None


TIMES = ("user", "system", "children_user", "children_system")


LAUNCHER = """
import pathlib, sys
folder = pathlib.Path(sys.argv[-1].removeprefix("--workdir="))
folder.mkdir()
(folder / "metrics.jsonl").write_text("{}" + {newline!r})
"""


def test_a_start_is_timed_to_its_first_whole_line(tmp_path):
    command = [sys.executable, "-c", LAUNCHER.replace("{newline!r}", repr("\n"))]
    found = startup._start(command, {}, tmp_path / "run")
    assert 0 < found["seconds_to_first_update"] < 60
    command = [sys.executable, "-c", LAUNCHER.replace("{newline!r}", repr(""))]
    with pytest.raises(RuntimeError, match="status 0"):
        startup._start(command, {}, tmp_path / "other")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the system does not tell")
def test_the_memory_of_a_start_is_its_own_and_not_that_of_who_started_it(tmp_path):
    held = bytearray(300 * 2**20)  # touched, as a process has it that has measured before
    command = [sys.executable, "-c", LAUNCHER.replace("{newline!r}", repr("\n")) + "import time; time.sleep(0.2)"]
    assert 2**20 < startup._start(command, {}, tmp_path / "small")["peak_rss_bytes"] < 100 * 2**20
    command[-1] += "; x = bytearray(150 * 2**20); time.sleep(0.2)"
    assert startup._start(command, {}, tmp_path / "large")["peak_rss_bytes"] > 150 * 2**20
    del held


def test_only_a_missing_simulator_excuses_a_missing_evaluation(monkeypatch):
    from benchmark import evaluation

    def broken(*_, **__):
        raise ImportError("cannot import name 'x' from 'rvdt_jax.y'", name="rvdt_jax.y")

    monkeypatch.setattr(evaluation, "measure_evaluation", broken)
    with pytest.raises(ImportError):
        suite._evaluate(None, None, {})


@pytest.mark.parametrize(
    "row",
    [
        {"failed": "RuntimeError: no"},
        {"worst_over_tolerance": 1.01, "deviations": {"loss": 2.0}},
        {"worst_over_tolerance": math.nan, "deviations": {"loss": math.nan}},
    ],
    ids=["failed", "apart", "nan"],
)
def test_nothing_is_timed_beside_a_peer_that_does_not_agree(row, small_config):
    pytest.importorskip("torch")
    case = Case("small", small_config(variant="DT"), 1, "loop", 1, 1, peers=("public",), peer_updates=1)
    results = types.SimpleNamespace(content={}, measure=lambda *_: row)
    with pytest.raises(ValueError, match="not shown to compute the same function"):
        suite._check_agreement(results, [case], None)
    results.measure = lambda *_: {"worst_over_tolerance": 1.0}
    suite._check_agreement(results, [case], None)


def test_without_a_simulator_evaluation_is_not_measured(monkeypatch):
    from benchmark import evaluation

    def missing(*_, **__):
        raise ModuleNotFoundError("No module named 'mujoco'", name="mujoco")

    monkeypatch.setattr(evaluation, "measure_evaluation", missing)
    assert suite._evaluate(None, None, {}) == {"not_measured": "mujoco is not installed"}
