"""The verdict says what the numbers say."""

import pytest
from made_up_runs import measured_coverage as measured

from rvdt_jax.report.coverage import plot_coverage, verdict


@pytest.mark.parametrize(
    ("line", "options", "words"),
    [
        (0, {}, "ask for a return of 10; returns of 5 to 10 count as that"),
        (0, {"target": 150.0, "inside": False}, "150. It is above every return in the data (0 to 10)"),
        (1, {}, "20 % of the trajectories have such a return, and 10 % (9.9 % to 10 %) of those from the group"),
        (1, {}, "Their steps are 30 % of all training steps"),
        (2, {}, "Rebalanced with alpha 2, 40 % of the trajectories"),
        (3, {}, "Experts, picked by return among those that start near them, are 20 % of the trajectories, and 10 %"),
        (4, {}, "experts count as 40 % of the trajectories, and as 20 % (19 % to 21 %) in that group."),
        (5, {}, "A good part of the training steps belongs to the requested return; rebalancing raises its share of"),
        (5, {"before": 0.02, "after": 0.04}, "Few of the training steps belong to the requested return"),
        (5, {"before": 0.3, "after": 0.3}, "rebalancing does not raise its share"),
        (5, {"before": 0.0, "after": 0.0}, "rebalancing does not raise its share"),
        (5, {"worst": 0.01}, "From some initial states almost no trajectory has the requested return"),
        (5, {"target": 150.0, "inside": False}, "Imitation cannot teach a return that no trajectory has"),
    ],
)
def test_the_verdict(line, options, words):
    assert words in verdict(measured(**options)).splitlines()[line]


def test_the_picture(tmp_path):
    plot_coverage(measured(), tmp_path / "coverage.png", title="x")
    assert (tmp_path / "coverage.png").stat().st_size > 5000
