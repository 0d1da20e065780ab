"""Data that are not what they should be: every kind is refused in one line that names them, the place, and a remedy.

What is refused is never touched. D4RL's HDF5 files are tested elsewhere.
"""

import dataclasses
import hashlib
import json
import os
import pathlib
import re
import subprocess
import sys
import warnings
from collections.abc import Callable

import h5py
import minari
import numpy as np
import pytest
from gymnasium import spaces
from minari.data_collector import EpisodeBuffer

from rvdt_jax.config.defaults import default_config
from rvdt_jax.config.settings import resolve
from rvdt_jax.data.cache import cache_folder
from rvdt_jax.data.minari import find_local, minari_root
from rvdt_jax.runs.load import load_episodes

ROOT = pathlib.Path(__file__).resolve().parents[2]
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
    rng = np.random.default_rng(0)
    make = {
        "observations": lambda length: rng.normal(size=(length + 1, 3)).astype(np.float32),
        "actions": lambda length: rng.uniform(-1, 1, (length, 2)).astype(np.float32),
        "rewards": lambda length: np.zeros(length),
        "terminations": lambda length: np.zeros(length, bool),
        "truncations": lambda length: np.arange(length) == length - 1,
    } | fields
    buffers = [EpisodeBuffer(**{name: values(length) for name, values in make.items()}, infos={}) for length in LENGTHS]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Minari asks for an author, an e-mail address and a link to the code
        minari.create_dataset_from_buffers(
            DATASET,
            buffers,
            observation_space=observation_space,
            action_space=action_space,
            data_format="hdf5",
        )
    return find_local(DATASET)


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


def put(values, name="observations", episodes=(1,)):
    """Puts other values in the place of a field of some episodes."""
    with in_file() as file:
        for episode in episodes:
            group, _, leaf = f"episode_{episode}/{name}".rpartition("/")
            del file[group][leaf]
            file[group].create_dataset(leaf, data=values(LENGTHS[episode]) if callable(values) else values)


def set_metadata(**changes):
    path = find_local(DATASET) / "metadata.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def drop_metadata(*names):
    path = find_local(DATASET) / "metadata.json"
    values = json.loads(path.read_text())
    path.write_text(json.dumps({name: value for name, value in values.items() if name not in names}))


@dataclasses.dataclass(frozen=True)
class Case:
    """One kind of malformed data.

    Attributes:
        make: makes the data, and returns the settings that name them, if they are others than the data set's id.
        words: regular expressions for what the refusal must say besides the data set's name and a remedy.
        names: what the refusal calls the data.
    """

    make: Callable[[], dict | None]
    words: tuple[str, ...]
    names: str


CASES: dict[str, Case] = {}


def case(*words, names=DATASET):
    """Adds a function to the table, by its name."""

    def add(make):
        CASES[make.__name__] = Case(make, words, names)
        return make

    return add


# --- values ---


@case("episode 1", "observations", "step 2", "nan")
def nan_observation():
    write()
    with in_file() as file:
        file["episode_1/observations"][2, 1] = np.nan


@case("episode 2", "observations", "step 0", "inf")
def infinite_observation():
    write()
    with in_file() as file:
        file["episode_2/observations"][0, 0] = np.inf


@case("episode 1", "actions", "step 4", "nan")
def nan_action():
    write()
    with in_file() as file:
        file["episode_1/actions"][4, 0] = np.nan


@case("episode 0", "actions", "step 0", "-inf")
def infinite_action_in_an_unbounded_space():
    write(action_space=box(-np.inf, np.inf, (2,)))
    with in_file() as file:
        file["episode_0/actions"][0, 1] = -np.inf


@case("episode 0", "actions", "nan")
def nothing_but_nan_actions():
    write(action_space=box(1, 2, (2,)), actions=lambda length: np.full((length, 2), np.nan))


@case("episode 2", "rewards", "step 0", "nan")
def nan_reward():
    write()
    with in_file() as file:
        file["episode_2/rewards"][0] = np.nan


@case("episode 1", "rewards", "step 3", "inf")
def reward_too_large_for_single_precision():
    write()
    with in_file() as file:
        file["episode_1/rewards"][3] = 1e300


@case("episode 0", "observations", "step 0", "inf")
def observations_too_large_for_single_precision():
    write(observations=lambda length: np.full((length + 1, 3), 1e300))


@case("actions")
def actions_too_large_for_single_precision():
    space = box(-np.inf, np.inf, (2,), np.float64)
    write(action_space=space, actions=lambda length: 1e300 * np.arange(2.0 * length).reshape(length, 2))


@case("100%", "actions", "bounds")
def actions_of_another_range_than_their_space():
    write(actions=lambda length: np.full((length, 2), 30.0))


@case("100%", "actions", "bounds")
def many_actions_of_another_range_than_their_spaces():
    """Thirty bounds: still one line."""
    low = -np.linspace(1, 2, 30, dtype=np.float32)
    write(action_space=spaces.Box(low, -low), actions=lambda length: np.full((length, 30), 30.0))


@case("episode 1", "observations", "complex")
def complex_observations():
    write()
    put(np.full((6, 3), 1 + 2j), "observations")


@case("episode 1", "actions", "complex")
def complex_actions():
    write()
    put(np.full((5, 2), 0.5j), "actions")


@case("episode 1", "rewards", "complex")
def complex_rewards():
    write()
    put(np.full(5, 2j), "rewards")


@case("episode 1", "observations")
def words_for_observations():
    write()
    put(np.full((6, 3), b"left"), "observations")


@case("episode 1", "actions")
def words_for_actions():
    write()
    put(np.full((5, 2), b"left"), "actions")


@case("episode 1", "rewards")
def words_for_rewards():
    write()
    put(np.full(5, b"much"), "rewards")


# --- shapes and lengths ---


@case("episode 1", "observations")
def ragged_observations():
    write()
    put(np.zeros((6, 4)), "observations")


@case("episode 1", "observations")
def observations_of_another_number_of_dimensions():
    write()
    put(np.zeros((6, 3, 2)), "observations")


@case("episode 1", "actions")
def ragged_actions():
    write()
    put(np.zeros((5, 3)), "actions")


@case("episode 1", "rewards")
def ragged_rewards():
    write()
    put(np.zeros((5, 1)), "rewards")


@case("rewards", r"\(3, 1\)")
def rewards_in_a_column():
    write(rewards=lambda length: np.zeros((length, 1)))


@case("actions", r"\(3, 1\); expected \(steps, 2\)")
def actions_of_another_size_than_their_space():
    write(actions=lambda length: np.zeros((length, 1)))


@case("observations", "7", "3")
def observations_of_another_size_than_their_space():
    write(observations=zeros(7))


@case("episode 1", "observations")
def a_number_for_observations():
    write()
    put(np.float32(3), "observations")


@case("episode 1", "actions")
def a_number_for_actions():
    write()
    put(np.float32(3), "actions")


@case("rewards|scalar")
def a_number_for_rewards():
    write()
    put(np.float32(3), "rewards")


@case("episode 1", "terminations")
def terminations_in_two_columns():
    write()
    put(np.zeros((5, 2), bool), "terminations")


@case("observations")
def observations_without_numbers():
    write(box(-1, 1, (0,)), observations=zeros(0))


@case("actions")
def actions_without_numbers():
    write(action_space=box(-1, 1, (0,)), actions=lambda length: np.zeros((length, 0), np.float32))


@case("episode 1", "5 rewards", "5 observations", "expected 6")
def observations_without_the_last_one():
    write()
    put(np.zeros((5, 3)), "observations")


@case("episode 1", "5 rewards", "4 actions", "expected 5")
def an_action_too_few():
    write()
    put(np.zeros((4, 2)), "actions")


@case("episode 1", "6 rewards", "6 observations", "expected 7")
def a_reward_too_many():
    write()
    put(np.zeros(6), "rewards")


@case("episode 1", "terminations", "expected 5")
def a_termination_too_few():
    write()
    put(np.zeros(4, bool), "terminations")


@case("episode 1", "truncations", "expected 5")
def truncations_of_no_length():
    write()
    put(np.zeros(0, bool), "truncations")


@case("episode 2", "no steps")
def an_episode_without_steps():
    write()
    for name, shape in (("actions", (0, 2)), ("rewards", 0), ("terminations", 0), ("truncations", 0)):
        put(np.zeros(shape), name, (2,))


@case("episode 2", "no steps")
def an_episode_without_anything():
    write()
    for name, shape in (("observations", (0, 3)), ("actions", (0, 2)), ("rewards", 0), ("terminations", 0)):
        put(np.zeros(shape), name, (2,))


@case("episode 1", "terminates before its last step")
def a_termination_in_the_middle():
    write()
    put(np.array([False, True, False, False, False]), "terminations")


@case("episode 1", "terminat")
def terminations_that_are_nan():
    write()
    put(np.full(5, np.nan), "terminations")


@case("no episodes")
def no_episodes():
    write()
    with in_file() as file:
        for name in list(file):
            del file[name]
    set_metadata(total_episodes=0, total_steps=0)


# --- spaces ---


@case("observations are Discrete")
def discrete_observations():
    write(spaces.Discrete(3), observations=zeros(dtype=np.int64))


@case("observations are MultiBinary")
def binary_observations():
    write(spaces.MultiBinary(3), observations=zeros(3, dtype=np.int8))


@case("observations are Tuple")
def a_tuple_of_observations():
    write(spaces.Tuple((POSITION, POSITION)), observations=lambda length: (zeros(3)(length),) * 2)


@case("observations are Text")
def texts_for_observations():
    write(spaces.Text(5), observations=lambda length: ["north"] * (length + 1))


@case("actions are Discrete")
def discrete_actions():
    write(action_space=spaces.Discrete(4), actions=lambda length: np.zeros(length, np.int64))


@case("actions are MultiDiscrete")
def several_discrete_actions():
    write(action_space=spaces.MultiDiscrete([4, 4]), actions=lambda length: np.zeros((length, 2), np.int64))


@case(r"actions are Box\(0, 3, \(2,\), int32\)")
def actions_of_whole_numbers():
    write(action_space=box(0, 3, (2,), np.int32), actions=lambda length: np.zeros((length, 2), np.int32))


@case("actions are Box")
def many_actions_of_whole_numbers():
    """Thirty bounds: still one line."""
    low = np.arange(30, dtype=np.int32)
    space = spaces.Box(low, low + 100, dtype=np.int32)
    write(action_space=space, actions=lambda length: np.full((length, 30), 30, np.int32))


@case("actions are Dict")
def dict_actions():
    write(action_space=spaces.Dict({"arm": PAIR}), actions=lambda length: {"arm": np.zeros((length, 2), np.float32)})


# --- entries of dict observations ---


def keys(*names):
    return {"data.observation_keys": names}


@case("config.data.observation_keys", "entries goal, position")
def dict_observations_without_keys():
    write_dicts(position=(POSITION, zeros(3)), goal=(POSITION, zeros(3)))


@case("config.data.observation_keys", "entries goal, position", "'velocity'")
def a_key_that_is_not_there():
    write_dicts(position=(POSITION, zeros(3)), goal=(POSITION, zeros(3)))
    return keys("position", "velocity")


@case("config.data.observation_keys", "entries goal, position", "none called 'Goal'")
def a_key_in_other_letters():
    write_dicts(position=(POSITION, zeros(3)), goal=(POSITION, zeros(3)))
    return keys("Goal")


@case("config.data.observation_keys", "are no dicts")
def keys_for_plain_observations():
    write()
    return keys("observation")


@case(r"observations\.mode are Discrete")
def a_discrete_entry():
    write_dicts(position=(POSITION, zeros(3)), mode=(spaces.Discrete(4), zeros(dtype=np.int64)))
    return keys("position", "mode")


@case(r"observations\.pair are Tuple|none called 'pair'")
def an_entry_that_is_a_tuple():
    pair = spaces.Tuple((POSITION, POSITION))
    write_dicts(position=(POSITION, zeros(3)), pair=(pair, lambda length: (zeros(3)(length),) * 2))
    return keys("position", "pair")


@case("episode 1", "goal")
def an_entry_that_one_episode_lacks():
    write_dicts(position=(POSITION, zeros(3)), goal=(POSITION, zeros(3)))
    with in_file() as file:
        del file["episode_1/observations/goal"]
    return keys("position", "goal")


@case("episode 1", "5 rewards", "5 observations", "expected 6")
def an_entry_shorter_than_the_others():
    write_dicts(position=(POSITION, zeros(3)), goal=(POSITION, zeros(3)))
    put(np.zeros((5, 3)), "observations/goal")
    return keys("position", "goal")


@case("episode 1", "observations", "step 2", "nan")
def nan_in_an_entry():
    write_dicts(position=(POSITION, zeros(3)), goal=(POSITION, zeros(3)))
    with in_file() as file:
        file["episode_1/observations/goal"][2, 0] = np.nan
    return keys("position", "goal")


@case("episode 1", "goal|observations")
def a_ragged_entry():
    write_dicts(position=(POSITION, zeros(3)), goal=(POSITION, zeros(3)))
    put(np.zeros((6, 4)), "observations/goal")
    return keys("position", "goal")


@case("cannot be read")
def an_image_that_is_none():
    """Minari keeps images of this size as JPEG files."""
    image = box(0, 255, (32, 32, 3), np.uint8)
    write_dicts(position=(POSITION, zeros(3)), image=(image, zeros(32, 32, 3, dtype=np.uint8)))
    put(np.full((6, 40), 7, np.uint8), "observations/image")
    return keys("image")


# --- files ---


@case("cannot be read")
def truncated_data():
    path = write() / "main_data.hdf5"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@case("cannot be read")
def a_text_in_place_of_the_data():
    (write() / "main_data.hdf5").write_text("What was here has moved to another server.\n")


@case("cannot be read")
def an_empty_file_in_place_of_the_data():
    (write() / "main_data.hdf5").write_bytes(b"")


@case("cannot be read")
def a_folder_in_place_of_the_data():
    path = write() / "main_data.hdf5"
    path.unlink()
    path.mkdir()


@case("cannot be read")
def no_data():
    (write() / "main_data.hdf5").unlink()


@case("cannot be read", "rewards")
def a_field_that_one_episode_lacks():
    write()
    with in_file() as file:
        del file["episode_1/rewards"]


@case("cannot be read", "episode_1")
def an_episode_that_is_not_there():
    write()
    with in_file() as file:
        del file["episode_1"]


@case("cannot be read")
def hdf5_of_another_layout():
    path = write() / "main_data.hdf5"
    path.unlink()
    with h5py.File(path, "w") as file:
        file["observations"] = np.zeros((9, 3))


# --- metadata ---


@case("cannot be read", "metadata.json")
def no_metadata():
    (write() / "metadata.json").unlink()


@case("cannot be read")
def metadata_that_are_no_json():
    (write() / "metadata.json").write_text("observation_space: three numbers\n")


@case("cannot be read")
def metadata_that_are_no_text():
    (write() / "metadata.json").write_bytes(b"\xff\xfe\x00")


@case("cannot be read")
def metadata_that_are_a_list():
    (write() / "metadata.json").write_text("[]")


@case("cannot be read")
def a_folder_in_place_of_the_metadata():
    path = write() / "metadata.json"
    path.unlink()
    path.mkdir()


@case("cannot be read")
def metadata_without_spaces():
    write()
    drop_metadata("observation_space", "action_space")


@case("cannot be read")
def metadata_with_a_space_that_is_none():
    write()
    set_metadata(observation_space='{"type": "Sphere"}')


@case("cannot be read", r"99\.0\.0")
def an_unknown_version_of_minari():
    write()
    set_metadata(minari_version="99.0.0")


@case("cannot be read", "minari_version")
def no_version_of_minari():
    write()
    drop_metadata("minari_version")


@case("cannot be read")
def an_unknown_format():
    write()
    set_metadata(data_format="punched cards")


@case("cannot be read")
def an_environment_that_is_none():
    write()
    set_metadata(env_spec="{")


@case("episode")
def more_episodes_in_the_metadata_than_in_the_file():
    write()
    set_metadata(total_episodes=4)


@case("3", "2", "episodes")
def fewer_episodes_in_the_metadata_than_in_the_file():
    write()
    set_metadata(total_episodes=2)


@case("cannot be read", "claims 1000000000000 episodes")
def a_claim_of_more_episodes_than_bytes():
    write()
    set_metadata(total_episodes=10**12)


@case("cannot be read", "episode_1/rewards claims 3.64 TiB, and 0 bytes are stored")
def a_claim_of_more_steps_than_are_stored():
    write()
    with in_file() as file:
        del file["episode_1/rewards"]
        file["episode_1"].create_dataset("rewards", shape=(10**12,), dtype=np.float32, chunks=(1024,))


@case("cannot be read", "more than 64 MiB")
def metadata_without_end():
    write()
    with (find_local(DATASET) / "metadata.json").open("ab") as file:
        file.truncate(65 * 2**20)


@case("cannot be read", "RecursionError")
def metadata_nested_without_end():
    write()
    (find_local(DATASET) / "metadata.json").write_text("[" * 200_000)


@case("cannot be read")
def a_number_of_episodes_that_is_none():
    write()
    set_metadata(total_episodes="three")


@case("no data set toy/wlak-v1", f"Did you mean '{DATASET}', which is here", names="toy/wlak-v1")
def a_misspelt_id():
    write()
    return {"data.minari_id": "toy/wlak-v1"}


@case("holds no data set", names="toy")
def a_namespace_in_place_of_an_id():
    write()
    return {"data.minari_id": "toy"}


# --- flat cache files ---


def flat(**changes):
    """A sound flat file, then with other arrays (None: without); the settings that name it."""
    arrays = {
        "observations": np.zeros((8, 3), np.float32),
        "actions": np.zeros((8, 2), np.float32),
        "rewards": np.zeros(8, np.float32),
        "lengths": np.array([3, 5]),
        "terminated": np.zeros(2, bool),
        "provenance": np.array(json.dumps({"dataset_id": DATASET})),
    } | changes
    path = flat_path()
    np.savez(path, **{name: values for name, values in arrays.items() if values is not None})
    return {"data.source": "file", "data.path": str(path)}


def flat_path():
    return minari_root().parent / "mine.npz"


@case("readable flat cache", names="mine.npz")
def no_flat_file():
    return {"data.source": "file", "data.path": str(flat_path())}


@case("readable flat cache", names="mine.npz")
def a_folder_in_place_of_a_flat_file():
    flat_path().mkdir()
    return {"data.source": "file", "data.path": str(flat_path())}


@case("readable flat cache", names="mine.npz")
def a_text_in_place_of_a_flat_file():
    flat_path().write_text("no zip file")
    return {"data.source": "file", "data.path": str(flat_path())}


@case("readable flat cache", names="mine.npz")
def a_data_set_in_place_of_a_flat_file():
    flat_path().write_bytes((write() / "main_data.hdf5").read_bytes())
    return {"data.source": "file", "data.path": str(flat_path())}


@case("readable flat cache", "observations", names="mine.npz")
def a_flat_file_of_another_kind():
    settings = flat()
    np.savez(flat_path(), weights=np.zeros(3))
    return settings


@case("readable flat cache", "rewards", names="mine.npz")
def a_flat_file_without_rewards():
    return flat(rewards=None)


@case("readable flat cache", names="mine.npz")
def a_flat_file_of_pickles():
    return flat(rewards=np.array([{}] * 8, object))


@case("readable flat cache", names="mine.npz")
def a_truncated_flat_file():
    settings = flat()
    flat_path().write_bytes(flat_path().read_bytes()[:-30])
    return settings


@case("episode 1", "rewards", "step 2", "nan")
def nan_in_a_flat_file():
    return flat(rewards=np.array([0, 0, 0, 0, 0, np.nan, 0, 0]))


@case("observations", r"\(7, 3\)", "expected 8 steps")
def lengths_that_disagree_in_a_flat_file():
    return flat(observations=np.zeros((7, 3)))


@case("episode 0", "no steps")
def an_empty_episode_in_a_flat_file():
    return flat(lengths=np.array([0, 8]))


@case("lengths")
def lengths_in_a_column_in_a_flat_file():
    return flat(lengths=np.array([[3], [5]]), terminated=np.zeros((2, 1), bool))


@case("terminated", "one flag per episode")
def a_flag_per_step_in_a_flat_file():
    return flat(terminated=np.zeros(8, bool))


@case("actions reach 2", "episode 1")
def actions_beyond_their_range_in_a_flat_file():
    return flat(actions=np.full((8, 2), 0.5) + (np.arange(8) == 4)[:, None] * 1.5)


@case("action_low and action_high")
def one_bound_of_two_in_a_flat_file():
    return flat(action_low=np.zeros(2))


@case("rewards", "complex")
def complex_rewards_in_a_flat_file():
    return flat(rewards=np.full(8, 1j))


# --- what happens to all of them ---


def load(overrides):
    settings = default_config()
    settings.update_from_flattened_dict({"data.minari_id": DATASET, "data.source": "minari"} | (overrides or {}))
    return load_episodes(resolve(settings), progress=False)


def contents(folder: pathlib.Path) -> dict[str, str]:
    """A digest of every file below ``folder``, and the names of folders."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "folder"
        for path in sorted(folder.rglob("*"))
    }


def check_words(message: str, kind: Case) -> None:
    """One line that names the data and the place, and says what to do."""
    assert "\n" not in message
    assert kind.names in message
    for word in kind.words:
        assert re.search(word, message), f"{word!r} is not in {message!r}"
    assert re.search(REMEDY, message), f"no remedy in {message!r}"


def test_the_table_has_many_kinds():
    assert len(CASES) > 90


@pytest.mark.parametrize("name", CASES)
def test_malformed_data_are_refused_in_one_line_and_not_touched(name, tmp_path):
    kind = CASES[name]
    minari_root().mkdir()
    overrides = kind.make()
    before = contents(tmp_path)
    with pytest.raises(ValueError, match=r"\w+") as refused:
        load(overrides)
    check_words(str(refused.value), kind)
    assert contents(tmp_path) == before
    assert not cache_folder().exists()


def test_sound_data_are_taken(tmp_path):
    """What the table damages is sound before: a refusal is of the damage."""
    write()
    assert load({})[0].lengths.tolist() == list(LENGTHS)
    assert load(flat())[0].lengths.tolist() == [3, 5]


def test_sound_dicts_are_taken():
    image = box(0, 255, (32, 32, 3), np.uint8)
    write_dicts(position=(POSITION, zeros(3)), image=(image, zeros(32, 32, 3, dtype=np.uint8)))
    assert load(keys("image", "position"))[0].observations.shape == (9, 32 * 32 * 3 + 3)


FORBIDDEN = ("main_data.hdf5", "metadata.json")


@pytest.mark.parametrize("name", FORBIDDEN)
def test_a_file_that_may_not_be_read_is_named(name):
    folder = write()
    (folder / name).chmod(0)
    if os.access(folder / name, os.R_OK):
        pytest.skip("root may read everything")
    with pytest.raises(ValueError, match=r"Permission denied") as refused:
        load({})
    check_words(str(refused.value), Case(write, (name,), DATASET))


@pytest.mark.parametrize("name", FORBIDDEN)
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


@pytest.mark.parametrize(
    "name",
    [
        "truncated_data",
        "nan_reward",
        "dict_observations_without_keys",
        "a_flat_file_of_another_kind",
        "a_misspelt_id",
        "ragged_actions",
    ],
)
def test_a_run_on_malformed_data_ends_with_one_line_and_leaves_nothing(name, tmp_path):
    kind = CASES[name]
    minari_root().mkdir()
    overrides = {"task": "", "data.minari_id": DATASET, "data.source": "minari"} | (kind.make() or {})
    before = contents(tmp_path)
    result = run(tmp_path, overrides)
    assert result.returncode == 2, result.stderr
    assert "Traceback" not in result.stderr
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert result.stderr.splitlines()[-1] == line
    check_words(line, kind)
    assert result.stdout == ""
    assert contents(tmp_path) == before  # no run directory, no cache


def run(folder, overrides):
    flags = [f"--config.{name}={value}" for name, value in overrides.items()]
    command = [sys.executable, str(ROOT / "experiments" / "run.py"), "--config=configs/maze2d.py", *flags]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=120)


@pytest.mark.parametrize("path", [".", "/"])
def test_a_run_on_a_folder_in_place_of_a_file_ends_with_one_line(path, tmp_path):
    result = run(tmp_path, {"task": "", "data.source": "file", "data.path": path})
    assert result.returncode == 2, result.stderr
    assert "Traceback" not in result.stderr
    assert f"error: {path}: not a readable flat cache" in result.stderr
