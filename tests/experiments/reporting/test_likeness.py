"""The report that lays recreated data sets beside what is known of D4RL's files."""

import numpy as np
import pytest
from reporting.likeness import describe, policies_table, table

from rvdt_jax.tasks import all_tasks, d4rl_datasets


def numbers(task="antmaze-umaze-v0"):
    rewards, terminated = np.array([0.0, 1.0, 0.0, 0.0, 0.0]), np.array([True, False])
    return describe(task, np.array([2, 3]), np.array([1.0, 0.0]), rewards, terminated)


def test_a_data_set_in_numbers():
    found = numbers()
    assert (found["steps"], found["episodes"], found["terminated"]) == (5, 2, 0.5)
    assert (found["return_mean"], found["return_std"], found["length_mean"]) == (0.5, 0.5, 2.5)
    assert found["return_percentiles"] == {"0": 0.0, "10": 0.1, "50": 0.5, "90": 0.9, "100": 1.0}
    assert (found["rewarded_steps"], found["rewarded_episodes"]) == (0.2, 0.5)
    assert "rewarded_steps" not in numbers("hopper-medium-v2")  # only sparse rewards are counted


def test_d4rls_files_are_known_for_every_task_that_needs_a_policy():
    assert set(d4rl_datasets()) == {name for name, task in all_tasks().items() if task.family in ("gym", "antmaze")}
    for name, row in d4rl_datasets().items():
        assert int(row["episodes"]) > 100
        assert row["source"].startswith("episodes: https://")
        if not name.startswith("antmaze"):
            assert float(row["return_min"]) < float(row["return_mean"]) < float(row["return_max"])


@pytest.mark.parametrize("task", ["antmaze-umaze-v0", "hopper-medium-replay-v2"])
def test_both_stand_in_the_table_with_the_reasons(task):
    text = table([numbers(task)])
    ours, theirs = (line for line in text.splitlines() if line.startswith(("| **", "| D4RL")))
    assert ours.startswith(f"| **{task}**, recreated | 5 | 2 | 0.50 ± 0.50 | 0.00 | 0.50 | 1.00 | 2 |")
    assert f"{int(d4rl_datasets()[task]['episodes']):,}" in theirs
    assert ours.count("|") == theirs.count("|") == text.splitlines()[0].count("|")
    assert text.count("- **") == 1


def test_the_returns_of_the_policies():
    measured = {"drawn": 50.0, "mean_action": 75.0}
    walker = {"robot": "walker2d", "steps": 1000, "mean_return_over_100_episodes": measured}
    ant = {
        "robot": "ant",
        "steps": 20,
        "goals_in_20_seconds_over_100_episodes": {"drawn": 4.0, "mean_action": 5.0},
        "share_that_reach_a_goal_within_8_m_in_20_seconds": {"drawn": 0.9, "mean_action": 1.0},
    }
    lines = policies_table({"walker2d-best": walker, "ant-goal": ant}, {"walker2d": 100.0}).splitlines()
    assert lines[2] == "| walker2d-best | 1,000 | 50 | 75 | 50 %, 75 % |"
    assert lines[3] == "| ant-goal | 20 | 4.0 goals in 20 s, 90 % reach one | 5.0 goals in 20 s, 100 % reach one |  |"
