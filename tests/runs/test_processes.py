"""The messages between the processes of a run, with threads and a dictionary in the place of processes and a server."""

import threading
import time

import jax
import pytest

from rvdt_jax.errors import UserError
from rvdt_jax.runs import processes
from rvdt_jax.runs.processes import Group, ProcessFailed


class Store:
    """The part of the store of ``jax.distributed`` that is used."""

    def __init__(self):
        self.values, self.changed = {}, threading.Condition()

    def key_value_set(self, key, value, allow_overwrite=False):
        with self.changed:
            if key in self.values and not allow_overwrite:
                raise jax.errors.JaxRuntimeError("ALREADY_EXISTS")
            self.values[key] = value
            self.changed.notify_all()

    def blocking_key_value_get(self, key, timeout_in_ms):
        with self.changed:
            if not self.changed.wait_for(lambda: key in self.values, timeout_in_ms / 1000):
                raise jax.errors.JaxRuntimeError("DEADLINE_EXCEEDED")
            return self.values[key]

    def key_value_dir_get(self, place):
        with self.changed:
            return [(key, value) for key, value in self.values.items() if key.startswith(place)]


@pytest.fixture
def together(monkeypatch):
    """A function that calls ``work(group)`` as each of several processes, and returns what came of each."""
    monkeypatch.setattr(processes, "_POLL_SECONDS", 0.02)

    def run(work, count=3):
        store, outcomes = Store(), [None] * count

        def process(index):
            group = Group()
            group.index, group.count, group._client, group._place = index, count, store, "run"
            try:
                with group:
                    outcomes[index] = work(group)
            except Exception as error:
                outcomes[index] = error

        threads = [threading.Thread(target=process, args=(index,), daemon=True) for index in range(count)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
            assert not thread.is_alive()
        return outcomes

    return run


def test_what_process_0_does_reaches_all(together):
    worked = []

    def work(group):
        return group.lead(lambda: worked.append(group.index) or {"a": [1.5, None]})

    assert together(work) == [{"a": [1.5, None]}] * 3
    assert worked == [0]


def test_process_0_goes_first(together):
    order = []

    def work(group):
        def load():
            time.sleep(0.1 if group.leads else 0)
            order.append(group.index)
            return group.index

        return group.in_turn(load)

    assert together(work) == [0, 1, 2]
    assert order[0] == 0


def test_what_differs_is_named_and_refused_by_all(together):
    def work(group):
        group.agree({"config": {"seeds": (0, 1), "eta": 1.0 if group.index < 2 else 2.0}})

    for outcome in together(work):
        assert isinstance(outcome, ValueError)
        assert "process 2 differs from process 0: config.eta is 2.0 there, 1.0 here" in str(outcome)
    assert together(lambda group: group.agree({"config": {"seeds": (0, 1)}})) == [None] * 3


@pytest.mark.parametrize("culprit", [0, 1])
@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (UserError("wrong"), UserError, "wrong"),
        (KeyError("bug"), ProcessFailed, "failed: KeyError: 'bug'"),
        (ValueError("not enough values to unpack"), ProcessFailed, "failed: ValueError: not enough values"),
    ],
)
def test_an_error_in_one_process_ends_all(culprit, error, kind, words, together):
    def work(group):
        if group.index == culprit:
            raise error
        group.lead(lambda: group._wait("never"))

    outcomes = together(work)
    assert outcomes[culprit] is error
    for index in {0, 1, 2} - {culprit}:
        assert isinstance(outcomes[index], kind)
        assert words in str(outcomes[index])
        assert not getattr(outcomes[index], "dead", False)


def test_a_connection_that_breaks_without_a_word_is_a_death(together):
    def work(group):
        if group.index == 1:
            with group.explained():
                raise ValueError("UNKNOWN: Gloo all-reduce failed: Connection closed by peer")
        group.lead(lambda: group._wait("never"))

    for outcome in together(work):
        assert isinstance(outcome, ProcessFailed)
        assert outcome.dead
        assert "another process of the run has died" in str(outcome)


@pytest.mark.parametrize(
    ("error", "broken"),
    [
        (ValueError("UNKNOWN: Gloo all-reduce failed: Connection closed by peer"), True),
        (jax.errors.JaxRuntimeError("FAILED_PRECONDITION: Buffer Definition Event: Gloo\nconnect failed"), True),
        (jax.errors.JaxRuntimeError("INTERNAL: NCCL operation failed"), True),
        (jax.errors.JaxRuntimeError("UNAVAILABLE: Socket closed"), True),
        (ValueError("config.task=x: Minari's servers cannot be reached: [Errno 111] Connection refused"), False),
        (ValueError("/data/igloo/run: already holds a run. Continue it with --resume"), False),
        (jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory"), False),
    ],
    ids=lambda value: str(value)[:24],
)
def test_what_a_lost_connection_looks_like(error, broken):
    assert processes._is_broken_connection(error) is broken


def test_a_connection_that_breaks_because_of_an_error_is_that_error(together):
    def work(group):
        if group.leads:
            raise UserError("training has diverged")
        raise ValueError("UNKNOWN: Gloo all-reduce failed: Connection closed by peer")

    assert [str(outcome) for outcome in together(work)] == ["training has diverged"] * 3


def test_silence_is_a_death(together, monkeypatch):
    monkeypatch.setattr(processes, "SILENCE_SECONDS", 0.3)

    def work(group):
        if group.index == 2:
            time.sleep(0.1)
            group._left.set()  # it gives no more signs of life, as a killed process
            group._client.blocking_key_value_get("run/failure/first", 20_000)
            raise KeyError
        return group.lead(lambda: group._wait("never"))

    for outcome in together(work)[:2]:
        assert isinstance(outcome, ProcessFailed)
        assert outcome.dead
        assert "process 2 of the run has died: no sign of life for 0.3 s" in str(outcome)


def test_a_process_alone_has_nobody_to_wait_for():
    with Group() as group:
        assert (group.index, group.count, group.leads) == (0, 1, True)
        assert group.lead(lambda: 3) == group.in_turn(lambda: 3) == 3
        group.agree({"a": 1})
    with pytest.raises(KeyError), Group(), group.explained():
        raise KeyError
