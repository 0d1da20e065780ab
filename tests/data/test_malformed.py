"""Data that are not what they should be: every kind is refused in one line that names them, the place, and a remedy.

What is refused is never touched. D4RL's HDF5 files and flat caches are tested elsewhere.
"""

import dataclasses
import json
import pathlib
import re
from collections.abc import Callable, Mapping

import h5py
import numpy as np
import pytest
from conftest import snapshot
from gymnasium import spaces
from launching import flags_of, launch
from minari_sets import write_minari

from rvdt_jax.config.defaults import default_config
from rvdt_jax.config.settings import resolve
from rvdt_jax.data.cache import cache_folder
from rvdt_jax.data.minari import find_local, minari_root
from rvdt_jax.runs.load import load_episodes

DATASET = "toy/walk-v1"
LENGTHS = (3, 5, 1)
# Every remedy in use; a refusal without one leaves its reader alone.
REMEDY = (
    "[Rr]epair|[Dd]rop (it|that)|Remove it|[Cc]ollect|[Ss]plit|[Dd]elete|[Nn]ame (those|one)|leave it unset|[Cc]onvert|"
    "correct|[Ss]cale|[Dd]ownload|[Mm]ove that|point config|only Box spaces|copy the data set|"
    "[Cc]orrect|[Cc]heck|[Cc]ut|[Cc]hange"
)


def box(low, high, shape, dtype=np.float32):
    return spaces.Box(low, high, shape, dtype)


POSITION, PAIR = box(-9, 9, (3,)), box(-1, 1, (2,))


def write(observation_space=POSITION, action_space=PAIR, **fields):
    """A sound data set of three episodes, with those spaces; ``fields`` are functions from a length to values."""
    make = {"rewards": np.zeros} | fields
    episodes = [{name: values(length) for name, values in make.items()} for length in LENGTHS]
    return write_minari(DATASET, episodes, observation_space, action_space)


def write_dicts(**entries):
    """The same with dict observations: for every entry a space, and a function from a length to values."""
    return write(
        spaces.Dict({name: space for name, (space, _) in entries.items()}),
        observations=lambda length: {name: values(length) for name, (_, values) in entries.items()},
    )


def zeros(*shape, dtype=np.float32):
    """A function from a length to that many observations and one more."""
    return lambda length: np.zeros((length + 1, *shape), dtype)


def in_file():
    """The data, to be damaged."""
    return h5py.File(find_local(DATASET) / "main_data.hdf5", "a")


@dataclasses.dataclass(frozen=True)
class Case:
    """One kind of malformed data.

    Attributes:
        make: makes the data.
        words: regular expressions for what the refusal must say besides the data set's name and a remedy.
        names: what the refusal calls the data.
        settings: those that name the data, if they are others than the data set's id.
    """

    make: Callable[[], object]
    words: tuple[str, ...]
    names: str = DATASET
    settings: Mapping = dataclasses.field(default_factory=dict)


def written(*words, **arguments):
    """A data set written with other spaces or fields."""
    return Case(lambda: write(**arguments), words)


def damaged(damage, *words, make=write, **settings):
    """A sound data set whose open HDF5 file ``damage`` changes."""

    def apply():
        make()
        with in_file() as file:
            damage(file)

    return Case(apply, words, settings=settings)


def element(field, place, value, *words):
    """One number of episode 1 is another."""
    return damaged(lambda file: file[f"episode_1/{field}"].__setitem__(place, value), "episode 1", *words)


def replaced(field, values, *words, **options):
    """A field of episode 1, which has 5 steps, holds other values."""

    def damage(file):
        group, _, leaf = f"episode_1/{field}".rpartition("/")
        del file[group][leaf]
        file[group].create_dataset(leaf, data=values)

    return damaged(damage, *words, **options)


def deleted(name, *words, **options):
    return damaged(lambda file: file.__delitem__(name), *words, **options)


def metadata(*words, **changes):
    """Entries of the metadata are others."""

    def apply():
        path = write() / "metadata.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    return Case(apply, ("cannot be read", *words))


def on_disk(name, change, *words):
    """A file of the data set is changed as a whole; bytes are its new content."""

    def apply():
        path = write() / name
        if isinstance(change, bytes):
            path.write_bytes(change)
        else:
            change(path)

    return Case(apply, ("cannot be read", *words))


def halve(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def damage_one_group(path):
    """The index of one episode's group is gone, the rest is whole: HDF5 then raises a RuntimeError."""
    content = bytearray(path.read_bytes())
    place = content.rfind(b"TREE")
    content[place : place + 4] = bytes(4)
    path.write_bytes(content)


def stretch(path):
    with path.open("ab") as file:
        file.truncate(65 * 2**20)


def empty_episode(file):
    for field in ("actions", "rewards", "terminations", "truncations"):
        shape = (0, *file[f"episode_2/{field}"].shape[1:])
        del file[f"episode_2/{field}"]
        file[f"episode_2/{field}"] = np.zeros(shape)


def no_episodes():
    write()
    with in_file() as file:
        for name in list(file):
            del file[name]
    path = find_local(DATASET) / "metadata.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"total_episodes": 0, "total_steps": 0}))


def claim(file):
    """An array that is said to be long, and of which nothing is stored."""
    del file["episode_1/rewards"]
    file["episode_1"].create_dataset("rewards", shape=(10**12,), dtype=np.float32, chunks=(1024,))


def keys(*names):
    return {"data.observation_keys": names}


def two_entries():
    return write_dicts(position=(POSITION, zeros(3)), goal=(POSITION, zeros(3)))


def entries(*words, settings=None, **others):
    """A data set of dict observations: a position and others."""
    return Case(lambda: write_dicts(position=(POSITION, zeros(3)), **others), words, settings=settings or {})


BOTH = keys("position", "goal")
IMAGE = box(0, 255, (32, 32, 3), np.uint8)  # of this size Minari keeps images as JPEG files
THIRTY = np.linspace(1, 2, 30, dtype=np.float32)

CASES = {
    # values; other rules of the contract: test_episodes
    "nan observation": element("observations", (2, 1), np.nan, "observations", "step 2", "nan"),
    "nothing but nan actions": written(
        *("episode 0", "actions", "nan"),
        action_space=box(1, 2, (2,)),
        actions=lambda length: np.full((length, 2), np.nan),
    ),
    "reward too large for single precision": element("rewards", 3, 1e300, "rewards", "step 3", "inf"),
    "many actions of another range than their space's": written(  # thirty bounds: still one line
        *("100%", "actions", "bounds"),
        action_space=spaces.Box(-THIRTY, THIRTY),
        actions=lambda length: np.full((length, 30), 30.0),
    ),
    "complex rewards": replaced("rewards", np.full(5, 2j), "episode 1", "rewards", "complex"),
    "words for actions": replaced("actions", np.full((5, 2), b"left"), "episode 1", "actions"),
    # shapes and lengths
    "ragged observations": replaced("observations", np.zeros((6, 4)), "episode 1", "observations"),
    "rewards in a column": written("rewards", r"\(3, 1\)", rewards=lambda length: np.zeros((length, 1))),
    "observations of another size than their space": written("observations", "7", "3", observations=zeros(7)),
    "observations without the last one": replaced(
        *("observations", np.zeros((5, 3))), "episode 1", "5 rewards", "5 observations", "expected 6"
    ),
    "an episode without steps": damaged(empty_episode, "episode 2", "no steps"),
    "terminations that are nan": replaced("terminations", np.full(5, np.nan), "episode 1", "terminat"),
    "no episodes": Case(no_episodes, ("no episodes",)),
    # spaces
    "many actions of whole numbers": written(  # thirty bounds: still one line
        "actions are Box",
        action_space=spaces.Box(np.arange(30), np.arange(30) + 100, dtype=np.int32),
        actions=lambda length: np.full((length, 30), 30, np.int32),
    ),
    # entries of dict observations
    "dicts without keys": entries("config.data.observation_keys", "entries goal, position", goal=(POSITION, zeros(3))),
    "a key that is not there": entries(
        *("config.data.observation_keys", "no entry 'velocity'; there are goal, position"),
        settings=keys("position", "velocity"),
        goal=(POSITION, zeros(3)),
    ),
    "an entry that one episode lacks": deleted(
        "episode_1/observations/goal", "episode 1", "goal", make=two_entries, **BOTH
    ),
    "an image that is none": replaced(
        *("observations/image", np.full((6, 40), 7, np.uint8), "cannot be read"),
        make=lambda: write_dicts(image=(IMAGE, zeros(32, 32, 3, dtype=np.uint8))),
        **keys("image"),
    ),
    # files
    "truncated data": on_disk("main_data.hdf5", halve),
    "a damaged group": on_disk("main_data.hdf5", damage_one_group),
    "no data": on_disk("main_data.hdf5", pathlib.Path.unlink),
    "an episode that is not there": deleted("episode_1", "cannot be read", "episode_1"),
    "more steps than are stored": damaged(
        claim, "cannot be read", "episode_1/rewards claims 3.64 TiB, and 0 bytes are stored"
    ),
    # metadata
    "metadata that are no JSON": on_disk("metadata.json", b"observation_space: three numbers\n"),
    "metadata that are a list": on_disk("metadata.json", b"[]"),
    "metadata without end": on_disk("metadata.json", stretch, "more than 64 MiB"),
    "metadata nested without end": on_disk("metadata.json", b"[" * 200_000, "RecursionError"),
    "a space that is none": metadata(observation_space='{"type": "Sphere"}'),
    "an unknown version of Minari": metadata(r"99\.0\.0", minari_version="99.0.0"),
    "more episodes than bytes": metadata("claims 1000000000000 episodes", total_episodes=10**12),
    "fewer episodes in the metadata than in the file": dataclasses.replace(
        metadata(total_episodes=2), words=("3", "2", "episodes")
    ),
    "a misspelt id": Case(
        write,
        ("no data set toy/wlak-v1", f"Did you mean '{DATASET}', which is here"),
        "toy/wlak-v1",
        {"data.minari_id": "toy/wlak-v1"},
    ),
    "a namespace in place of an id": Case(write, ("holds no data set",), "toy", {"data.minari_id": "toy"}),
}


# --- what happens to all of them ---


def overrides(settings):
    return {"data.minari_id": DATASET, "data.source": "minari"} | settings


def load(settings):
    config = default_config()
    config.update_from_flattened_dict(overrides(settings))
    return load_episodes(resolve(config), progress=False)


def check_words(message: str, kind: Case) -> None:
    """One line that names the data and the place, and says what to do."""
    assert "\n" not in message
    assert kind.names in message
    for word in kind.words:
        assert re.search(word, message), f"{word!r} is not in {message!r}"
    assert re.search(REMEDY, message), f"no remedy in {message!r}"


@pytest.mark.parametrize("name", CASES)
def test_malformed_data_are_refused_in_one_line_and_not_touched(name, tmp_path):
    kind = CASES[name]
    minari_root().mkdir()
    kind.make()
    before = snapshot(tmp_path)
    with pytest.raises(ValueError, match=r"\w+") as refused:
        load(kind.settings)
    check_words(str(refused.value), kind)
    assert snapshot(tmp_path) == before
    assert not cache_folder().exists()


def test_sound_data_are_taken():
    """What the table damages is sound before: a refusal is of the damage."""
    write()
    assert load({})[0].lengths.tolist() == list(LENGTHS)


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
        load({})
    check_words(str(refused.value), Case(write, (name,), DATASET))


# --- on the command line ---


@pytest.mark.slow
def test_a_run_on_malformed_data_ends_with_one_line_and_leaves_nothing(tmp_path):
    kind = CASES["nan observation"]
    minari_root().mkdir()
    kind.make()
    before = snapshot(tmp_path)
    flags = flags_of({"task": ""} | overrides(kind.settings))
    result = launch("run.py", "--config=configs/maze2d.py", *flags, cwd=tmp_path)
    assert result.returncode == 2, result.stderr
    assert "Traceback" not in result.stderr
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert result.stderr.splitlines()[-1] == line
    check_words(line, kind)
    assert snapshot(tmp_path) == before  # no run directory, no cache
