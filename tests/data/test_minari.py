"""Reading Minari data sets: small ones made here, and what is wrong with others said by name and remedy."""

import json
import logging
import sys

import gymnasium
import numpy as np
import pytest
from minari_sets import write_minari

from rvdt_jax.data.minari import content_digest, find_local, list_local, read_provenance
from rvdt_jax.data.minari.reader import read_minari
from rvdt_jax.data.spaces import unscale_actions

DATASET = "toy/walk-v1"
LENGTHS = (3, 5, 1)


def box(low, high, shape, dtype=np.float32):
    return gymnasium.spaces.Box(low, high, shape, dtype)


def make_episodes(shape=(3,), lengths=LENGTHS):
    """Random episodes; every second one terminates, the others are truncated."""
    rng = np.random.default_rng(0)
    return [
        {
            "observations": rng.normal(size=(length + 1, *shape)).astype(np.float32),
            "actions": rng.uniform(-1, 1, (length, 2)).astype(np.float32),
            "rewards": rng.normal(size=length),
            "terminations": np.arange(length) == (length - 1 if number % 2 else -1),
            "truncations": np.arange(length) == (-1 if number % 2 else length - 1),
        }
        for number, length in enumerate(lengths)
    ]


def write(episodes, observations=None, actions=None, dataset_id=DATASET):
    return write_minari(dataset_id, episodes, observations, actions)


def read(folder):
    """Metadata first and then the data, as every start of a run reads them."""
    read_provenance(DATASET, folder)
    return read_minari(DATASET, folder)


def set_metadata(folder, **changes):
    path = folder / "metadata.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_what_is_written_is_read():
    made = make_episodes()
    episodes = read(write(made))
    assert episodes.name == DATASET
    np.testing.assert_array_equal(episodes.lengths, LENGTHS)
    for field in ("observations", "actions", "rewards"):
        expected = np.concatenate([each[field][: len(each["rewards"])] for each in made]).astype(np.float32)
        np.testing.assert_array_equal(getattr(episodes, field), expected)
        assert getattr(episodes, field).dtype == np.float32


def test_the_order_of_many_episodes_is_kept():
    """As strings, episode_10 comes before episode_2."""
    episodes = make_episodes(lengths=tuple(range(1, 13)))
    np.testing.assert_array_equal(read(write(episodes)).lengths, range(1, 13))


def test_only_a_termination_is_a_termination():
    """Four ends: terminated, truncated, both at once, and a recording that just stops."""
    episodes = make_episodes(lengths=(2, 2, 2, 2))
    for episode, (terminated, truncated) in zip(episodes, [(1, 0), (0, 1), (1, 1), (0, 0)], strict=True):
        episode["terminations"][:] = [False, terminated]
        episode["truncations"][:] = [False, truncated]
    np.testing.assert_array_equal(read(write(episodes)).terminated, [True, False, True, False])


@pytest.mark.parametrize("flag", ["terminations", "truncations"])
def test_an_end_inside_a_stored_episode_splits_it_and_that_is_said(flag, caplog):
    """A flat log with time-out flags, handed to Minari in one piece."""
    episodes = make_episodes(lengths=(6, 3))
    episodes[0][flag][:] = [False, True, False, True, False, False]
    episodes[0]["rewards"] = [1.0] * 6
    found = read(write(episodes))
    np.testing.assert_array_equal(found.lengths, [2, 2, 2, 3])
    np.testing.assert_array_equal(found.terminated[:2], [flag == "terminations"] * 2)
    np.testing.assert_array_equal(found.returns[:3], 2.0)
    assert "in 1 stored episodes flags of an end lie before the last step" in caplog.text


# Dict observations.

DICT = gymnasium.spaces.Dict(
    {
        "position": box(-9, 9, (3,)),
        "goal": gymnasium.spaces.Dict({"kettle": box(-9, 9, (2,)), "light switch": box(-9, 9, ())}),
        "image": gymnasium.spaces.Box(0, 255, (32, 32, 3), np.uint8),  # kept as JPEG files
        "mode": gymnasium.spaces.Discrete(4),
    }
)


@pytest.fixture
def dicts():
    """A folder of dict observations: in step t the position is t, the kettle 10 t, the switch -t, all over."""

    def observations(length):
        steps = np.arange(length + 1, dtype=np.float32)
        goal = {"kettle": np.stack([10 * steps, 10 * steps + 1], 1), "light switch": -steps}
        image = np.full((length + 1, 32, 32, 3), 255, np.uint8)
        position = np.stack([steps, steps + 0.25, steps + 0.5], 1)
        return {"position": position, "goal": goal, "image": image, "mode": np.zeros(length + 1, np.int64)}

    episodes = [episode | {"observations": observations(len(episode["rewards"]))} for episode in make_episodes()]
    return write(episodes, observations=DICT)


@pytest.mark.parametrize(
    ("keys", "second_step"),
    [
        (("position",), [1, 1.25, 1.5]),
        (("goal.light switch",), [-1]),
        (("goal.light switch", "position", "goal.kettle"), [-1, 1, 1.25, 1.5, 10, 11]),
    ],
)
def test_entries_of_dict_observations_are_laid_behind_each_other_in_the_order_given(dicts, keys, second_step):
    episodes = read_minari(DATASET, dicts, keys)
    assert episodes.observations.shape == (sum(LENGTHS), len(second_step))
    assert episodes.observations.dtype == np.float32
    np.testing.assert_array_equal(episodes.observations[1], second_step)
    np.testing.assert_array_equal(episodes.observations[4], second_step)  # the second episode's
    np.testing.assert_array_equal(episodes.lengths, LENGTHS)


# Actions.


def with_actions(rows, space):
    """The episodes of a data set of two episodes, the second of one step, with those actions."""
    rows = np.asarray(rows, np.float32)
    first, second = make_episodes(shape=(3,), lengths=(len(rows) - 1, 1))
    return read(write([first | {"actions": rows[:-1]}, second | {"actions": rows[-1:]}], actions=space))


INF = np.inf


@pytest.mark.parametrize(
    ("space", "rows", "expected", "low", "high"),
    [
        (([-1, -2], [2, 2]), [[-1, -2], [0.5, 1], [2, 0]], [[-1, -1], [0, 0.5], [1, 0]], [-1, -2], [2, 2]),
        # without bounds: by the range of the data
        (([-INF, -1], [INF, 1]), [[-3, 0.5], [1, 0], [5, 0.25]], [[-1, 0.5], [0, 0], [1, 0.25]], [-3, -1], [5, 1]),
        # one that never changes
        (([-INF, -INF], [INF, INF]), [[7, -1], [7, 1]], [[0, -1], [0, 1]], [7, -1], [7, 1]),
        (([7, -1], [7, 1]), [[7, -1], [7, 1]], [[0, -1], [0, 1]], [7, -1], [7, 1]),
    ],
)
def test_actions_between_other_bounds_are_scaled_and_the_bounds_kept(space, rows, expected, low, high):
    episodes = with_actions(rows, gymnasium.spaces.Box(*np.array(space, np.float32)))
    np.testing.assert_allclose(episodes.actions, expected, atol=1e-6)
    np.testing.assert_array_equal([episodes.action_low, episodes.action_high], [low, high])
    assert episodes.action_low.dtype == episodes.action_high.dtype == episodes.actions.dtype == np.float32
    acted = unscale_actions(episodes.actions, episodes.action_low, episodes.action_high)
    np.testing.assert_allclose(acted, rows, atol=1e-6)


def test_actions_between_minus_one_and_one_are_left_alone(caplog):
    rows = [[-1.0, 1.0], [0.3, -0.7], [0.0, 0.9999999], [np.nextafter(np.float32(1), np.float32(2)), 0.0]]
    episodes = with_actions(rows, box(-1, 1, (2,)))
    np.testing.assert_array_equal(episodes.actions, np.array(rows, np.float32).clip(-1, 1))
    assert not caplog.records  # what rounding leaves beyond the bounds is not worth a word
    assert (episodes.action_low, episodes.action_high) == (None, None)


def test_a_glitch_does_not_set_the_scale_of_an_unbounded_action():
    actions = np.linspace(-2, 2, 200)[:, None]
    actions[17] = 1e6
    episodes = with_actions(actions, box(-np.inf, np.inf, (1,)))
    np.testing.assert_array_equal(episodes.action_high, [2.0])
    assert episodes.actions[17] == 1.0


def test_actions_beyond_their_bounds_are_clipped_and_that_is_said(caplog):
    low, high = -2.0, 2.0
    rows = [[0.0, 0.5 * high], [1.5 * high, 0.0], [0.0, 0.0], [0.0, -3.0 * high], [low, high]]
    episodes = with_actions(rows, box(low, high, (2,)))
    np.testing.assert_allclose(episodes.actions, [[0, 0.5], [1, 0], [0, 0], [0, -1], [-1, 1]], atol=1e-6)
    (record,) = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert record.getMessage().startswith(f"{DATASET}: 40% of the actions lie outside their bounds")
    assert f"the largest is {3 * high:g}" in record.getMessage()
    assert "clipped" in record.getMessage()


@pytest.mark.parametrize(
    ("low", "high", "value"), [(-1.0, 1.0, np.nan), (0.5, 9.0, np.inf), (-np.inf, np.inf, -np.inf)]
)
def test_an_action_that_is_not_finite_is_named_and_never_clipped(low, high, value):
    rows = [[1.0, 1.0], [1.0, 1.0], [value, 1.0], [1.0, 1.0], [1.0, 1.0]]
    with pytest.raises(ValueError, match=rf"^{DATASET}: episode 0, actions, step 2: found {value}"):
        with_actions(rows, box(low, high, (2,)))


def test_provenance_says_how_the_data_came_about_and_prefers_the_environment_for_evaluation():
    folder = write(make_episodes())
    assert not read_provenance(DATASET, folder).get("recreated")
    collected, evaluated = (gymnasium.spec(name).to_json() for name in ("Pendulum-v1", "MountainCarContinuous-v0"))
    facts = {"recreated": True, "recipe": "a walk", "seed": 3, "ref_min_score": -3.5, "ref_max_score": 12}
    facts |= {"dataset_id": DATASET, "source": "minari", "env_id": "Pendulum-v1"}
    set_metadata(folder, env_spec=collected, **facts)
    assert (facts | {"env_spec": collected}).items() <= read_provenance(DATASET, folder).items()
    set_metadata(folder, eval_env_spec=evaluated)
    assert (facts | {"env_spec": evaluated}).items() <= read_provenance(DATASET, folder).items()


@pytest.mark.parametrize("spec", [None, "{", '{"kwargs": {}}'])
def test_data_that_knows_no_environment_names_none(spec):
    folder = write(make_episodes())
    set_metadata(folder, env_spec=spec)
    provenance = read_provenance(DATASET, folder)
    assert "env_id" not in provenance
    assert "env_spec" not in provenance


def test_another_content_is_another_digest():
    folder = write(make_episodes())
    path = folder / "main_data.hdf5"
    digests = [content_digest(folder)]
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    digests.append(content_digest(folder))
    path.rename(folder / "main_data.hdf6")
    digests.append(content_digest(folder))
    (folder / "more").write_bytes(b"")
    digests.append(content_digest(folder))
    assert len(set(digests)) == 4


def test_local_data_sets_are_listed_whatever_their_namespace(tmp_path):
    for dataset_id in ("toy/walk-v1", "alone-v0", "a/b/c-v2"):
        write(make_episodes(lengths=(1,)), dataset_id=dataset_id)
    hidden = tmp_path / "minari" / ".incomplete-7-here" / "toy" / "half-v0" / "data"
    hidden.mkdir(parents=True)
    (hidden / "metadata.json").write_text("{}")
    (tmp_path / "minari" / "toy" / "empty-v0" / "data").mkdir(parents=True)
    assert list_local() == ["a/b/c-v2", "alone-v0", "toy/walk-v1"]


@pytest.mark.parametrize("dataset_id", ["../elsewhere/walk-v1", "toy/../../walk-v1", "/etc/walk-v1"])
def test_an_id_that_leads_elsewhere_is_none(dataset_id):
    with pytest.raises(ValueError, match="leads out of the folder"):
        find_local(dataset_id)


def test_what_arrow_needs_is_named_by_the_command_that_installs_it(monkeypatch):
    folder = write(make_episodes())
    set_metadata(folder, data_format="arrow")
    for name in [name for name in sys.modules if name.split(".")[0] == "pyarrow" or "arrow_storage" in name]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ValueError, match=rf"{DATASET}: pyarrow is not installed: pip install 'rvdt-jax\[import\]'"):
        read(folder)


def test_the_room_that_data_take_is_known_before_they_are_read(monkeypatch):
    monkeypatch.setattr("rvdt_jax.files.check_memory", lambda claimed, what: told.append(claimed))
    folder, told = write(make_episodes()), []
    read(folder)
    assert 2 * 4 * (3 + 2) * sum(LENGTHS) in told
