"""The verdict says what the numbers say."""

import pytest
from made_up_runs import measured_coverage as measured

from rvdt_jax.report.coverage import plot_coverage, verdict, worst_and_mean


def test_the_worst_group_with_its_interval():
    assert worst_and_mean(measured(), "before") == pytest.approx((0.1, 0.099, 0.101, 0.2))


def test_the_verdict():
    text = verdict(measured())
    assert "ask for a return of 10; the data show returns of 5 to 10" in text
    assert "In the data, 20 % of the trajectories show that, and 10 % (9.9 % to 10 %) from the group" in text
    assert "Rebalanced with alpha 2, 40 % of the trajectories" in text
    assert "they make up 30 % of the training steps" in text
    assert "they make up 50 % of the training steps" in text
    assert (
        "Experts, picked by return among those that start near them, are 20 % of the trajectories, and 10 % (9 % to "
        "11 %) in the group of initial states where they are rarest. Their steps are 30 % of all steps."
    ) in text
    assert (
        "Rebalanced with alpha 2, experts count as 40 % of the trajectories, and as 20 % (19 % to 21 %) in that group. "
        "Their steps count as 50 % of all steps."
    ) in text
    assert text.splitlines()[-1] == (
        "So a good part of what is learned is about what will be asked; rebalancing raises it 1.7 times."
    )


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (
            {"before": 0.02, "after": 0.04},
            "little of what is learned is about what will be asked; rebalancing raises it 2",
        ),
        (
            {"before": 0.3, "after": 0.3},
            "a good part of what is learned is about what will be asked; rebalancing does not",
        ),
        ({"before": 0.0, "after": 0.0}, "rebalancing does not raise it"),
        ({"worst": 0.01}, "from some initial states next to nothing teaches what will be asked"),
        ({"target": 150.0, "inside": False}, "nothing that is learned by imitation is about what will be asked"),
    ],
)
def test_the_judgement_follows_coverage(options, words):
    assert words in verdict(measured(**options)).splitlines()[-1]


def test_a_target_beyond_the_data_is_told_first():
    first = verdict(measured(target=150.0, inside=False)).splitlines()[0]
    assert "150, which lies above everything in the data (0 to 10): no trajectory shows it" in first


@pytest.mark.parametrize(
    ("by", "words"), [("return", "picked by return wherever they start"), ("threshold", "picked by a return threshold")]
)
def test_the_verdict_says_how_experts_were_picked(by, words):
    assert f"Experts, {words}, are" in verdict(measured() | {"expert_set": {"by": by}})


def without_experts(record):
    """As it was written before experts were counted."""
    return record | {
        when: {name: value for name, value in record[when].items() if not name.startswith("expert")}
        for when in ("before", "after")
    }


def test_a_record_from_before_experts_were_counted_is_still_read(tmp_path):
    assert "Experts" not in verdict(without_experts(measured()))
    plot_coverage(without_experts(measured()), tmp_path / "coverage.png", title="x")
    assert (tmp_path / "coverage.png").stat().st_size > 5000


def test_the_picture(tmp_path):
    plot_coverage(measured(), tmp_path / "coverage.png", title="x")
    assert (tmp_path / "coverage.png").stat().st_size > 5000
