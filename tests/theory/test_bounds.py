"""The bounds, by hand and on random MDPs."""

import numpy as np
import pytest
from reporting.theory import describe_theory, plot_theory
from reporting.theory_curves import measure, measure_samples, theory_curves

from rvdt_jax.theory import bounds

SEEDS = 250
HORIZON = 5  # of the random MDPs: a bound from there on holds of any policy


@pytest.mark.parametrize(
    ("epsilon", "skill"), [(0.0, 0.1), (0.0, 0.9), (0.001, 0.5), (0.01, 0.7), (0.01, 0.9), (0.03, 0.9)]
)
def test_the_bound_without_a_constant_holds_on_random_mdps(epsilon, skill):
    points = [measure(seed, skill, epsilon) for seed in range(SEEDS)]
    assert all(point.alpha > 0 for point in points)
    assert all(point.regret <= point.bound + 1e-9 for point in points)
    assert sum(point.bound < HORIZON for point in points) > 200  # where it is informative
    if epsilon == 0.0:  # then the expert's return is reached, which is optimal
        np.testing.assert_allclose([(point.regret, point.gap) for point in points], 0.0, atol=1e-9)


def test_asking_for_less_than_the_expert_earns_less_and_takes_a_constant():
    """The bound of [B] is about the return that is asked for; the source's is about the best one."""
    points = (measure(seed, 0.6, 0.0, asked=0.5) for seed in range(SEEDS))
    found = [point for point in points if point.alpha > 0]
    assert len(found) > 50
    assert all(point.regret <= point.bound + 1e-9 for point in found)
    # Without slips the bound is all constant: the share gap / H of the C from which on it is vacuous.
    np.testing.assert_allclose([p.constant / p.empty for p in found], [p.gap / HORIZON for p in found], atol=1e-9)
    assert max(point.constant / point.empty for point in found) > 0.2


def test_terms_by_hand():
    assert bounds.brandfonbrener(0.1, 0.5, 3) == pytest.approx(0.1 * 4 * 9)
    terms = bounds.first_bound(0.1, 0.5, 0.25, 2, constant=0.5)
    assert terms == pytest.approx({"stochasticity": 7 * 4 * 0.1, "coverage": 6 * 4 * 0.5})
    assert bounds.smallest_constant(sum(terms.values()), 0.1, 0.5, 0.25, 2) == pytest.approx(0.5)
    assert bounds.smallest_constant(0.1, 0.1, 0.5, 0.25, 2) == 0.0
    problem = {"trajectories": 16, "epsilon": 0.1, "alpha": 0.5, "expert_alpha": 0.25, "horizon": 2}
    problem |= {"ratio": 3.0, "log_policies": 16 - np.log(10), "log_ratio": 4.0, "approximation": 0.25}
    expected = {"estimation": 48.0, "approximation": 12.0, "expert coverage": 4.8, "coverage": 1.6}
    assert bounds.sample_bound(**problem, constant=0.2) == pytest.approx(expected)


def test_more_trajectories_close_the_gap_and_shrink_the_bound():
    few, many = (np.array([measure_samples(seed, count) for seed in range(15)]) for count in (10, 3000))
    assert many[:, 0].mean() < 0.5 * few[:, 0].mean()
    assert (many[:, 1] < few[:, 1]).all()


def test_the_report_counts_violations_and_is_drawn(tmp_path):
    curves = theory_curves(3)
    broken = curves | {"coverage": curves["coverage"] | {"regret": [[9.0] * 3] * len(curves["coverage"]["dial"])}}
    held, fewer = (int(describe_theory(each).split("it held in ")[1].split(".")[0]) for each in (curves, broken))
    telling = int((np.array(curves["coverage"]["bound"], float) < curves["horizon"]).sum())
    assert held - fewer == telling > 0
    plot_theory(curves, tmp_path / "theory.png")
    assert (tmp_path / "theory.png").read_bytes().startswith(b"\x89PNG")


def test_a_target_that_no_mdp_covers_has_a_sentence():
    assert "Without slips no MDP covers the target 0.25 f*." in describe_theory(theory_curves(1))
