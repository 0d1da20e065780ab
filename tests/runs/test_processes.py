"""The messages between the processes of a run, with threads in the place of processes."""

import threading
import types
from concurrent import futures
from unittest import mock

import numpy as np
import pytest

from rvdt_jax.errors import UserError
from rvdt_jax.runs import processes, relabel
from rvdt_jax.runs.preparation import Data
from rvdt_jax.runs.processes import Group, ProcessFailed
from rvdt_jax.runs.shared_hooks import SharedSession
from rvdt_jax.runs.signals import Interruption

COUNT = 3


@pytest.fixture
def together(monkeypatch):
    """A function that calls ``work(group)`` as each of three processes, and returns what came of each."""

    def run(work):
        own, given, barrier = threading.local(), [None] * COUNT, threading.Barrier(COUNT, timeout=60)

        def allgather(array):
            given[own.index] = array
            barrier.wait()
            rows = np.stack(given)
            barrier.wait()
            return rows

        def process(index):
            own.index, group = index, Group()
            group.index, group.count = index, COUNT
            try:
                with group:
                    return work(group)
            except (Exception, KeyboardInterrupt) as error:
                return error

        monkeypatch.setattr(processes.multihost_utils, "process_allgather", allgather)
        with futures.ThreadPoolExecutor(COUNT) as pool:
            return list(pool.map(process, range(COUNT)))

    return run


def test_process_0s_value_reaches_all(together):
    worked, value = [], {"a": [1.5, None], "long": "x" * 1000}
    assert together(lambda group: group.lead(lambda: worked.append(group.index) or value)) == [value] * COUNT
    assert worked == [0]


def test_process_0_goes_first(together):
    order = []  # and values need not fit into JSON
    assert together(lambda group: group.in_turn(lambda: order.append(group.index) or {group.index})) == [{0}, {1}, {2}]
    assert order[0] == 0


def test_a_difference_is_named_and_refused_by_all(together):
    settings = [{"config": {"seeds": (0, 1), "eta": eta}} for eta in (1.0, 1.0, 2.0)]
    for outcome in together(lambda group: group.agree(settings[group.index])):
        assert isinstance(outcome, UserError)
        assert "process 2 differs from process 0: config.eta is 2.0 there, 1.0 here" in str(outcome)
    assert together(lambda group: group.agree(settings[0])) == [None] * COUNT


def test_a_signal_to_one_process_stops_all(together):
    assert together(lambda group: group.any_signal(15 if group.index == 1 else None)) == [15] * COUNT
    assert together(lambda group: group.any_signal(None)) == [None] * COUNT


@pytest.mark.parametrize("culprit", [0, 1])
@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (UserError("wrong"), UserError, "wrong"),
        (FileNotFoundError("gone"), UserError, "gone"),
        (ValueError("not enough values to unpack"), ProcessFailed, "failed: ValueError: not enough values"),
        (KeyboardInterrupt(), ProcessFailed, "failed: KeyboardInterrupt"),
    ],
)
@pytest.mark.parametrize("way", ["work", "turn", "log"])
def test_an_error_in_one_process_ends_all(way, culprit, error, kind, words, together):
    def fail(group):
        if group.index == culprit:
            raise error

    def work(group):
        if way == "log":  # it waits until the processes talk again
            group.any_signal(None, error if group.index == culprit else None)
        else:
            {"work": group.attempt, "turn": group.in_turn}[way](lambda: fail(group))
        raise AssertionError("it went on")

    outcomes = together(work)
    assert outcomes[culprit] is error
    for index in {0, 1, 2} - {culprit}:
        assert type(outcomes[index]) is kind
        assert words in str(outcomes[index])
        assert (f"process {culprit}" in str(outcomes[index])) == (culprit > 0 or kind is ProcessFailed)


@pytest.mark.parametrize("error", [UserError("the value function diverged"), KeyboardInterrupt()])
def test_relabelling_that_ends_in_process_0_ends_all(error, together, small_config, episodes, tmp_path, monkeypatch):
    monkeypatch.setattr(relabel, "learn_value", mock.Mock(side_effect=error))
    data, config = Data(episodes, None, {}, None, None, None), small_config(variant="QDT")
    first, *others = together(lambda group: relabel.relabel(config, data, tmp_path, group, resume=False))
    assert first is error
    assert [type(other) for other in others] == 2 * [UserError if isinstance(error, UserError) else ProcessFailed]


def test_what_process_0_cannot_record_ends_all(together):
    errors = [UserError("diverged at 5"), UserError("diverged at 10")]
    failing = types.SimpleNamespace(log=mock.Mock(side_effect=errors))

    def work(group):
        session = failing if group.leads else None
        hooks = SharedSession(session, group, Interruption(), mesh=None, steps=10, acting_params=dict)
        hooks.log(5, {})  # another compiled call may be running: nothing is sent yet
        hooks.log(10, {})
        hooks.should_stop()

    assert [str(outcome) for outcome in together(work)] == ["diverged at 5"] * COUNT
