"""A log of rows is cut into the right episodes, or refused with what is wrong and where."""

import numpy as np
import pytest

from rvdt_jax import Episodes
from rvdt_jax.data.columns import action_bounds, count_beyond, cut_episodes
from rvdt_jax.errors import UserError

T, F = True, False


@pytest.mark.parametrize(
    ("cues", "lengths", "terminated"),
    [
        ({"episode": [7, 7, 7, 3, 3]}, [3, 2], [F, F]),
        ({"episode": ["b", "b", "a", "a", "a"]}, [2, 3], [F, F]),
        ({"terminals": [0, 0, 1, 0, 0]}, [3, 2], [T, F]),
        ({"terminals": [F, T, F, F, T]}, [2, 3], [T, T]),
        ({"timeouts": [0, 1, 0, 0, 0]}, [2, 3], [F, F]),
        ({"terminals": [0, 0, 1, 0, 0], "timeouts": [0, 0, 1, 0, 1]}, [3, 2], [T, F]),
        ({"episode": [0, 0, 0, 1, 1], "terminals": [0.0, 0.0, 0.0, 0.0, 1.0]}, [3, 2], [F, T]),
        ({"time": [0, 1, 2, 9, 10], "gap": 5}, [3, 2], [F, F]),
        ({"time": [3, 4, 5, 0, 1], "gap": 5}, [3, 2], [F, F]),
        ({"time": np.array([0, 60, 120, 7200, 7260], "datetime64[s]"), "gap": 600}, [3, 2], [F, F]),
        ({"episode": [0, 0, 0, 0, 0], "timeouts": [1, 1, 1, 1, 1]}, [1] * 5, [F] * 5),
    ],
)
def test_episodes_end_where_the_log_says(cues, lengths, terminated):
    cues = {name: values if name == "gap" else np.asarray(values) for name, values in cues.items()}
    cut = cut_episodes("log", 5, **cues)
    assert cut.lengths.tolist() == lengths
    assert cut.terminated.tolist() == terminated
    assert cut.order is None


def test_shuffled_rows_are_put_in_order():
    episode, time = np.array([1, 0, 1, 0, 1]), np.array([2, 1, 0, 0, 1])
    cut = cut_episodes("log", 5, episode=episode, time=time, terminals=np.array([1, 0, 0, 0, 0]))
    assert list(zip(episode[cut.order], time[cut.order], strict=True)) == [(1, 0), (1, 1), (1, 2), (0, 0), (0, 1)]
    assert cut.terminated.tolist() == [True, False]


def test_a_flag_inside_an_episode_id_splits_it_and_is_noted():
    cut = cut_episodes("log", 4, episode=np.zeros(4, int), timeouts=np.array([0, 1, 0, 1]))
    assert cut.lengths.tolist() == [2, 2]
    assert cut.timeouts == 2
    assert "split there" in cut.notes[0]


@pytest.mark.parametrize(
    ("cues", "message"),
    [
        ({}, "nothing says where an episode ends"),
        ({"time": [0, 1, 2, 3]}, "nothing says where an episode ends"),
        ({"gap": 1.0}, "a gap needs the time column"),
        ({"episode": [0, 1, 0, 1]}, "rows of episode 0 are not together"),
        ({"episode": [0.0, np.nan, 1.0, 1.0]}, "empty entries"),
        ({"episode": [0, 0, 1, 1], "time": [0, 0, 0, 1]}, "rows 0 and 1 of one episode have the same time"),
        ({"terminals": [0, 0, 0, 1], "time": [0, 2, 1, 3]}, "time falls from 2 to 1 between rows 1 and 2"),
        ({"terminals": [0, 2, 0, 1]}, "terminal flags must be true or false"),
        ({"timeouts": ["no", "yes", "no", "no"]}, "time-out flags must be true or false"),
        ({"time": [0, np.inf, 2, 3], "gap": 1.0}, "time column must hold finite numbers"),
    ],
)
def test_what_cannot_be_cut_is_refused(cues, message):
    cues = {name: values if name == "gap" else np.asarray(values) for name, values in cues.items()}
    with pytest.raises(UserError, match=message):
        cut_episodes("log", 4, **cues)


def test_bounds_are_the_extremes_without_glitches():
    rng = np.random.default_rng(0)
    actions = np.stack([rng.uniform(0, 100, 5000), rng.normal(size=5000), np.full(5000, 5.0)], axis=1)
    low, high = action_bounds(actions)
    assert np.array_equal([low, high], [actions.min(0), actions.max(0)])
    glitched = actions.copy()
    glitched[17] = 1e6, -1e9, 5.0
    low, high = action_bounds(glitched)
    assert high[0] == pytest.approx(100, abs=0.5)
    assert low[1] == pytest.approx(-3.2, abs=0.7)
    assert count_beyond(glitched, low, high)[0] >= 1
    assert action_bounds(np.array([[0.0]] * 39 + [[1e5]]))[1] == 0.0  # a short log, too
    assert action_bounds(np.array([[0.0], [1e5]]))[1] == 1e5  # of two values neither is a glitch


def test_columns_in_memory_become_episodes():
    pandas = pytest.importorskip("pandas")
    log = pandas.DataFrame(
        {
            "temp_a": [20.0, 21.0, 22.0, 19.0],
            "temp_b": np.array([1, 2, 3, 4], ">i2"),
            "valve": [0, 50, 100, 25],
            "reward": [True, False, True, True],
            "day": ["mon", "mon", "mon", "tue"],
            "remark": ["", "x", None, ""],
            "broken": [np.nan] * 4,
        }
    )
    episodes = Episodes.from_columns(log, observations="temp_*", actions="valve", episode="day", action_low=0)
    assert episodes.lengths.tolist() == [3, 1]
    assert episodes.observations.tolist() == [[20, 1], [21, 2], [22, 3], [19, 4]]
    assert np.allclose(episodes.actions[:, 0], [-1, 0, 1, -0.5])
    assert (episodes.action_low, episodes.action_high) == (0, 100)
    assert episodes.returns.tolist() == [2.0, 1.0]


def test_arrays_in_memory_become_episodes():
    rng = np.random.default_rng(0)
    observations, actions = rng.normal(size=(6, 2, 2)).astype(np.float16), rng.uniform(-3, 3, 6)
    episodes = Episodes.from_arrays(observations, actions, np.ones(6), terminals=np.array([0, 0, 1] * 2))
    assert episodes.observations.shape == (6, 4)
    assert episodes.actions.shape == (6, 1)
    assert episodes.terminated.all()
    with pytest.raises(UserError, match="different numbers of rows"):
        Episodes.from_arrays(observations, actions[:5], np.ones(6), terminals=np.zeros(6))
