"""Problems with a known optimum: sequence models without a critic must fail on both, and RVDT must solve both."""

import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
from toy_problems import ENVIRONMENTS, START, bandit_trajectories, corridor_trajectories

from rvdt_jax.data.coverage import group_states
from rvdt_jax.envs.adapters import make_env
from rvdt_jax.report.records import read_json
from rvdt_jax.tasks import Environment

pytestmark = pytest.mark.slow

ROOT = pathlib.Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """What ``experiments/toys.py`` writes, at full size."""
    folder = tmp_path_factory.mktemp("toys")
    command = [sys.executable, str(ROOT / "experiments" / "toys.py"), f"--out={folder}"]
    environment = dict(os.environ)
    environment.pop("XLA_FLAGS", None)  # as a user's machine has it: one device, and all optimisations
    result = subprocess.run(command, capture_output=True, text=True, timeout=900, env=environment)
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


def test_coverage_is_what_the_corridor_lacks(folder):
    """No trajectory from the start of evaluation has the target; rebalancing raises only what exists."""
    measured = read_json(folder / "corridor" / "coverage.json")
    data, asked = corridor_trajectories(), measured["asked_bin"]
    starts = data["observations"][np.cumsum(data["lengths"]) - data["lengths"]]
    there = group_states(starts, 6, seed=0)[np.abs(starts[:, 0] - START).argmin()]
    for when in ("before", "after"):
        assert measured[when]["by_group"][there][asked] == 0.0
        assert measured[when]["by_group_high"][there][asked] < 0.1
    assert measured["after"]["histogram"][asked] > measured["before"]["histogram"][asked] > 0.1


def test_coverage_is_not_what_the_bandit_lacks(folder):
    """The target is common enough, from the only initial state there is: luck misleads here."""
    measured = read_json(folder / "bandit" / "coverage.json")
    assert measured["group_sizes"] == [8000]
    assert measured["before"]["by_group_low"][0][measured["asked_bin"]] > 0.05


def test_no_trajectory_of_the_corridor_goes_all_the_way():
    data = corridor_trajectories()
    starts = np.cumsum(data["lengths"]) - data["lengths"]
    returns = np.add.reduceat(data["rewards"], starts)
    assert returns.max() == 1
    assert returns[data["observations"][starts, 0] < -0.25].max() == 0


def test_the_environments_are_those_of_the_data():
    env = make_env(Environment(ENVIRONMENTS["corridor"]))
    observation, _ = env.reset(seed=0)
    steps = 0
    while observation[0] < 0.9:
        observation, reward, terminated, truncated, _ = env.step(np.array([1.0]))
        steps += 1
    assert (steps, reward, terminated, truncated) == (9, 1.0, True, False)

    env = make_env(Environment(ENVIRONMENTS["bandit"]))
    throws = []
    for seed in range(500):
        env.reset(seed=seed)
        observation, reward, terminated, _, _ = env.step(np.array([0.5]))
        assert (observation.tolist(), terminated) == ([1.0], False)
        throws.append(reward)
        assert env.step(np.array([0.0]))[1:3] == (0.0, True)
    data = bandit_trajectories()
    near = np.abs(data["actions"][::2, 0] - 0.5) < 0.1
    assert np.mean(throws) == pytest.approx(0.5 + 0.8 * 0.5 + 3 * 0.05, abs=0.1)
    assert data["rewards"][::2][near].mean() == pytest.approx(np.mean(throws), abs=0.2)
