"""The quick part of ``make soak``: real processes, really killed."""

import random
import signal

import pytest
from faults import kills, others, soak
from faults.harness import Broken, Place, check_equal, check_whole

from rvdt_jax.report.records import append_lines

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    """A run that nothing happens to."""
    root = tmp_path_factory.mktemp("faults")
    place = Place(root / "reference", root / "compiled")
    place.train()
    return place


def test_a_run_that_is_killed_again_and_again_comes_to_the_same_end(reference, tmp_path):
    by_name = {stage.name: stage for stage in (*kills.BEFORE, *kills.DURING)}
    stages = [by_name[name] for name in ("data set write", "checkpoint write", "record write", "evaluation")]
    struck = kills.survive(Place(tmp_path, reference.compiled), reference, stages, signal.SIGKILL, random.Random(3))
    assert struck == [stage.name for stage in stages]


@pytest.mark.parametrize("fault", ["raise", "die"])
def test_an_environment_that_breaks_ends_no_run(fault, reference, tmp_path):
    others.faulty_environment(Place(tmp_path, reference.compiled), reference, fault)


def test_two_that_collect_one_data_set_leave_one(reference, tmp_path):
    others.two_recreate(Place(tmp_path, reference.compiled), reference)


def test_what_is_not_whole_is_noticed(reference, tmp_path):
    """The harness itself: a record twice, a gap, another end."""
    place = Place(tmp_path, reference.compiled)
    place.run.mkdir()
    lines = (reference.run / "metrics.jsonl").read_bytes().splitlines(keepends=True)
    for broken, word in ((lines + lines[-1:], "twice"), (lines[:2] + lines[4:], "gap")):
        (place.run / "metrics.jsonl").write_bytes(b"".join(broken))
        with pytest.raises(Broken, match=word):
            check_whole(place)
    (place.run / "metrics.jsonl").write_bytes(b"".join(lines))
    check_whole(place)
    append_lines(place.run / "evaluations.jsonl", [])
    with pytest.raises(Broken, match=r"evaluations\.jsonl differs"):
        check_equal(place, reference)


def test_the_table_counts_kills_by_stage_and_names_what_was_broken():
    trials = [soak.Trial("kill -9", print)] * 2 + [soak.Trial("a full disk", print), soak.Trial("a clock", print)]
    outcomes = [["step", "step", "evaluation"], AssertionError("Broken: a gap"), others.NotTried("no root"), "0.1 %"]
    lines = soak.format_table(trials, outcomes).splitlines()
    assert lines[1].split() == ["kill", "-9", "8", "3"]
    assert [line.split() for line in lines[2:4]] == [["step", "2", "2"], ["evaluation", "1", "1"]]
    assert lines[4].strip() == "BROKEN: Broken: a gap"
    assert lines[5].endswith("not tried: no root")
    assert lines[6].split() == ["a", "clock", "1", "1"]
    kills_of = [trial.run.keywords["stages"] for trial in soak.trials(50, 0) if trial.name.startswith("kill -9")]
    assert sum(map(len, kills_of)) == 50
