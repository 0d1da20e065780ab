"""TensorBoard events, read back from the files; without tensorboardX there are none, and that is no error."""

import os
import struct
import sys
import time

import pytest

from rvdt_jax.report.tensorboard import Writer

pytest.importorskip("tensorboardX")


def read_events(folder, seed):
    """The (tag, step, value) of every scalar in the event files of that seed, sorted."""
    from tensorboardX.proto import event_pb2

    found = []
    for path in (folder / "tensorboard" / f"seed-{seed}").glob("*tfevents*"):
        content = path.read_bytes()
        while content:
            (length,) = struct.unpack("<Q", content[:8])
            event = event_pb2.Event.FromString(content[12 : 12 + length])  # a checksum follows length and event
            found += [(value.tag, event.step, value.simple_value) for value in event.summary.value]
            content = content[16 + length :]
    return sorted(found)


def write(folder, *records):
    writer = Writer(folder / "tensorboard")
    for step, seed, values in records:
        writer.write({"step": step, "seed": seed} | values)
    return writer


RECORDS = [(100, 3, {"nll": 0.5, "td_loss": 2.0}), (100, 4, {"nll": 0.25}), (200, 3, {"nll": 0.125})]


def test_every_value_is_an_event_of_its_seed_and_a_resumed_run_adds_to_them(tmp_path, monkeypatch):
    write(tmp_path, *RECORDS).close()
    assert read_events(tmp_path, 3) == [("nll", 100, 0.5), ("nll", 200, 0.125), ("td_loss", 100, 2.0)]
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now)  # another process within the same second
    monkeypatch.setattr(os, "getpid", lambda: 1)
    write(tmp_path, (300, 4, {"nll": 1.0})).close()
    assert read_events(tmp_path, 4) == [("nll", 100, 0.25), ("nll", 300, 1.0)]


def test_without_tensorboardx_nothing_is_written_and_the_log_says_so(tmp_path, monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, "tensorboardX.proto", None)
    caplog.set_level("INFO", logger="rvdt_jax")
    write(tmp_path, *RECORDS).close()
    assert list(tmp_path.iterdir()) == []
    assert "tensorboardX is not installed" in caplog.text


def test_a_full_disk_ends_the_events_and_nothing_else(tmp_path, caplog):
    writer = write(tmp_path, *RECORDS)
    writer._files[3].close()
    writer._files[3] = open("/dev/full", "wb")  # noqa: SIM115
    for step in (300, 400):
        writer.write({"step": step, "seed": 3, "nll": 0.5})
    writer.close()
    assert caplog.text.count("no more TensorBoard events: [Errno 28] No space left on device") == 1
    assert read_events(tmp_path, 3)
