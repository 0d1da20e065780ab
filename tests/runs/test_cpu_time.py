"""What a run on a CPU says of its length."""

import re

import pytest

from rvdt_jax.runs import hooks
from rvdt_jax.runs.fit import run_config

HINT = "; config.size=small (--config=FILE:small) is made for a CPU"


@pytest.mark.parametrize(("size", "hint"), [("reference", HINT), ("small", "")])
def test_a_long_run_says_once_how_long_it_takes(size, hint, make_run_config, monkeypatch, caplog):
    monkeypatch.setattr(hooks, "_LONG_HOURS", -1.0)
    run = run_config(make_run_config(size=size, train__steps=8, env="none"), progress=False)
    (line,) = (message for message in caplog.messages if "on this CPU" in message)
    found = re.fullmatch(r"6 updates at (\S+) s: 0 hours on this CPU(.*)", line)
    assert found[2] == hint
    first = hooks.read_lines(run.folder / "timing.jsonl")[0]
    assert float(found[1]) == pytest.approx(first["seconds"] / 2, rel=0.05)  # without compilation


def test_a_short_run_says_nothing(make_run_config, caplog):
    run_config(make_run_config(env="none"), progress=False)
    assert "on this CPU" not in caplog.text
