"""The report of the theory's curves: its words count what the numbers say, and it can be drawn."""

import numpy as np
import pytest
from reporting.theory import describe_theory, plot_theory

from rvdt_jax.theory.curves import theory_curves


@pytest.fixture(scope="module")
def curves():
    return theory_curves(3)


def test_words(curves):
    for name in ("coverage", "stochasticity", "asked"):
        assert np.array(curves[name]["regret"]).shape == (len(curves[name]["dial"]), 3)
    text = describe_theory(curves)
    settings = 3 * (len(curves["coverage"]["dial"]) + len(curves["stochasticity"]["dial"]) + 4)
    assert f"3 random MDPs, {settings} settings" in text
    assert text.count("bound (4) needs") == 4


def test_a_violation_would_be_reported(curves):
    broken = curves | {"coverage": curves["coverage"] | {"regret": [[9.0] * 3] * len(curves["coverage"]["dial"])}}
    held, fewer = (int(describe_theory(each).split("it held in ")[1].split(".")[0]) for each in (curves, broken))
    telling = int((np.array(curves["coverage"]["bound"], float) < curves["horizon"]).sum())
    assert telling > 0
    assert held - fewer == telling


def test_the_picture(curves, tmp_path):
    plot_theory(curves, tmp_path / "theory.png")
    assert (tmp_path / "theory.png").read_bytes().startswith(b"\x89PNG")
