"""Reading Minari data sets: small ones made here, and what is wrong with others said by name and remedy."""

import dataclasses
import json
import logging
import re
import shutil
import warnings

import gymnasium
import h5py
import minari
import numpy as np
import pytest
from minari.data_collector import EpisodeBuffer

from rvdt_jax.data.minari import content_digest, find_local, list_local, read_provenance
from rvdt_jax.data.minari.reader import read_minari

DATASET = "toy/walk-v1"
LENGTHS = (3, 5, 1)
REMEDY = "Move that folder away, then download or recreate the data set"


def box(low, high, shape, dtype=np.float32):
    return gymnasium.spaces.Box(low, high, shape, dtype)


def make_buffers(shape=(3,), lengths=LENGTHS):
    """Random episodes; every second one terminates, the others are truncated."""
    rng = np.random.default_rng(0)
    return [
        EpisodeBuffer(
            observations=rng.normal(size=(length + 1, *shape)).astype(np.float32),
            actions=rng.uniform(-1, 1, (length, 2)).astype(np.float32),
            rewards=rng.normal(size=length),
            terminations=np.arange(length) == (length - 1 if number % 2 else -1),
            truncations=np.arange(length) == (-1 if number % 2 else length - 1),
            infos={},
        )
        for number, length in enumerate(lengths)
    ]


def with_fields(buffer, **changes):
    """A copy of an episode with other arrays."""
    return dataclasses.replace(buffer, **changes)


def write(buffers, observations=None, actions=None, dataset_id=DATASET):
    """Makes a local data set; returns the folder of its files."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Minari asks for an author, an e-mail address and a link to the code
        minari.create_dataset_from_buffers(
            dataset_id,
            buffers,
            observation_space=observations or box(-np.inf, np.inf, (3,)),
            action_space=actions or box(-1.0, 1.0, (2,)),
            data_format="hdf5",
        )
    return find_local(dataset_id)


def read(folder):
    """Metadata first and then the data, as every start of a run reads them."""
    read_provenance(DATASET, folder)
    return read_minari(DATASET, folder)


def in_file(folder):
    """The data of ``folder``, to be changed."""
    return h5py.File(folder / "main_data.hdf5", "a")


def set_metadata(folder, **changes):
    path = folder / "metadata.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_what_is_written_is_read():
    buffers = make_buffers()
    episodes = read(write(buffers))
    assert episodes.name == DATASET
    np.testing.assert_array_equal(episodes.lengths, LENGTHS)
    expected = np.concatenate([buffer.observations[:-1] for buffer in buffers])
    np.testing.assert_array_equal(episodes.observations, expected)
    np.testing.assert_array_equal(episodes.actions, np.concatenate([buffer.actions for buffer in buffers]))
    rewards = np.concatenate([buffer.rewards for buffer in buffers]).astype(np.float32)
    np.testing.assert_array_equal(episodes.rewards, rewards)
    for field in ("observations", "actions", "rewards"):
        assert getattr(episodes, field).dtype == np.float32


def test_the_order_of_many_episodes_is_kept():
    """As strings, episode_10 comes before episode_2."""
    buffers = make_buffers(lengths=tuple(range(1, 13)))
    np.testing.assert_array_equal(read(write(buffers)).lengths, range(1, 13))


def test_the_observation_after_the_last_action_is_dropped():
    (buffer,) = make_buffers(lengths=(4,))
    buffer.observations[:] = np.arange(5)[:, None]
    np.testing.assert_array_equal(read(write([buffer])).observations[:, 0], [0, 1, 2, 3])


def test_only_a_termination_is_a_termination():
    """Four ends: terminated, truncated, both at once, and a recording that just stops."""
    buffers = make_buffers(lengths=(2, 2, 2, 2))
    for buffer, (terminated, truncated) in zip(buffers, [(1, 0), (0, 1), (1, 1), (0, 0)], strict=True):
        buffer.terminations[:] = [False, terminated]
        buffer.truncations[:] = [False, truncated]
    np.testing.assert_array_equal(read(write(buffers)).terminated, [True, False, True, False])


def test_observations_of_several_dimensions_are_flattened_row_by_row():
    buffers = make_buffers(shape=(2, 3))
    episodes = read(write(buffers, observations=box(-np.inf, np.inf, (2, 3))))
    assert episodes.observations.shape == (sum(LENGTHS), 6)
    first = buffers[0].observations[0]
    np.testing.assert_array_equal(episodes.observations[0], [*first[0], *first[1]])


def test_observations_that_are_single_numbers_are_vectors_of_one():
    buffers = make_buffers(shape=())
    episodes = read(write(buffers, observations=box(-np.inf, np.inf, ())))
    assert episodes.observations.shape == (sum(LENGTHS), 1)
    np.testing.assert_array_equal(episodes.observations[:3, 0], buffers[0].observations[:3])


def test_observations_of_whole_numbers_are_read():
    (buffer,) = make_buffers(lengths=(2,))
    buffer = with_fields(buffer, observations=np.array([[1, 250, 3], [4, 5, 6], [7, 8, 9]], np.uint8))
    space = gymnasium.spaces.Box(0, 255, (3,), np.uint8)
    np.testing.assert_array_equal(read(write([buffer], observations=space)).observations, [[1, 250, 3], [4, 5, 6]])


def test_double_precision_becomes_single():
    buffers = [
        with_fields(buffer, observations=buffer.observations.astype(np.float64) / 3, actions=buffer.actions / 7.0)
        for buffer in make_buffers()
    ]
    spaces = {"observations": box(-9, 9, (3,), np.float64), "actions": box(-1, 1, (2,), np.float64)}
    episodes = read(write(buffers, **spaces))
    expected = np.concatenate([buffer.observations[:-1] for buffer in buffers])
    assert episodes.observations.dtype == episodes.actions.dtype == episodes.rewards.dtype == np.float32
    np.testing.assert_array_equal(episodes.observations, expected.astype(np.float32))
    np.testing.assert_allclose(episodes.actions[:3], buffers[0].actions, rtol=1e-6)


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

    buffers = [with_fields(buffer, observations=observations(len(buffer.rewards))) for buffer in make_buffers()]
    return write(buffers, observations=DICT)


@pytest.mark.parametrize(
    ("keys", "second_step"),
    [
        (("position",), [1, 1.25, 1.5]),
        (("position", "goal.kettle"), [1, 1.25, 1.5, 10, 11]),
        (("goal.kettle", "position"), [10, 11, 1, 1.25, 1.5]),
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


def test_an_image_is_flattened_too(dicts):
    observations = read_minari(DATASET, dicts, ("image", "position")).observations
    assert observations.shape == (sum(LENGTHS), 32 * 32 * 3 + 3)
    np.testing.assert_array_equal(observations[1, -4:], [255, 1, 1.25, 1.5])


def test_dict_observations_without_keys_are_refused_with_the_entries_there_are(dicts):
    with pytest.raises(ValueError, match=rf"config\.data\.observation_keys: observations of {DATASET} are dicts") as no:
        read_minari(DATASET, dicts)
    listed = re.search("entries (.*); name those that the policy sees, in order", str(no.value))[1]
    assert sorted(listed.split(", ")) == ["goal.kettle", "goal.light switch", "image", "mode", "position"]


@pytest.mark.parametrize("key", ["velocity", "goal", "goal.oven", "position.x", "Position"])
def test_an_entry_that_is_not_there_is_named_with_those_there_are(dicts, key):
    with pytest.raises(ValueError, match=rf"goal\.kettle.* and none called '{re.escape(key)}'; name those"):
        read_minari(DATASET, dicts, ("position", key))


def test_an_entry_that_is_no_box_is_named(dicts):
    with pytest.raises(ValueError, match=rf"^{DATASET}: observations\.mode are Discrete\(4\); only Box spaces"):
        read_minari(DATASET, dicts, ("position", "mode"))


def test_keys_for_plain_arrays_are_refused():
    with pytest.raises(
        ValueError, match=rf"observation_keys=a,b: observations of {DATASET} are no dicts; leave it unset"
    ):
        read_minari(DATASET, write(make_buffers()), ("a", "b"))


def test_an_entry_may_have_a_dot_in_its_name():
    buffers = [with_fields(buffer, observations={"arm.left": buffer.observations}) for buffer in make_buffers()]
    folder = write(buffers, observations=gymnasium.spaces.Dict({"arm.left": box(-9, 9, (3,))}))
    expected = np.concatenate([buffer.observations["arm.left"][:-1] for buffer in buffers])
    np.testing.assert_array_equal(read_minari(DATASET, folder, ("arm.left",)).observations, expected)


def test_a_tuple_beside_the_entries_that_are_read_does_not_matter():
    space = gymnasium.spaces.Dict({"position": box(-9, 9, (3,)), "pair": gymnasium.spaces.Tuple([box(0, 1, ())] * 2)})
    buffers = [
        with_fields(
            buffer, observations={"position": buffer.observations, "pair": (np.zeros(len(buffer.observations)),) * 2}
        )
        for buffer in make_buffers()
    ]
    episodes = read_minari(DATASET, write(buffers, observations=space), ("position",))
    assert episodes.observations.shape == (sum(LENGTHS), 3)


# Actions.


@pytest.mark.parametrize(
    "space",
    [
        gymnasium.spaces.Discrete(4),
        gymnasium.spaces.MultiDiscrete([4, 4]),
        gymnasium.spaces.Box(0, 3, (2,), np.int32),
        gymnasium.spaces.Box(0, 255, (2,), np.uint8),
    ],
    ids=str,
)
def test_actions_that_are_no_floats_are_refused(space):
    buffers = [
        with_fields(buffer, actions=np.zeros((len(buffer.rewards), *space.shape), space.dtype))
        for buffer in make_buffers()
    ]
    folder = write(buffers, actions=space)
    expected = rf"^{DATASET}: actions are {re.escape(str(space))}; only Box spaces of floats can be learned"
    with pytest.raises(ValueError, match=expected):
        read(folder)


def with_actions(rows, space):
    """The episodes of a data set of two episodes, the second of one step, with those actions."""
    rows = np.asarray(rows, np.float32)
    first, second = make_buffers(shape=(3,), lengths=(len(rows) - 1, 1))
    return read(write([with_fields(first, actions=rows[:-1]), with_fields(second, actions=rows[-1:])], actions=space))


@pytest.mark.parametrize(
    ("low", "high", "values", "expected"),
    [
        (-2.0, 2.0, [-2.0, -1.0, 0.0, 2.0], [-1.0, -0.5, 0.0, 1.0]),
        (0.0, 1.0, [0.0, 0.25, 0.5, 1.0], [-1.0, -0.5, 0.0, 1.0]),
        (-1.0, 2.0, [-1.0, 0.5, 2.0, 1.25], [-1.0, 0.0, 1.0, 0.5]),
        (10.0, 14.0, [10.0, 11.0, 12.0, 14.0], [-1.0, -0.5, 0.0, 1.0]),
    ],
)
def test_actions_between_other_bounds_are_scaled_and_the_bounds_kept(low, high, values, expected):
    episodes = with_actions([[value, low] for value in values], box(low, high, (2,)))
    np.testing.assert_allclose(episodes.actions, [[value, -1.0] for value in expected], atol=1e-6)
    np.testing.assert_array_equal(episodes.action_low, [low, low])
    np.testing.assert_array_equal(episodes.action_high, [high, high])
    assert episodes.action_low.dtype == episodes.action_high.dtype == episodes.actions.dtype == np.float32


def test_actions_between_minus_one_and_one_are_left_alone():
    rows = [[-1.0, 1.0], [0.3, -0.7], [0.0, 0.9999999]]
    episodes = with_actions(rows, box(-1, 1, (2,)))
    np.testing.assert_array_equal(episodes.actions, np.array(rows, np.float32))
    assert (episodes.action_low, episodes.action_high) == (None, None)


def test_every_action_has_bounds_of_its_own():
    space = gymnasium.spaces.Box(np.array([-1, 0], np.float32), np.array([1, 4], np.float32))
    episodes = with_actions([[0.5, 0.0], [-1.0, 3.0], [1.0, 4.0]], space)
    np.testing.assert_allclose(episodes.actions, [[0.5, -1.0], [-1.0, 0.5], [1.0, 1.0]], atol=1e-6)
    np.testing.assert_array_equal(episodes.action_low, [-1.0, 0.0])
    np.testing.assert_array_equal(episodes.action_high, [1.0, 4.0])


def test_actions_of_several_dimensions_are_flattened_with_their_bounds():
    space = gymnasium.spaces.Box(np.zeros((2, 2), np.float32), np.array([[1, 2], [4, 8]], np.float32))
    rows = [[[0, 0], [0, 0]], [[1, 2], [4, 8]], [[0.5, 1.5], [1, 2]]]
    episodes = with_actions(rows, space)
    np.testing.assert_allclose(episodes.actions, [[-1] * 4, [1] * 4, [0, 0.5, -0.5, -0.5]], atol=1e-6)
    np.testing.assert_array_equal(episodes.action_high, [1, 2, 4, 8])


def test_actions_without_bounds_are_scaled_by_the_range_of_the_data():
    space = gymnasium.spaces.Box(np.array([-np.inf, -1], np.float32), np.array([np.inf, 1], np.float32))
    episodes = with_actions([[-3.0, 0.5], [1.0, -0.5], [5.0, 0.25]], space)
    np.testing.assert_allclose(episodes.actions, [[-1.0, 0.5], [0.0, -0.5], [1.0, 0.25]], atol=1e-6)
    np.testing.assert_array_equal(episodes.action_low, [-3.0, -1.0])
    np.testing.assert_array_equal(episodes.action_high, [5.0, 1.0])


def test_only_the_bound_that_is_not_there_comes_from_the_data():
    episodes = with_actions([[1.0], [2.0], [4.0]], box(0.0, np.inf, (1,)))
    np.testing.assert_array_equal(episodes.action_low, [0.0])
    np.testing.assert_array_equal(episodes.action_high, [4.0])
    np.testing.assert_allclose(episodes.actions, [[-0.5], [0.0], [1.0]], atol=1e-6)


def test_an_action_that_never_changes_is_in_the_middle():
    episodes = with_actions([[7.0, -1.0], [7.0, 1.0]], box(-np.inf, np.inf, (2,)))
    np.testing.assert_array_equal(episodes.actions, [[0.0, -1.0], [0.0, 1.0]])
    np.testing.assert_array_equal(episodes.action_low, [6.0, -1.0])
    np.testing.assert_array_equal(episodes.action_high, [8.0, 1.0])


@pytest.mark.parametrize(("low", "high"), [(-1.0, 1.0), (-2.0, 2.0)])
def test_actions_beyond_their_bounds_are_clipped_and_that_is_said(caplog, low, high):
    rows = [[0.0, 0.5 * high], [1.5 * high, 0.0], [0.0, 0.0], [0.0, -3.0 * high], [low, high]]
    episodes = with_actions(rows, box(low, high, (2,)))
    np.testing.assert_allclose(episodes.actions, [[0, 0.5], [1, 0], [0, 0], [0, -1], [-1, 1]], atol=1e-6)
    (record,) = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert record.getMessage().startswith(f"{DATASET}: 40% of the actions lie outside their bounds")
    assert f"the largest is {3 * high:g}" in record.getMessage()
    assert "clipped" in record.getMessage()


def test_what_rounding_leaves_beyond_the_bounds_is_not_worth_a_word(caplog):
    beyond = np.nextafter(np.float32(1), np.float32(2))
    episodes = with_actions([[beyond, 0.0], [-beyond, 0.0]], box(-1, 1, (2,)))
    np.testing.assert_array_equal(episodes.actions[:, 0], [1.0, -1.0])
    assert not caplog.records


def test_bounds_that_most_actions_lie_beyond_are_not_the_actions_own():
    rows = [[5.0, 3.0], [0.0, -40.0], [0.5, 0.5], [7.0, 0.0], [-2.0, 2.0]]
    expected = rf"^{DATASET}: 80% of the actions lie outside the bounds .*\[-1\. -1\.\] to \[1\. 1\.\].*largest is 40\)"
    with pytest.raises(ValueError, match=rf"{expected}.*correct the space"):
        with_actions(rows, box(-1, 1, (2,)))


def test_half_of_the_numbers_beyond_their_bounds_are_clipped_still():
    """One joint of many may well be driven beyond its end at every step."""
    episodes = with_actions([[5.0, 0.0], [2.0, 0.0], [0.0, -9.0], [3.0, 0.0]], box(-1, 1, (2,)))
    np.testing.assert_array_equal(episodes.actions, [[1, 0], [1, 0], [0, -1], [1, 0]])


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(("low", "high"), [(-1.0, 1.0), (0.5, 9.0), (-np.inf, np.inf)])
def test_an_action_that_is_not_finite_is_named_and_never_clipped(low, high, value):
    rows = [[1.0, 1.0], [1.0, 1.0], [value, 1.0], [1.0, 1.0], [1.0, 1.0]]
    with pytest.raises(ValueError, match=rf"^{DATASET}: episode 0, actions, step 2: found {value}"):
        with_actions(rows, box(low, high, (2,)))


def test_actions_of_another_size_than_their_space_are_refused():
    with pytest.raises(ValueError, match=rf"^{DATASET}: episode 0: actions have shape \(2, 3\); expected \(steps, 2\)"):
        with_actions(np.zeros((3, 3)), box(-1, 1, (2,)))


def test_observations_of_another_size_than_their_space_are_refused():
    """What scores the policy has the space's size: the difference would be found by shapes that do not fit."""
    with pytest.raises(ValueError, match=rf"^{DATASET}: .*observations.*5.*3"):
        read(write(make_buffers(shape=(5,)), observations=box(-9, 9, (3,))))


# What is wrong.


@pytest.mark.parametrize("field", ["observations", "actions", "rewards"])
def test_nan_in_the_data_is_named_by_episode_and_step(field):
    buffers = make_buffers()
    getattr(buffers[1], field)[2] = np.nan
    with pytest.raises(ValueError, match=f"^{DATASET}: episode 1, {field}, step 2: found nan.*repair or drop"):
        read(write(buffers))


@pytest.mark.parametrize(
    ("field", "found"),
    [
        ("observations", "5 rewards but 5 observations; expected 6"),
        ("actions", "5 rewards but 4 actions; expected 5"),
        ("rewards", "4 rewards but 6 observations; expected 5"),
        ("terminations", "5 rewards but 4 terminations; expected 5"),
        ("truncations", "5 rewards but 4 truncations; expected 5"),
    ],
)
def test_fields_of_different_lengths_are_named_by_episode(field, found):
    folder = write(make_buffers())
    with in_file(folder) as file:
        values = file["episode_1"][field]
        values.resize(len(values) - 1, axis=0)
    with pytest.raises(ValueError, match=f"^{DATASET}: episode 1 has {found}.*Repair or drop that episode"):
        read(folder)


def test_an_empty_episode_is_refused():
    folder = write(make_buffers())
    with in_file(folder) as file:
        for field in ("observations", "actions", "rewards", "terminations", "truncations"):
            file["episode_2"][field].resize(0, axis=0)
    with pytest.raises(ValueError, match=f"^{DATASET}: episode 2 has no steps. Remove it"):
        read(folder)


def test_a_data_set_without_episodes_is_refused():
    with pytest.raises(ValueError, match=f"^{DATASET}: the data set has no episodes. Check its id"):
        read(write([]))


def truncate(folder):
    path = folder / "main_data.hdf5"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def empty(folder):
    (folder / "main_data.hdf5").write_bytes(b"")


def garble(folder):
    (folder / "main_data.hdf5").write_bytes(b"no HDF5 at all" * 100)


def damage_one_block(folder):
    """The index of one episode's group is gone, the rest is whole: HDF5 then raises a RuntimeError."""
    path = folder / "main_data.hdf5"
    content = bytearray(path.read_bytes())
    place = content.rfind(b"TREE")
    content[place : place + 4] = bytes(4)
    path.write_bytes(content)


def remove_data(folder):
    (folder / "main_data.hdf5").unlink()


def remove_one_episode(folder):
    with in_file(folder) as file:
        del file["episode_1"]


def remove_one_field(folder):
    with in_file(folder) as file:
        del file["episode_1/rewards"]


def remove_metadata(folder):
    (folder / "metadata.json").unlink()


def garble_metadata(folder):
    (folder / "metadata.json").write_bytes(b"\xff\xfe\x00 no JSON")


def empty_metadata(folder):
    (folder / "metadata.json").write_text("")


def metadata_is_a_list(folder):
    (folder / "metadata.json").write_text("[]")


def metadata_is_null(folder):
    (folder / "metadata.json").write_text("null")


def metadata_without_content(folder):
    (folder / "metadata.json").write_text("{}")


def garble_a_space(folder):
    set_metadata(folder, observation_space="{")


def another_format(folder):
    set_metadata(folder, data_format="punched cards")


@pytest.mark.parametrize(
    "corrupt",
    [
        truncate,
        empty,
        garble,
        damage_one_block,
        remove_data,
        remove_one_episode,
        remove_one_field,
        remove_metadata,
        garble_metadata,
        empty_metadata,
        metadata_is_a_list,
        metadata_is_null,
        metadata_without_content,
        garble_a_space,
        another_format,
    ],
)
def test_a_corrupt_data_set_is_named_with_the_remedy(corrupt):
    folder = write(make_buffers())
    corrupt(folder)
    with pytest.raises(ValueError, match=rf"^{DATASET}: .*{re.escape(str(folder.parent))}.*{REMEDY}"):
        read(folder)


def test_a_data_set_of_an_unknown_minari_version_is_named():
    folder = write(make_buffers())
    set_metadata(folder, minari_version="99.0.0")
    with pytest.raises(ValueError, match=rf"^{DATASET}: .*99\.0\.0"):
        read(folder)


def test_provenance_says_how_the_data_came_about():
    folder = write(make_buffers())
    set_metadata(folder, recreated=True, recipe="a walk", seed=3)
    provenance = read_provenance(DATASET, folder)
    assert provenance["dataset_id"] == DATASET
    assert provenance["source"] == "minari"
    assert provenance["recreated"] is True
    assert (provenance["recipe"], provenance["seed"]) == ("a walk", 3)


def test_provenance_says_what_scores_the_data_and_from_where_to_where():
    folder = write(make_buffers())
    spec = gymnasium.spec("Pendulum-v1").to_json()
    set_metadata(folder, env_spec=spec, ref_min_score=-3.5, ref_max_score=12)
    provenance = read_provenance(DATASET, folder)
    assert provenance["env_id"] == "Pendulum-v1"
    assert provenance["env_spec"] == spec
    assert (provenance["ref_min_score"], provenance["ref_max_score"]) == (-3.5, 12)


def test_the_environment_for_evaluation_comes_before_the_one_of_the_collection():
    folder = write(make_buffers())
    collected, evaluated = (gymnasium.spec(name).to_json() for name in ("Pendulum-v1", "MountainCarContinuous-v0"))
    set_metadata(folder, env_spec=collected, eval_env_spec=evaluated)
    provenance = read_provenance(DATASET, folder)
    assert provenance["env_id"] == "Pendulum-v1"
    assert provenance["env_spec"] == evaluated


@pytest.mark.parametrize("spec", [None, "{", "[]", '{"kwargs": {}}', 3])
def test_data_that_knows_no_environment_names_none(spec):
    folder = write(make_buffers())
    set_metadata(folder, env_spec=spec)
    provenance = read_provenance(DATASET, folder)
    assert "env_id" not in provenance
    assert "env_spec" not in provenance


def test_data_that_does_not_say_so_is_not_called_recreated():
    assert not read_provenance(DATASET, write(make_buffers())).get("recreated")


def change_one_byte(folder):
    path = folder / "main_data.hdf5"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def change_metadata(folder):
    set_metadata(folder, recreated=True)


def add_a_file(folder):
    (folder / "more").write_bytes(b"")


def rename_a_file(folder):
    (folder / "main_data.hdf5").rename(folder / "main_data.hdf6")


@pytest.mark.parametrize("change", [change_one_byte, change_metadata, add_a_file, rename_a_file, remove_metadata])
def test_another_content_is_another_digest(change):
    folder = write(make_buffers())
    before = content_digest(folder)
    change(folder)
    assert content_digest(folder) != before


def test_a_copy_has_the_same_digest(tmp_path):
    folder = write(make_buffers())
    shutil.copytree(folder, tmp_path / "elsewhere", copy_function=shutil.copyfile)
    assert content_digest(tmp_path / "elsewhere") == content_digest(folder)


def test_a_data_set_is_found_by_its_id_or_not_at_all():
    folder = write(make_buffers())
    assert folder.is_dir()
    assert find_local(DATASET) == folder
    assert find_local("toy/walk-v2") is None


def test_local_data_sets_are_listed_whatever_their_namespace(tmp_path):
    for dataset_id in ("toy/walk-v1", "alone-v0", "a/b/c-v2"):
        write(make_buffers(lengths=(1,)), dataset_id=dataset_id)
    hidden = tmp_path / "minari" / ".incomplete-7-here" / "toy" / "half-v0" / "data"
    hidden.mkdir(parents=True)
    (hidden / "metadata.json").write_text("{}")
    (tmp_path / "minari" / "toy" / "empty-v0" / "data").mkdir(parents=True)
    assert list_local() == ["a/b/c-v2", "alone-v0", "toy/walk-v1"]


def test_without_a_folder_of_data_sets_none_are_listed():
    assert list_local() == []


def test_the_default_folder_is_minaris_own(monkeypatch, tmp_path):
    monkeypatch.delenv("MINARI_DATASETS_PATH")
    monkeypatch.setenv("HOME", str(tmp_path))
    folder = write(make_buffers(lengths=(1,)))
    assert folder == tmp_path / ".minari" / "datasets" / DATASET / "data"


@pytest.mark.parametrize("dataset_id", ["../elsewhere/walk-v1", "toy/../../walk-v1", "/etc/walk-v1"])
def test_an_id_that_leads_elsewhere_is_none(dataset_id):
    with pytest.raises(ValueError, match="leads out of the folder"):
        find_local(dataset_id)
