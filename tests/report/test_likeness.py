"""The report that lays recreated data sets beside what is known of D4RL's files."""

import numpy as np
import pytest

from rvdt_jax.report.likeness import describe, policies_table, table
from rvdt_jax.tasks import all_tasks, d4rl_datasets

LENGTHS = np.array([2, 3])
REWARDS = np.array([0.0, 1.0, 0.0, 0.0, 0.0])


def numbers(task="antmaze-umaze-v0"):
    return describe(task, LENGTHS, np.array([1.0, 0.0]), REWARDS, np.array([True, False]))


def test_a_data_set_in_numbers():
    found = numbers()
    assert (found["steps"], found["episodes"], found["terminated"]) == (5, 2, 0.5)
    assert (found["return_mean"], found["return_std"], found["length_mean"]) == (0.5, 0.5, 2.5)
    assert found["return_percentiles"] == {"0": 0.0, "10": 0.1, "50": 0.5, "90": 0.9, "100": 1.0}
    assert (found["rewarded_steps"], found["rewarded_episodes"]) == (0.2, 0.5)


def test_only_sparse_rewards_are_counted():
    assert "rewarded_steps" not in numbers("hopper-medium-v2")


def test_what_is_known_of_d4rls_files_covers_every_task_that_needs_a_policy():
    families = ("gym", "antmaze")
    assert list(d4rl_datasets()) == [
        name for name, task in sorted(all_tasks().items(), key=_order) if task.family in families
    ]
    for name, row in d4rl_datasets().items():
        assert int(row["episodes"]) > 100
        assert row["source"].startswith("episodes: https://")
        if not name.startswith("antmaze"):
            assert float(row["return_min"]) < float(row["return_mean"]) < float(row["return_max"])


def _order(item):
    order = ["halfcheetah", "hopper", "walker2d", "antmaze"]
    qualities = ["medium-v2", "medium-replay-v2", "medium-expert-v2"]
    robot, rest = item[0].split("-", 1)
    return (order.index(robot) if robot in order else 9, qualities.index(rest) if rest in qualities else 0)


@pytest.mark.parametrize("task", ["antmaze-umaze-v0", "hopper-medium-replay-v2"])
def test_both_stand_in_the_table_with_the_reasons(task):
    text = table([numbers(task)])
    ours, theirs = (line for line in text.splitlines() if line.startswith(("| **", "| D4RL")))
    assert ours.startswith(f"| **{task}**, recreated | 5 | 2 | 0.50 ± 0.50 | 0.00 | 0.50 | 1.00 | 2 |")
    assert f"{int(d4rl_datasets()[task]['episodes']):,}" in theirs
    assert ours.count("|") == theirs.count("|") == text.splitlines()[0].count("|")
    assert text.count("- **") == 1


def test_how_far_the_policies_came():
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
