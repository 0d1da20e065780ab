"""The verdict says what the numbers say."""

import pytest
from made_up_runs import measured_coverage as measured

from rvdt_jax.report.coverage import plot_coverage, verdict, worst_and_mean


def test_the_worst_group_with_its_interval():
    assert worst_and_mean(measured(), "before") == pytest.approx((0.1, 0.099, 0.101, 0.2))


def test_the_verdict():
    text = verdict(measured())
    assert "ask for a return of 10; the data show returns of 5 to 10" in text
    assert "In the data, 20 % of the trajectories reach them, and 10 % (9.9 % to 10 %) in the group" in text
    assert "Rebalanced with alpha 2, 40 % of the trajectories" in text
    assert "30 % of the training steps" in text
    assert "50 % of the training steps" in text
    assert "rebalancing multiplies that by 1.7" in text


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        (0.3, 0.5, "a good part"),
        (0.02, 0.04, "So little"),
        (0.001, 0.002, "next to nothing"),
        (0.0, 0.0, "nothing to raise"),
    ],
)
def test_the_judgement_follows_the_share_of_steps(before, after, words):
    assert words in verdict(measured(before=before, after=after)).splitlines()[-1]


def test_a_target_beyond_the_data_is_told_first():
    first = verdict(measured(target=150.0, inside=False)).splitlines()[0]
    assert "150, which lies above everything in the data (0 to 10): no trajectory shows it" in first


def test_the_picture(tmp_path):
    plot_coverage(measured(), tmp_path / "coverage.png", title="x")
    assert (tmp_path / "coverage.png").stat().st_size > 5000
