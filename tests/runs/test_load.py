"""Which data a run learns from: what is here, what Minari's servers have, what a recipe makes, or how to get it."""

import logging
import re
from unittest import mock

import numpy as np
import pytest
from gymnasium.spaces import Box, Dict
from minari_sets import write_minari
from settings_helpers import resolved

import rvdt_jax.data.remote
import rvdt_jax.recreate
from rvdt_jax.data.cache import cache_folder
from rvdt_jax.data.episodes import Episodes, end_at_first_reward
from rvdt_jax.data.imported import imported_path
from rvdt_jax.data.minari.writer import DatasetExists
from rvdt_jax.data.remote import Unreachable
from rvdt_jax.runs.load import load_episodes
from rvdt_jax.tasks import all_tasks, get_task

SIZES = {"achieved_goal": 2, "desired_goal": 2, "observation": 3}
ANTMAZE = Dict({name: Box(-9.0, 9.0, (size,)) for name, size in SIZES.items()})
REWARDS = ((0.0, 0.0, 1.0, 1.0), (0.0, 0.0), (1.0, 1.0, 1.0), (0.0, 1.0))


def write(dataset_id, rewards=((0.0, 1.0), (0.0,)), *, space=None):
    """A local Minari data set with those rewards, and observations of a space of dicts; no episode terminates."""
    episodes = [{"rewards": np.array(row)} for row in rewards]
    for fields, row in zip(episodes, rewards, strict=True) if space else ():
        fields["observations"] = {name: np.zeros((len(row) + 1, *space[name].shape)) for name in space}
    write_minari(dataset_id, episodes, space)


def load(task=None, **data):
    """The episodes and their provenance, by settings of the section ``data``."""
    return load_episodes(resolved({f"data.{name}": value for name, value in data.items()}, task=task), progress=False)


@pytest.fixture
def calls(monkeypatch):
    """What is downloaded or recreated; both write a data set."""
    calls = []

    def download(dataset_id):
        calls.append(("download", dataset_id))
        write(dataset_id)

    def recreate(name, **options):
        calls.append(("recreate", name))
        write(get_task(name).source("recipe").dataset_id, ((5.0,),))

    monkeypatch.setattr(rvdt_jax.data.remote, "download", download)
    monkeypatch.setattr(rvdt_jax.recreate, "recreate", recreate)
    return calls


@pytest.fixture
def offline(calls, monkeypatch):
    """The downloads that are tried where no server answers."""
    monkeypatch.setattr(rvdt_jax.data.remote, "download", mock.Mock(side_effect=Unreachable("no answer")))
    return rvdt_jax.data.remote.download


PEN, MAZE, OWN = "pen-human-v1", "maze2d-umaze-v1", "toy/walk-v1"


@pytest.mark.parametrize(
    ("here", "named", "found", "way"),
    [
        (["D4RL/pen/human-v2"], {"task": PEN}, "D4RL/pen/human-v2", None),
        (["D4RL/pen/human-v2", f"d4rl-hdf5/{PEN}"], {"task": PEN}, f"d4rl-hdf5/{PEN}", None),  # D4RL's file first
        ([f"recreated/{MAZE}"], {"task": MAZE}, f"recreated/{MAZE}", None),
        ([f"recreated/{MAZE}", f"d4rl-hdf5/{MAZE}"], {"task": MAZE}, f"d4rl-hdf5/{MAZE}", None),
        ([OWN, f"d4rl-hdf5/{PEN}"], {"task": PEN, "minari_id": OWN}, OWN, None),  # what is named first
        ([], {"task": MAZE}, f"recreated/{MAZE}", ("recreate", MAZE)),  # without asking a server
        ([], {"minari_id": "mujoco/ant-v0"}, "mujoco/ant-v0", ("download", "mujoco/ant-v0")),
    ],
)
def test_what_is_here_comes_first_and_what_is_not_is_downloaded_or_recreated(calls, here, named, found, way):
    for dataset_id in here:
        write(dataset_id)
    episodes, provenance = load(**named)
    assert episodes.name == provenance["dataset_id"] == found
    assert calls == ([way] if way else [])


def test_another_process_may_have_been_faster_at_recreating(calls, monkeypatch):
    def recreate(name, **options):
        write("recreated/maze2d-umaze-v1")
        raise DatasetExists("it is there already")

    monkeypatch.setattr(rvdt_jax.recreate, "recreate", recreate)
    assert load(task="maze2d-umaze-v1")[0].name == "recreated/maze2d-umaze-v1"


def test_a_recreation_of_other_length_and_seed_is_the_tasks_too(calls):
    """Its ants go on after success as those of the whole one do: what is read ends there."""
    dataset_id = "recreated/antmaze-umaze-3000-steps-seed-2-v0"
    write(dataset_id, ((0.0, 1.0, 1.0),))
    episodes, provenance = load(task="antmaze-umaze-v0", minari_id=dataset_id)
    assert episodes.rewards.tolist() == [0.0, 1.0]
    assert provenance["dataset_id"] == dataset_id
    for other, owner in ((dataset_id, "antmaze-umaze-v0"), ("recreated/maze2d-large-v1", "maze2d-large-v1")):
        with pytest.raises(ValueError, match=rf"minari_id={other} belongs to {owner}.*config\.task"):
            load(task="maze2d-umaze-v1", minari_id=other)
    assert calls == []


def test_a_flat_file_gives_what_the_data_set_gives_and_nothing_else_is_read(calls, tmp_path, monkeypatch):
    write("D4RL/antmaze/umaze-v1", REWARDS, space=ANTMAZE)
    expected, provenance = load(task="antmaze-umaze-v0")
    (path,) = cache_folder().iterdir()
    monkeypatch.setenv("HOME", str(tmp_path))
    for place, task in ((path, None), (f"~/{path.relative_to(tmp_path)}", "pen-human-v1")):
        episodes, again = load(task, source="file", path=str(place))
        assert again["observation_keys"] == provenance["observation_keys"]
        assert (episodes.name, episodes.digest()) == ("D4RL/antmaze/umaze-v1", expected.digest())
    assert calls == []


@pytest.mark.parametrize("named", [{"task": PEN}, {"task": MAZE}, {"task": PEN, "minari_id": "toy/walk-v1"}], ids=str)
def test_what_may_not_be_fetched_and_what_was_handed_over_is_refused(calls, named):
    for source, words in (("minari", "looks no further"), ("memory", ".*choose auto, minari or file")):
        with pytest.raises(ValueError, match=rf"config\.data\.source={source} {words}"):
            load(**named, source=source)
    assert calls == []


def refusal(**overrides) -> str:
    with pytest.raises(ValueError, match="no data set") as refused:
        load(**overrides)
    assert "\n" not in str(refused.value)
    return str(refused.value)


@pytest.mark.parametrize("name", list(all_tasks())[::4])
def test_every_way_to_a_tasks_data_is_named(calls, tmp_path, name):
    task, text = get_task(name), refusal(task=name, source="minari")
    file, remote = task.file_url.split("/")[-1], task.source("remote")
    assert text.startswith(f"config.task={name}: ")
    assert f"download {task.file_url} and run: python experiments/import_d4rl.py --task={name} --file={file}" in text
    assert str(tmp_path / "minari" / "d4rl-hdf5" / name) in text
    assert re.findall(r"minari download ([\w/-]+)", text) == ([remote.dataset_id] if remote else [])
    assert (f"python experiments/recreate.py --task={name}" in text) == (task.source("recipe") is not None)
    assert all(source.dataset_id in text for source in task.sources)


@pytest.mark.parametrize(
    ("task", "remote"), [("antmaze-umaze-v0", "D4RL/antmaze/umaze-v1"), ("hopper-medium-v2", "mujoco/hopper/medium-v0")]
)
def test_where_servers_cannot_be_reached_what_has_a_recipe_is_recreated(calls, offline, task, remote):
    assert load(task=task)[0].name == f"recreated/{task}"
    offline.assert_called_once_with(remote)
    assert calls == [("recreate", task)]


def test_a_data_set_of_ones_own_is_named_with_the_ways_to_get_it(offline, tmp_path):
    text = refusal(minari_id="toy/walk-v1")
    assert text.startswith("config.data.minari_id=toy/walk-v1: no data set toy/walk-v1 on this machine (no answer)")
    assert "minari download toy/walk-v1" in text
    assert "import_data.py --file=FILE --id=toy/walk-v1" in text
    assert str(tmp_path / "minari" / "toy" / "walk-v1") in text
    assert "import_d4rl" not in text


def test_a_misspelt_id_is_named_with_the_nearest_that_is_here(offline):
    for dataset_id in ("toy/walk-v1", "mujoco/hopper/medium-v0", "other-v0"):
        write(dataset_id)
    for typo, nearest in (("toy/wlak-v1", "toy/walk-v1"), ("mujoco/hoper/medium-v0", "mujoco/hopper/medium-v0")):
        for overrides in ({}, {"source": "minari"}, {"task": "pen-human-v1"}):
            assert f"Did you mean {nearest!r}, which is here?" in refusal(minari_id=typo, **overrides)


@pytest.mark.parametrize("overrides", [{"task": "maze2d-umaze-v1"}, {"minari_id": "toy/walk-v1"}], ids=str)
def test_an_empty_folder_in_the_place_of_a_data_set_is_named(tmp_path, monkeypatch, overrides):
    """Half a copy, say. What would be downloaded or recreated cannot be put there."""
    folder = tmp_path / "minari" / overrides.get("minari_id", "recreated/maze2d-umaze-v1")
    folder.mkdir(parents=True)

    monkeypatch.setattr(rvdt_jax.recreate, "recreate", mock.Mock(side_effect=DatasetExists(f"exists in {folder}")))
    monkeypatch.setenv("MINARI_REMOTE", "nowhere://at-all")
    with pytest.raises(ValueError, match=str(folder)):
        load(**overrides)


def test_the_entries_that_are_named_come_before_the_tasks(calls):
    write("D4RL/antmaze/umaze-v1", space=ANTMAZE)
    keys = ("observation", "desired_goal", "achieved_goal")
    episodes, provenance = load(task="antmaze-umaze-v0", observation_keys=keys)
    assert episodes.observations.shape[1] == 7
    assert provenance["observation_keys"] == list(keys)


@pytest.mark.parametrize("named", [{"task": "antmaze-umaze-v0"}, {"minari_id": "D4RL/antmaze/umaze-v1"}], ids=str)
def test_minaris_antmaze_ends_on_arrival_as_d4rls_does_with_the_tasks_entries(calls, named, caplog):
    write("D4RL/antmaze/umaze-v1", REWARDS, space=ANTMAZE)
    with caplog.at_level(logging.INFO, logger="rvdt_jax"):
        episodes, provenance = load(**named)
    assert episodes.lengths.tolist() == [3, 2, 1, 2]
    assert episodes.terminated.tolist() == [True, False, True, True]
    assert episodes.observations.shape == (8, 5)
    assert provenance["observation_keys"] == ["achieved_goal", "observation"]
    assert "first reward" in provenance["episodes_end"]
    assert "read up to the first reward" in caplog.text


@pytest.mark.parametrize(
    ("task", "dataset_id"),
    [
        *(("antmaze-umaze-v0", "d4rl-hdf5/antmaze-umaze-v0"), ("antmaze-umaze-v0", "toy/walk-v1")),
        *(("hopper-medium-v2", "mujoco/hopper/medium-v0"), (None, "toy/walk-v1")),
    ],
)
def test_other_data_are_read_to_their_end(calls, task, dataset_id):
    write(dataset_id, REWARDS)
    episodes, provenance = load(task=task, minari_id=dataset_id)
    assert episodes.lengths.tolist() == [4, 2, 3, 2]
    assert not episodes.terminated.any()
    assert "episodes_end" not in provenance


def test_an_episode_ends_with_its_first_reward():
    """Those of REWARDS; one in which a cost comes before a reward, and one without reward that ends by itself."""
    rewards, steps = [*REWARDS, (-1, 0.5, 0), (0, 0)], np.arange(16, dtype=np.float32)
    columns = np.stack([steps, steps + 0.5], 1), steps[:, None] / 100, np.concatenate(rewards).astype(np.float32)
    episodes = Episodes("toy", *columns, np.array([*map(len, rewards)]), np.arange(6) == 5)
    cut, kept = end_at_first_reward(episodes), [0, 1, 2, 4, 5, 6, 9, 10, 11, 12, 14, 15]
    for name in ("observations", "actions", "rewards"):
        np.testing.assert_array_equal(getattr(cut, name), getattr(episodes, name)[kept])
    assert cut.lengths.tolist() == [3, 2, 1, 2, 2, 2]
    assert cut.terminated.tolist() == [True, False, True, True, True, True]


def test_actions_beyond_their_space_can_set_their_own_bounds():
    episode = {"rewards": np.zeros(3), "actions": np.array([[5.0], [9.0], [7.0]], np.float32)}
    write_minari("toy/gain-v0", [episode], None, Box(-1.0, 1.0, (1,)))
    for _ in range(2):  # the second time from the cache
        episodes, _ = load(minari_id="toy/gain-v0", action_bounds="data")
        assert episodes.actions.tolist() == [[-1], [1], [0]]
    with pytest.raises(ValueError, match=r"100% of the actions .* --config\.data\.action_bounds=data"):
        load(minari_id="toy/gain-v0")


def test_an_imported_log_is_not_looked_for_among_minaris_data_sets():
    path = imported_path("own/log-v0")
    path.parent.mkdir(parents=True)
    path.touch()
    with pytest.raises(
        ValueError, match=r"own/log-v0 is no Minari data set, but a log .* Set config\.data\.source=auto"
    ):
        load(minari_id="own/log-v0", source="minari")
