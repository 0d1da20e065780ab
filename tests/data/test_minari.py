"""Reading Minari data sets: small ones made here, and what is wrong with others said by name and remedy."""

import json
import re
import shutil
import warnings

import gymnasium
import h5py
import minari
import numpy as np
import pytest
from minari.data_collector import EpisodeBuffer

from rvdt_jax.data.minari import content_digest, find_local, read_minari, read_provenance

DATASET = "toy/walk-v1"
LENGTHS = (3, 5, 1)
REMEDY = "Move that folder away, then download or recreate the data set"


def box(low, high, shape):
    return gymnasium.spaces.Box(low, high, shape)


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


def test_dict_observations_are_refused():
    space = gymnasium.spaces.Dict({"position": box(-1, 1, (3,)), "goal": box(-1, 1, (2,))})
    buffers = [
        EpisodeBuffer(
            observations={"position": buffer.observations, "goal": buffer.observations[:, :2]},
            actions=buffer.actions,
            rewards=buffer.rewards,
            terminations=buffer.terminations,
            truncations=buffer.truncations,
        )
        for buffer in make_buffers()
    ]
    with pytest.raises(ValueError, match=rf"^{DATASET}: observations are Dict\(.*only Box spaces can be read"):
        read(write(buffers, observations=space))


def test_discrete_actions_are_refused():
    buffers = make_buffers()
    discrete = [
        EpisodeBuffer(
            observations=buffer.observations,
            actions=np.zeros(len(buffer.rewards), np.int64),
            rewards=buffer.rewards,
            terminations=buffer.terminations,
            truncations=buffer.truncations,
        )
        for buffer in buffers
    ]
    folder = write(discrete, actions=gymnasium.spaces.Discrete(4))
    with pytest.raises(ValueError, match=rf"^{DATASET}: actions are Discrete\(4\); only Box spaces can be read"):
        read(folder)


@pytest.mark.parametrize(("low", "high"), [(-2.0, 2.0), (0.0, 1.0), (-1.0, 2.0), (-np.inf, np.inf)])
def test_other_action_bounds_are_refused(low, high):
    folder = write(make_buffers(), actions=box(low, high, (2,)))
    with pytest.raises(ValueError, match=rf"^{DATASET}: actions are bounded by .*only \[-1, 1\] can be read"):
        read(folder)


def test_one_action_bound_of_two_is_enough_to_refuse():
    space = gymnasium.spaces.Box(np.array([-1, -1], np.float32), np.array([1, 3], np.float32))
    with pytest.raises(ValueError, match=f"^{DATASET}: actions are bounded by"):
        read(write(make_buffers(), actions=space))


def test_actions_outside_the_space_they_claim_are_refused():
    buffers = make_buffers()
    buffers[1].actions[2, 0] = 1.5
    with pytest.raises(ValueError, match=rf"^{DATASET}: .*actions reach 1\.5"):
        read(write(buffers))


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


def test_the_default_folder_is_minaris_own(monkeypatch, tmp_path):
    monkeypatch.delenv("MINARI_DATASETS_PATH")
    monkeypatch.setenv("HOME", str(tmp_path))
    folder = write(make_buffers(lengths=(1,)))
    assert folder == tmp_path / ".minari" / "datasets" / DATASET / "data"
