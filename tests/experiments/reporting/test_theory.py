"""The report of the theory's curves: its words count what the numbers say, and it can be drawn."""

import numpy as np
from reporting.theory import describe_theory, plot_theory
from reporting.theory_curves import theory_curves


def test_a_violation_would_be_reported(tmp_path):
    curves = theory_curves(3)
    broken = curves | {"coverage": curves["coverage"] | {"regret": [[9.0] * 3] * len(curves["coverage"]["dial"])}}
    held, fewer = (int(describe_theory(each).split("it held in ")[1].split(".")[0]) for each in (curves, broken))
    telling = int((np.array(curves["coverage"]["bound"], float) < curves["horizon"]).sum())
    assert held - fewer == telling > 0
    plot_theory(curves, tmp_path / "theory.png")
    assert (tmp_path / "theory.png").read_bytes().startswith(b"\x89PNG")
