"""The report that lays recreated data sets beside what is known of D4RL's files."""

import numpy as np
from reporting.likeness import describe


def test_a_data_set_in_numbers():
    rewards, terminated = np.array([0.0, 1.0, 0.0, 0.0, 0.0]), np.array([True, False])
    episodes = np.array([2, 3]), np.array([1.0, 0.0]), rewards, terminated
    found = describe("antmaze-umaze-v0", *episodes)
    assert (found["steps"], found["episodes"], found["terminated"]) == (5, 2, 0.5)
    assert (found["return_mean"], found["return_std"], found["length_mean"]) == (0.5, 0.5, 2.5)
    assert found["return_percentiles"] == {"0": 0.0, "10": 0.1, "50": 0.5, "90": 0.9, "100": 1.0}
    assert (found["rewarded_steps"], found["rewarded_episodes"]) == (0.2, 0.5)
    assert "rewarded_steps" not in describe("hopper-medium-v2", *episodes)  # only sparse rewards are counted
