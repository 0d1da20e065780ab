"""Data that are not what they should be: every kind is refused in one line that names them, the place, and a remedy.

What is refused is never touched, and nothing is left. D4RL's HDF5 files and flat caches are tested elsewhere.
"""

import os
import pathlib
import re
from collections.abc import Callable
from typing import NamedTuple

import h5py
import numpy as np
import pytest
from conftest import halve, snapshot
from gymnasium.spaces import Box, Dict
from launching import TINY
from minari_sets import set_metadata, write_minari
from settings_helpers import of_own_data

from rvdt_jax.data.cache import cache_folder
from rvdt_jax.data.minari import minari_root
from rvdt_jax.runs.fit import run_config
from rvdt_jax.runs.load import load_episodes

DATASET = "toy/walk-v1"
LENGTHS = (3, 5, 1)
# Every remedy in use; a refusal without one leaves its reader alone.
REMEDY = (
    "repair|drop (it|that)|remove it|collect|delete|name (those|one)|leave it unset|convert|correct|download|"
    "move that|only Box spaces|copy the data set"
)
POSITION = Box(-9, 9, (3,))


class Case(NamedTuple):
    """One kind of malformed data: what makes it, and regular expressions for its refusal.

    The refusal also says ``names``, which is what it calls the data, and a remedy.
    """

    make: Callable[[], object]
    words: tuple[str, ...]
    names: str = DATASET
    settings: dict | None = None


def write(observation_space=POSITION, action_space=None, **fields):
    """A sound data set of three episodes, with those spaces; ``fields`` are functions from a length to values."""
    make = {"rewards": np.zeros} | fields
    episodes = [{name: values(length) for name, values in make.items()} for length in LENGTHS]
    return write_minari(DATASET, episodes, observation_space, action_space)


def write_dicts(**entries):
    """The same with dict observations: for every entry a space, all of whose values are 0."""

    def zeros(length):
        return {name: np.zeros((length + 1, *space.shape), space.dtype) for name, space in entries.items()}

    return write(Dict(entries), observations=zeros)


def written(*words, **arguments):
    """A data set written with other spaces or fields."""
    return Case(lambda: write(**arguments), words)


def damaged(damage, *words, entries=None):
    """A sound data set, of dict observations with these entries if given, whose open HDF5 file ``damage`` changes."""

    def make():
        folder = write_dicts(**entries) if entries else write()
        with h5py.File(folder / "main_data.hdf5", "a") as file:
            damage(file)

    return Case(make, words, settings={"data.observation_keys": tuple(entries)} if entries else None)


def replaced(field, values, *words, **options):
    """A field of episode 1, which has 5 steps, holds other values."""

    def damage(file):
        del file[f"episode_1/{field}"]
        file[f"episode_1/{field}"] = values

    return damaged(damage, *words, **options)


def metadata(*words, **changes):
    """Entries of the metadata are others."""
    return Case(lambda: set_metadata(write(), **changes), words)


def on_disk(name, change, *words):
    """A file of the data set is changed as a whole."""
    return Case(lambda: change(write() / name), ("cannot be read", *words))


def content(data):
    return lambda path: path.write_bytes(data)


def damage_one_group(path):
    """The index of one episode's group is gone, the rest is whole: HDF5 then raises a RuntimeError."""
    content = bytearray(path.read_bytes())
    place = content.rfind(b"TREE")
    content[place : place + 4] = bytes(4)
    path.write_bytes(content)


def empty_episode(file):
    for values in file["episode_2"].values():
        if isinstance(values, h5py.Dataset):
            values.resize(0, axis=0)


def no_episodes():
    folder = write()
    set_metadata(folder, total_episodes=0, total_steps=0)
    with h5py.File(folder / "main_data.hdf5", "a") as file:
        file.clear()


def claim(file):
    """An array that is said to be long, and of which nothing is stored."""
    del file["episode_1/rewards"]
    file.create_dataset("episode_1/rewards", shape=(10**12,), dtype=np.float32, chunks=(1024,))


IMAGE = Box(0, 255, (32, 32, 3), np.uint8)  # of this size Minari keeps images as JPEG files
THIRTY = np.linspace(1, 2, 30, dtype=np.float32)  # bounds: still one line
HOLED = np.where(np.arange(18).reshape(6, 3) == 7, np.nan, 0)
MISSPELT, NAMESPACE = {"data.minari_id": "toy/wlak-v1"}, {"data.minari_id": "toy"}

CASES = {
    # values; other rules of the contract: test_episodes
    "nan observation": replaced("observations", HOLED, "episode 1", "observations", "step 2", "nan"),
    "nothing but nan actions": written(
        "episode 0", "actions", "nan", action_space=Box(1, 2, (2,)), actions=lambda length: np.full((length, 2), np.nan)
    ),
    "many actions of another range than their space's": written(
        *("100%", "actions", "bounds"),
        action_space=Box(-THIRTY, THIRTY),
        actions=lambda length: np.full((length, 30), 30.0),
    ),
    "many actions of whole numbers": written(
        "actions are Box",
        action_space=Box(np.arange(30), np.arange(30) + 100, dtype=np.int32),
        actions=lambda length: np.full((length, 30), 30, np.int32),
    ),
    "complex rewards": replaced("rewards", np.full(5, 2j), "episode 1", "rewards", "complex"),
    "terminations that are nan": replaced("terminations", np.full(5, np.nan), "episode 1", "terminat"),
    # shapes and lengths
    "ragged observations": replaced("observations", np.zeros((6, 4)), "episode 1", "observations"),
    "rewards in a column": written("rewards", r"\(3, 1\)", rewards=lambda length: np.zeros((length, 1))),
    "observations without the last one": replaced(
        "observations", np.zeros((5, 3)), "episode 1", "5 rewards", "5 observations", "expected 6"
    ),
    "an episode without steps": damaged(empty_episode, "episode 2", "no steps"),
    "no episodes": Case(no_episodes, ("no episodes",)),
    # entries of dict observations
    "a key that is not there": Case(
        lambda: write_dicts(position=POSITION, goal=POSITION),
        ("config.data.observation_keys", "no entry 'speed'; there are goal, position"),
        settings={"data.observation_keys": ("position", "speed")},
    ),
    "an entry that one episode lacks": damaged(
        lambda file: file.pop("episode_1/observations/goal"), "episode 1", "goal", entries={"goal": POSITION}
    ),
    "an image that is none": replaced(
        "observations/image", np.full((6, 40), 7, np.uint8), "cannot be read", entries={"image": IMAGE}
    ),
    # files
    "truncated data": on_disk("main_data.hdf5", halve),
    "a damaged group": on_disk("main_data.hdf5", damage_one_group),
    "no data": on_disk("main_data.hdf5", pathlib.Path.unlink),
    "an episode that is not there": damaged(lambda file: file.pop("episode_1"), "cannot be read", "episode_1"),
    "more steps than are stored": damaged(claim, "cannot be read", "claims 3.64 TiB, and 0 bytes are stored"),
    # metadata
    "metadata that are no JSON": on_disk("metadata.json", content(b"observation_space: three numbers\n")),
    "metadata that are a list": on_disk("metadata.json", content(b"[]")),
    "metadata without end": on_disk("metadata.json", lambda path: os.truncate(path, 65 * 2**20), "more than 64 MiB"),
    "metadata nested without end": on_disk("metadata.json", content(b"[" * 200_000), "RecursionError"),
    "a space that is none": metadata("cannot be read", observation_space='{"type": "Sphere"}'),
    "an unknown version of Minari": metadata("cannot be read", r"99\.0\.0", minari_version="99.0.0"),
    "more episodes than bytes": metadata("cannot be read", "claims 1000000000000 episodes", total_episodes=10**12),
    "fewer episodes in the metadata than in the file": metadata("total_episodes=2", "holds 3", total_episodes=2),
    # names
    "a misspelt id": Case(write, (f"Did you mean '{DATASET}', which is here",), "toy/wlak-v1", MISSPELT),
    "a namespace in place of an id": Case(write, ("holds no data set",), "toy", NAMESPACE),
}


def check_words(message: str, case: Case) -> None:
    """One line that names the data and the place, and says what to do."""
    assert "\n" not in message
    assert case.names in message
    for word in case.words:
        assert re.search(word, message), f"{word!r} is not in {message!r}"
    assert re.search(REMEDY, message, re.IGNORECASE), f"no remedy in {message!r}"


@pytest.mark.parametrize("name", CASES)
def test_malformed_data_are_refused_in_one_line_and_nothing_is_touched_or_left(name, tmp_path):
    case = CASES[name]
    minari_root().mkdir()
    case.make()
    before = snapshot(tmp_path)
    settings = TINY | {"data.source": "minari", "workdir": str(tmp_path / "run")} | (case.settings or {})
    with pytest.raises(ValueError, match=r"\w+") as refused:
        run_config(of_own_data(settings), progress=False)
    check_words(str(refused.value), case)
    assert snapshot(tmp_path) == before
    assert not (tmp_path / "run").exists()
    assert not cache_folder().exists()


def test_sound_data_are_taken():
    """What the table damages is sound before: a refusal is of the damage."""
    write()
    assert load_episodes(of_own_data())[0].lengths.tolist() == list(LENGTHS)


@pytest.mark.parametrize("name", ["main_data.hdf5", "metadata.json"])
def test_a_file_that_the_system_refuses_to_open_is_named(name, monkeypatch):
    """Stands in for missing permissions, which do not stop root."""
    write()
    real = pathlib.Path.open

    def refuse(path, *arguments, **options):
        if path.name == name:
            raise PermissionError(13, "Permission denied", str(path))
        return real(path, *arguments, **options)

    monkeypatch.setattr(pathlib.Path, "open", refuse)
    with pytest.raises(ValueError, match=r"Permission denied") as refused:
        load_episodes(of_own_data())
    check_words(str(refused.value), Case(write, (name,)))
