"""Problems with a known optimum: sequence models without a critic must fail on both, and RVDT must solve both."""

import numpy as np
import pytest
from launching import launch
from toy_problems import START, corridor_trajectories

from rvdt_jax.data.coverage import group_states
from rvdt_jax.report.records import read_json

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """What ``experiments/toys.py`` writes, at full size."""
    folder = tmp_path_factory.mktemp("toys")
    result = launch("toys.py", f"--out={folder}", XLA_FLAGS="")  # as on a user's machine: all optimisations
    assert result.returncode == 0, result.stderr
    return folder


@pytest.mark.parametrize("variant", ["DT", "RDT", "RVDT"])
def test_only_the_critic_solves_them(variant, folder):
    """The best throw, 1, pays 1.3 on average, and those to the left of the middle less than .8; all seeds agree."""
    found = read_json(folder / "toys.json")
    bandit = np.array(found["bandit"][variant])
    assert bandit.shape == (3,)
    assert (bandit > 1.2).all() if variant == "RVDT" else (bandit < 0.95).all()
    assert found["corridor"][variant] == ([1.0] * 3 if variant == "RVDT" else [0.0] * 3)


def test_coverage_is_what_the_corridor_lacks_and_not_the_bandit(folder):
    """No trajectory from the corridor's start has the target; the bandit's only state has it often: luck misleads."""
    measured = read_json(folder / "corridor" / "coverage.json")
    data, asked = corridor_trajectories(), measured["asked_bin"]
    starts = data["observations"][np.cumsum(data["lengths"]) - data["lengths"]]
    there = group_states(starts, 6, seed=0)[np.abs(starts[:, 0] - START).argmin()]
    for when in ("before", "after"):
        assert measured[when]["by_group"][there][asked] == 0.0
        assert measured[when]["by_group_high"][there][asked] < 0.1
    assert measured["after"]["histogram"][asked] > measured["before"]["histogram"][asked] > 0.1
    bandit = read_json(folder / "bandit" / "coverage.json")
    assert bandit["group_sizes"] == [8000]
    assert bandit["before"]["by_group_low"][0][bandit["asked_bin"]] > 0.05
