"""From settings to episodes: through the cache where there is one, without it where it cannot be had."""

import errno
import logging
import pathlib
import shutil
import sys
import warnings

import gymnasium
import h5py
import minari
import numpy as np
import pytest
from minari.data_collector import EpisodeBuffer

from rvdt_jax.data import source
from rvdt_jax.data.cache import cache_folder, read_cache, write_cache
from rvdt_jax.data.minari import find_local
from rvdt_jax.data.source import load_flat_file, load_local

DATASET = "toy/walk-v1"
ARRAYS = ("observations", "actions", "rewards", "lengths", "terminated")


@pytest.fixture
def dataset():
    """A local Minari data set of three episodes; the folder of its files."""
    rng = np.random.default_rng(0)
    buffers = [
        EpisodeBuffer(
            observations=rng.normal(size=(length + 1, 3)).astype(np.float32),
            actions=rng.uniform(-1, 1, (length, 2)).astype(np.float32),
            rewards=rng.normal(size=length),
            terminations=np.arange(length) == length - 1,
            truncations=np.zeros(length, bool),
            infos={},
        )
        for length in (3, 5, 1)
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Minari asks for an author, an e-mail address and a link to the code
        made = minari.create_dataset_from_buffers(
            DATASET,
            buffers,
            observation_space=gymnasium.spaces.Box(-np.inf, np.inf, (3,)),
            action_space=gymnasium.spaces.Box(-1.0, 1.0, (2,)),
            data_format="hdf5",
        )
    made.storage.update_metadata({"recreated": True, "recipe": "a walk"})
    return find_local(DATASET)


@pytest.fixture
def no_minari(monkeypatch):
    """From now on the simulators' libraries cannot be imported, nor data sets read."""

    def do():
        def read_minari(*arguments):
            raise AssertionError("the data set was read again")

        monkeypatch.setattr(source, "read_minari", read_minari)
        for name in ("minari", "gymnasium", "h5py"):
            monkeypatch.setitem(sys.modules, name, None)

    return do


def warnings_in(caplog):
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


def assert_equal(left, right):
    for field in ARRAYS:
        assert getattr(left, field).tobytes() == getattr(right, field).tobytes(), field


def cache_file():
    (path,) = cache_folder().iterdir()
    return path


def test_the_second_load_is_equal_and_reads_the_cache_alone(dataset, no_minari, caplog):
    first, provenance = load_local(DATASET)
    no_minari()
    second, again = load_local(DATASET)
    assert_equal(first, second)
    assert again == provenance
    assert second.name == first.name == DATASET
    assert warnings_in(caplog) == []


def test_the_provenance_says_what_and_which(dataset):
    _, provenance = load_local(DATASET)
    assert provenance["dataset_id"] == DATASET
    assert provenance["recreated"] is True
    assert provenance["recipe"] == "a walk"
    assert provenance["content_digest"] == source.content_digest(dataset)


def test_a_data_set_of_equal_content_is_not_served_under_the_name_of_another(dataset):
    """Their names differ by what stands between their parts alone."""
    load_local(DATASET)
    other = DATASET.replace("/", "_")
    shutil.copytree(dataset.parent, dataset.parents[2] / other)
    episodes, provenance = load_local(other)
    assert episodes.name == provenance["dataset_id"] == other


def test_a_missing_data_set_is_named():
    with pytest.raises(FileNotFoundError, match=r"^toy/absent-v1: there is no such Minari data set"):
        load_local("toy/absent-v1")


def test_changed_content_is_not_served_from_the_old_cache(dataset):
    before, provenance = load_local(DATASET)
    with h5py.File(dataset / "main_data.hdf5", "a") as file:
        file["episode_1"]["rewards"][2] = 100.0
    after, changed = load_local(DATASET)
    assert after.rewards[5] == 100.0
    assert before.rewards[5] != 100.0
    assert changed["content_digest"] != provenance["content_digest"]


def test_changed_provenance_is_not_served_from_the_old_cache(dataset):
    load_local(DATASET)
    metadata = dataset / "metadata.json"
    metadata.write_text(metadata.read_text().replace("a walk", "a run"))
    assert load_local(DATASET)[1]["recipe"] == "a run"


@pytest.fixture
def dict_dataset():
    """The same with dict observations: ``back`` is twice ``front``."""
    steps = np.arange(4, dtype=np.float32)[:, None]
    buffer = EpisodeBuffer(
        observations={"front": steps, "back": 2 * steps},
        actions=np.array([[-4.0], [0.0], [4.0]], np.float32),
        rewards=np.zeros(3),
        terminations=np.zeros(3, bool),
        truncations=np.array([False, False, True]),
        infos={},
    )
    space = gymnasium.spaces.Box(-99, 99, (1,))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        minari.create_dataset_from_buffers(
            "toy/dict-v1",
            [buffer],
            observation_space=gymnasium.spaces.Dict({"front": space, "back": space}),
            action_space=gymnasium.spaces.Box(-4.0, 4.0, (1,)),
            data_format="hdf5",
        )


ENTRIES = {
    ("front",): [[0], [1], [2]],
    ("back",): [[0], [2], [4]],
    ("front", "back"): [[0, 0], [1, 2], [2, 4]],
    ("back", "front"): [[0, 0], [2, 1], [4, 2]],
}


def test_every_choice_of_entries_has_a_cache_of_its_own(dict_dataset, no_minari):
    for keys, expected in ENTRIES.items():
        np.testing.assert_array_equal(load_local("toy/dict-v1", keys)[0].observations, expected)
    assert len(list(cache_folder().iterdir())) == len(ENTRIES)
    no_minari()
    for keys, expected in ENTRIES.items():
        np.testing.assert_array_equal(load_local("toy/dict-v1", keys)[0].observations, expected)


def test_what_actions_stand_for_comes_out_of_the_cache_too(dict_dataset, no_minari):
    load_local("toy/dict-v1", ("front",))
    no_minari()
    episodes, _ = load_local("toy/dict-v1", ("front",))
    np.testing.assert_array_equal(episodes.actions, [[-1], [0], [1]])
    assert (episodes.action_low.tolist(), episodes.action_high.tolist()) == ([-4.0], [4.0])


def test_entries_that_are_not_there_leave_no_cache(dict_dataset):
    for keys in ((), ("side",)):
        with pytest.raises(ValueError, match="dicts with the entries back, front"):
            load_local("toy/dict-v1", keys)
    assert not cache_folder().exists()


def truncate(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def empty(path):
    path.write_bytes(b"")


def garble(path):
    path.write_bytes(b"no zip file")


def bare_array(path):
    with path.open("wb") as file:
        np.save(file, np.zeros(3))


def break_the_contract(path):
    episodes, provenance = read_cache(path)
    episodes.rewards[0] = np.nan
    write_cache(path, episodes, provenance)


@pytest.mark.parametrize("corrupt", [truncate, empty, garble, bare_array, break_the_contract])
def test_a_corrupt_cache_is_rebuilt_and_that_is_said(dataset, no_minari, caplog, corrupt):
    expected, _ = load_local(DATASET)
    path = cache_file()
    corrupt(path)
    again, _ = load_local(DATASET)
    assert_equal(expected, again)
    (warning,) = warnings_in(caplog)
    assert "rebuilding the cache" in warning
    no_minari()
    assert_equal(expected, load_local(DATASET)[0])  # the rebuilt one is whole
    assert cache_file() == path


@pytest.mark.parametrize("below", ["", "deeper"])
def test_a_cache_that_cannot_be_written_is_done_without_and_that_is_said(dataset, tmp_path, monkeypatch, caplog, below):
    expected, _ = load_local(DATASET)
    blocker = tmp_path / "a-file"
    blocker.write_text("in the way")
    monkeypatch.setenv("RVDT_JAX_CACHE", str(blocker / below))
    for _ in range(2):
        caplog.clear()
        again, provenance = load_local(DATASET)
        assert_equal(expected, again)
        assert provenance["dataset_id"] == DATASET
        (warning,) = warnings_in(caplog)
        assert "going on without a cache" in warning
        assert str(blocker) in warning
    assert blocker.read_text() == "in the way"


def test_a_cache_folder_that_may_not_be_searched_is_done_without(dataset, monkeypatch, caplog):
    """Stands in for a folder without any permissions, which does not stop root."""
    stat = pathlib.Path.stat

    def refuse(path, *arguments, **options):
        if cache_folder() in path.parents:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return stat(path, *arguments, **options)

    def refuse_write(path, *arguments):
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(pathlib.Path, "stat", refuse)
    monkeypatch.setattr(source, "write_cache", refuse_write)
    episodes, _ = load_local(DATASET)
    assert episodes.lengths.tolist() == [3, 5, 1]
    assert any("without a cache" in warning for warning in warnings_in(caplog))


def test_a_full_disk_is_done_without_a_cache(dataset, monkeypatch, caplog):
    def fail(*arguments, **options):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(np, "savez", fail)
    episodes, _ = load_local(DATASET)
    assert episodes.lengths.tolist() == [3, 5, 1]
    assert "No space left on device" in warnings_in(caplog)[0]
    assert list(cache_folder().iterdir()) == []


def test_a_corrupt_data_set_leaves_no_cache(dataset):
    truncate(dataset / "main_data.hdf5")
    with pytest.raises(ValueError, match=f"^{DATASET}: "):
        load_local(DATASET)
    assert not cache_folder().exists()


def test_a_flat_file_is_read_without_minari(dataset, no_minari):
    expected, provenance = load_local(DATASET)
    no_minari()
    episodes, again = load_flat_file(str(cache_file()))
    assert_equal(expected, episodes)
    assert again == provenance


def test_a_flat_file_may_be_given_from_home(episodes, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    write_cache(tmp_path / "mine.npz", episodes, {"dataset_id": "mine"})
    loaded, _ = load_flat_file("~/mine.npz")
    assert_equal(episodes, loaded)


def test_a_missing_flat_file_is_named(tmp_path):
    path = tmp_path / "absent.npz"
    with pytest.raises(ValueError, match=r"absent\.npz: .*FileNotFoundError.*point config\.data\.path at another"):
        load_flat_file(str(path))


@pytest.mark.parametrize("corrupt", [truncate, empty, garble, bare_array])
def test_a_corrupt_flat_file_is_named_and_kept(episodes, tmp_path, corrupt):
    path = tmp_path / "mine.npz"
    write_cache(path, episodes, {"dataset_id": "mine"})
    corrupt(path)
    before = path.read_bytes()
    with pytest.raises(ValueError, match=r"mine\.npz: not a readable flat cache.*config\.data\.path"):
        load_flat_file(str(path))
    assert path.read_bytes() == before
