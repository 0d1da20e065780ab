"""TensorBoard events, read back from the files; without tensorboardX there are none, and that is no error."""

import logging
import os
import struct
import sys
import time

import pytest

from rvdt_jax.report.tensorboard import make_writer

RECORDS = [
    {"step": 100, "seed": 3, "policy/nll": 0.5, "critic/td_loss": 2.0},
    {"step": 100, "seed": 4, "policy/nll": 0.25},
    {"step": 200, "seed": 3, "policy/nll": 0.125},
]


def read_events(folder):
    """The (tag, step, value) of every scalar in the event files of ``folder``."""
    event_pb2 = pytest.importorskip("tensorboardX.proto.event_pb2")
    found = []
    for path in sorted(folder.glob("*tfevents*")):
        content = path.read_bytes()
        while content:
            (length,) = struct.unpack("<Q", content[:8])
            event = event_pb2.Event.FromString(content[12 : 12 + length])  # a checksum follows length and event
            found += [(value.tag, event.step, value.simple_value) for value in event.summary.value]
            content = content[16 + length :]
    return found


def write(folder):
    writer = make_writer(folder)
    for record in RECORDS:
        writer.write(record)
    writer.close()


def test_every_value_is_an_event_of_its_seed(tmp_path):
    pytest.importorskip("tensorboardX")
    write(tmp_path)
    assert sorted(read_events(tmp_path / "tensorboard" / "seed-3")) == [
        ("critic/td_loss", 100, 2.0),
        ("policy/nll", 100, 0.5),
        ("policy/nll", 200, 0.125),
    ]
    assert read_events(tmp_path / "tensorboard" / "seed-4") == [("policy/nll", 100, 0.25)]
    assert {path.name for path in (tmp_path / "tensorboard").iterdir()} == {"seed-3", "seed-4"}


def test_a_run_that_goes_on_adds_to_its_events(tmp_path, monkeypatch):
    pytest.importorskip("tensorboardX")
    write(tmp_path)
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now)  # a clock that stands still, and another process
    monkeypatch.setattr(os, "getpid", lambda: 1)
    writer = make_writer(tmp_path)
    writer.write({"step": 300, "seed": 4, "policy/nll": 1.0})
    writer.close()
    assert sorted(read_events(tmp_path / "tensorboard" / "seed-4")) == [
        ("policy/nll", 100, 0.25),
        ("policy/nll", 300, 1.0),
    ]


def test_without_tensorboardx_nothing_is_written_and_that_is_said(tmp_path, monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, "tensorboardX.proto", None)
    with caplog.at_level(logging.INFO, logger="rvdt_jax"):
        write(tmp_path)
    assert list(tmp_path.iterdir()) == []
    assert "tensorboardX is not installed" in caplog.text


def test_a_full_disk_ends_the_events_and_nothing_else(tmp_path, monkeypatch, caplog):
    pytest.importorskip("tensorboardX")
    writer = make_writer(tmp_path)
    writer.write(RECORDS[0])
    writer._files[3].close()
    writer._files[3] = open("/dev/full", "wb")  # noqa: SIM115
    for record in RECORDS:
        writer.write(record)
    writer.close()
    assert caplog.text.count("no more TensorBoard events: [Errno 28] No space left on device") == 1
    assert read_events(tmp_path / "tensorboard" / "seed-3")
