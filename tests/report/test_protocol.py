"""The protocol of QT's published scores, by hand."""

import math

from rvdt_jax.report.protocol import maxima


def record(step, seed, returns, target=50.0):
    return {"step": step, "seed": seed, "target": target, "final": step == 30, "returns": returns}


def test_of_each_seed_the_highest_mean_over_the_first_ten_episodes():
    evaluations = [
        record(10, 0, [3.0] * 10 + [99.0] * 10),  # what comes after the tenth does not count
        record(10, 1, [1.0] * 20),
        record(20, 0, [2.0] * 20),
        record(20, 1, [4.0] * 5 + [6.0] * 15),
        record(30, 0, [7.0] * 10 + [0.0] * 90),  # the final evaluation counts
        record(30, 1, [2.0] * 100),
    ]
    found = maxima(evaluations, "50.0")
    assert found.returns == {0: 7.0, 1: 5.0}
    assert (found.evaluations, found.episodes) == (3, 10)


def test_the_headline_target_alone_counts():
    evaluations = [record(10, 0, [1.0] * 10), record(10, 0, [9.0] * 3, target=90.0), record(10, 0, [5.0], target="a b")]
    found = maxima(evaluations, "50.0")
    assert (found.returns, found.evaluations, found.episodes) == ({0: 1.0}, 1, 10)
    assert maxima(evaluations, "a b").returns == {0: 5.0}


def test_evaluations_with_a_failed_episode_among_the_first_ten_do_not_count():
    later = [2.0] * 10 + [None]
    found = maxima([record(10, 0, [9.0, None, 9.0]), record(20, 0, later), record(20, 1, [None])], "50.0")
    assert found.returns[0] == 2.0
    assert math.isnan(found.returns[1])


def test_no_records_have_no_maxima():
    found = maxima([], "50.0")
    assert (found.returns, found.evaluations, found.episodes) == ({}, 0, 0)
