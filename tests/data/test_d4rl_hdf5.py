"""Importing D4RL's HDF5 files: its layouts written here with numbered rows, and everything that is not one of them."""

import gzip
import hashlib
import json
import os
import pathlib
import time

import h5py
import minari
import numpy as np
import pytest
from conftest import halve, snapshot
from launching import launch

from rvdt_jax.data.d4rl import importer
from rvdt_jax.data.d4rl.importer import import_d4rl, task_of_file
from rvdt_jax.data.minari import find_local
from rvdt_jax.data.source import load_local
from rvdt_jax.tasks import all_tasks, d4rl_files

# One task per layout; and where its episodes end: t a terminal, o a time-out, b both, "." neither.
LAYOUTS = {
    "halfcheetah-medium-v2": "...o...o...o",
    "hopper-medium-replay-v2": "..t....o.b.to...",
    "pen-human-v1": "....o..o.......o",
    "kitchen-complete-v0": ".......t....t.t",
    "maze2d-umaze-v1": "....oo.......o..",
    "maze2d-large-dense-v1": ".....o....o....o",
    "antmaze-umaze-v0": ".....ttt..o..tttt...",
    "antmaze-large-play-v2": ".....t...ttt...o",
}
GYM, ADROIT, KITCHEN = "hopper-medium-replay-v2", "pen-human-v1", "kitchen-complete-v0"


@pytest.fixture
def root(tmp_path) -> pathlib.Path:
    """The Minari root of this test; not made yet."""
    return tmp_path / "minari"


def make_arrays(task: str, ends: str | None = None) -> dict[str, np.ndarray]:
    """D4RL's arrays of that task; row and column are encoded in every vector, exactly."""
    ends, family = ends or LAYOUTS[task], task.split("-")[0]
    rows, (observation_size, action_size) = np.arange(len(ends)), importer._SIZES[family]
    arrays = {
        "observations": (rows[:, None] + np.arange(observation_size) / 64).astype(np.float32),
        "actions": (rows[:, None] / 1024 + np.arange(action_size) / 32768 - 0.5).astype(np.float32),
        "rewards": (rows + 0.25).astype(np.float32),
        "terminals": np.array([end in "tb" for end in ends]),
        "timeouts": np.array([end in "ob" for end in ends]),
    }
    if family in ("halfcheetah", "hopper", "walker2d"):
        arrays["next_observations"] = arrays["observations"] + np.float32(0.5)
    if family == "kitchen":
        arrays |= {"rewards": np.float32(rows % 5), "terminals": arrays["terminals"].astype(np.float32)}
        del arrays["timeouts"]
    if family in ("maze2d", "antmaze"):
        arrays["rewards"] = ((rows + 1) / 1024 if "dense" in task else rows % 3 == 0).astype(np.float32)
    if family == "antmaze":  # relabelled by np.concatenate with an integer 0
        arrays |= {key: arrays[key].astype(float) for key in ("rewards", "terminals")}
    return arrays


def write_file(path: pathlib.Path, task: str, arrays: dict[str, np.ndarray] | None = None) -> pathlib.Path:
    """A file as D4RL's scripts write it, with what is never read."""
    with h5py.File(path, "w") as file:
        for key, values in (arrays or make_arrays(task)).items():
            file.create_dataset(key, data=values, compression="gzip")
        file["infos/qpos"] = np.full((len(file["observations"]), 2), np.nan, np.float32)
        file["metadata/algorithm"] = np.bytes_("SAC")
    return path


def bring(path: pathlib.Path, task: str, **options) -> str:
    return import_d4rl(task, path, progress=False, **{"anyway": True} | options)


def bring_new(folder: pathlib.Path, task: str, ends: str | None = None, **changes) -> str:
    """Writes a file with some arrays changed and imports it."""
    return bring(write_file(folder / "file.hdf5", task, make_arrays(task, ends) | changes), task)


def spans(ends: str) -> list[tuple[int, int]]:
    """First step and one past the last of every episode."""
    last = [step + 1 for step, end in enumerate(ends) if end in "tob" or step == len(ends) - 1]
    return list(zip([0, *last], last, strict=False))


def episodes_in(dataset_id: str) -> list:
    return list(minari.load_dataset(dataset_id).iterate_episodes())


def about(dataset_id: str) -> dict:
    return json.loads((find_local(dataset_id) / "metadata.json").read_text())


def noticed(dataset_id: str) -> str:
    return "; ".join(about(dataset_id)["noticed"])


@pytest.mark.parametrize("task", LAYOUTS)
def test_what_is_in_the_file_is_in_the_episodes(task, tmp_path):
    """The observation after the last action is that of ``next_observations``, half a step on, or the last one again."""
    arrays, ends = make_arrays(task), LAYOUTS[task]
    dataset_id = bring_new(tmp_path, task)
    assert dataset_id == f"d4rl-hdf5/{task}"
    has_next = "next_observations" in arrays
    assert about(dataset_id)["final_observation"] == ("next_observations" if has_next else "repeated")
    for episode, (start, end) in zip(episodes_in(dataset_id), spans(ends), strict=True):
        assert episode.observations.dtype == episode.actions.dtype == np.float32
        np.testing.assert_array_equal(episode.observations[:-1], arrays["observations"][start:end])
        np.testing.assert_array_equal(episode.observations[-1], arrays["observations"][end - 1] + has_next * 0.5)
        np.testing.assert_array_equal(episode.actions, arrays["actions"][start:end])
        np.testing.assert_array_equal(episode.rewards, arrays["rewards"][start:end])
        np.testing.assert_array_equal(episode.terminations, [end in "tb" for end in ends[start:end]])
        truncations = [flag in "ob" for flag in ends[start : end - 1]] + [ends[end - 1] in "ob."]
        np.testing.assert_array_equal(episode.truncations, truncations)
    episodes, _ = load_local(dataset_id)
    for field in ("observations", "actions", "rewards"):
        np.testing.assert_array_equal(getattr(episodes, field), arrays[field])
    np.testing.assert_array_equal(episodes.terminated, [ends[end - 1] in "tb" for _, end in spans(ends)])
    assert episodes.action_low is None  # their bounds are -1 and 1


@pytest.mark.parametrize(
    ("task", "terminals", "steps", "lengths", "terminated", "cut"),
    [
        ("maze2d-open-v0", (), 400, [150, 150, 100], [0, 0, 0], 2),
        ("pen-human-v1", (9, 259), 270, [10, 100, 100, 50, 10], [1, 0, 0, 1, 0], 2),
        ("kitchen-complete-v0", (299, 309), 310, [280, 20, 10], [0, 1, 1], 1),
        ("antmaze-umaze-diverse-v2", (), 701, [700, 1], [0, 0], 1),
    ],
)
def test_without_timeouts_episodes_are_cut_at_the_horizon(task, terminals, steps, lengths, terminated, cut, tmp_path):
    arrays = make_arrays(task, "." * steps)
    arrays.pop("timeouts", None)
    arrays["terminals"][list(terminals)] = 1
    dataset_id = bring(write_file(tmp_path / "file.hdf5", task, arrays), task)
    episodes, _ = load_local(dataset_id)
    np.testing.assert_array_equal(episodes.lengths, lengths)
    np.testing.assert_array_equal(episodes.terminated, np.array(terminated, bool))
    np.testing.assert_array_equal(episodes.observations, arrays["observations"])
    for episode, ended in zip(episodes_in(dataset_id), terminated, strict=True):
        assert bool(episode.truncations[-1]) != bool(ended)
        assert not episode.truncations[:-1].any()
    assert about(dataset_id)["counts"]["terminated"] == sum(terminated)
    assert f"no time-outs in the file: episodes are cut after {max(lengths)} steps" in noticed(dataset_id)
    assert f"environment: {cut} cut" in noticed(dataset_id)


@pytest.mark.parametrize(
    "convert",
    [
        lambda arrays: {key: arrays[key][:, None] for key in ("rewards", "terminals", "timeouts")},
        lambda arrays: {key: arrays[key].astype(np.float32) for key in ("terminals", "timeouts")},
        lambda arrays: {key: arrays[key].astype(">f8") for key in ("observations", "actions", "rewards")},
    ],
    ids=["columns", "float32 flags", "big endian"],
)
def test_shape_and_precision_do_not_matter(convert, tmp_path):
    arrays, (expected, _) = make_arrays(GYM), load_local(bring_new(tmp_path, GYM))
    path = write_file(tmp_path / "other.hdf5", GYM, arrays | convert(arrays))
    assert load_local(bring(path, GYM, overwrite=True))[0].digest() == expected.digest()


def test_jumps_of_the_ant_inside_episodes_are_counted(tmp_path):
    """At 4, 8 and 13; the one at 11 follows a time-out and is a reset with a flag."""
    observations = np.zeros((16, 29), np.float32)
    for step in (4, 8, 11, 13):
        observations[step:, step % 2] += 6
    dataset_id = bring_new(tmp_path, "antmaze-umaze-v0", "..........o....o", observations=observations)
    assert "jumps of the ant inside an episode, resets without a flag: 3" in noticed(dataset_id)


def test_terminals_in_maze2d_and_constant_rewards_are_mentioned(tmp_path):
    dataset_id = bring_new(tmp_path, "maze2d-umaze-v1", "..t..o", rewards=np.zeros(6))
    assert "D4RL's maze2d files have no terminals" in noticed(dataset_id)
    assert "every reward is 0" in noticed(dataset_id)
    assert noticed(bring_new(tmp_path, "maze2d-open-v0", "..o..o")) == ""


@pytest.mark.parametrize("task", ["antmaze-umaze-v2", "antmaze-large-play-v2", "maze2d-open-v0", KITCHEN, ADROIT])
def test_every_file_of_d4rls_has_its_task_its_environment_and_its_references(task, tmp_path):
    file_name = d4rl_files()[task].rsplit("/", 1)[-1]
    assert task_of_file(f"/some/where/{file_name}") == task
    path = write_file(tmp_path / file_name, task, make_arrays(task, "..o..t"))
    facts = about(bring(path, task))
    spec = json.loads(facts["env_spec"])
    expected = (f"rvdt/{task}", 700 if "umaze" in task else 1000, 0.0, 1.0)  # of antmaze -v2
    if task in all_tasks():
        known = all_tasks()[task]
        expected = (known.source("import").env_id, known.horizon, known.ref_min_return, known.ref_max_return)
    assert (spec["id"], spec["max_episode_steps"], facts["ref_min_score"], facts["ref_max_score"]) == expected


def test_the_metadata_tell_where_it_comes_from(tmp_path):
    path = write_file(tmp_path / "hopper_medium_replay-v2.hdf5", GYM)
    dataset_id = bring(path, GYM)
    facts, digest = about(dataset_id), hashlib.sha256(path.read_bytes()).hexdigest()
    for record in (facts, load_local(dataset_id)[1]):
        assert record["d4rl_task"] == GYM
        assert record["original_file"] == {"name": path.name, "bytes": path.stat().st_size, "sha256": digest}
        assert "recreated" not in record
    counts = {"episodes": 6, "steps": 16, "terminated": 3, "truncated": 3, "clipped_steps": 0, "trailing_steps": 3}
    assert facts["counts"] == counts
    assert "steps both terminal and time-out, counted as terminated: 1" in facts["noticed"]
    returns = [sum(range(start, end)) + 0.25 * (end - start) for start, end in spans(LAYOUTS[GYM])]
    assert facts["return_range"] == [min(returns), max(returns)]
    assert {"h5py", "gymnasium", "minari", "numpy"} <= set(facts["versions"])
    for words in ("CC BY 4.0", "Noticed on import: steps behind the last flag"):
        assert words in facts["description"]


# --- what is no file of D4RL's ---


def edit(**changes):
    """Replaces keys of the file by other values; None removes one."""

    def damage(file):
        for key, values in changes.items():
            file.pop(key, None)
            if values is not None:
                file[key] = values

    return damage


def change(key, place, value, kind=None):
    """Sets one value in the array of a key."""

    def damage(file):
        values = file[key][:].astype(kind or file[key].dtype)
        values[place] = value
        edit(**{key: values})(file)

    return damage


def content(data):
    return lambda path: path.write_bytes(data)


def make_folder(path):
    path.unlink()
    path.mkdir()
    (path / "inside.hdf5").write_bytes(b"")


def damage_block(file):
    """One packed block holds garbage."""
    info = file["observations"].id.get_chunk_info(0)
    with open(file.filename, "r+b") as raw:
        raw.seek(info.byte_offset)
        raw.write(b"\xff" * min(info.size, 64))


def elsewhere(key, create):
    """The array of a key lies in another file; ``create(file, other)`` puts something in its place."""

    def damage(file):
        other = pathlib.Path(file.filename).with_name("elsewhere.h5")
        with h5py.File(other, "w") as target:
            target[f"group/{key}"] = file.pop(key)[:]
        create(file, other)

    return damage


def link_out(file, other):
    file["actions"] = h5py.ExternalLink(other.name, "/group/actions")


def link_out_in_two_steps(file, other):
    file["way"] = h5py.ExternalLink(other.name, "/group")
    file["timeouts"] = h5py.SoftLink("/way/timeouts")


def store_outside(file, other):
    file.create_dataset("rewards", (16,), "f4", external=[(str(other), 0, 64)])


def map_outside(file, other):
    layout = h5py.VirtualLayout(shape=(16, 3), dtype="f4")
    layout[:] = h5py.VirtualSource(other, "/group/actions", shape=(16, 3))
    file.create_virtual_dataset("actions", layout)


def created(key, shape, dtype, **options):
    """An empty array of that type; see ``h5py.Group.create_dataset``."""
    return lambda file: (file.pop(key), file.create_dataset(key, shape, dtype, **options))


def dates(file):
    """A type that NumPy has nothing for."""
    del file["terminals"]
    h5py.h5d.create(file.id, b"terminals", h5py.h5t.UNIX_D32LE, h5py.h5s.create_simple((16,)))


HTML = b"\n<!DOCTYPE HTML PUBLIC '-//IETF//DTD HTML 2.0//EN'>\n<html><head><title>404 Not Found</title></head></html>"
WHOLE = np.zeros((16, 11), np.float32)
NARROW = {"observations": np.zeros((16, 4)), "actions": np.zeros((16, 2)), "next_observations": None}
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n"
AGAIN = f"{d4rl_files()[GYM]}"

# What is done to the path of a file of GYM's -> words of the message.
NO_FILES = {
    "missing": (lambda path: path.rename(path.with_name("fle.hdf5")), ["no such file", "mean 'fle.hdf5'", AGAIN]),
    "folder": (make_folder, ["no file", "--file", "inside.hdf5"]),
    "empty": (content(b""), ["is empty", AGAIN]),
    "text": (content(b"step,reward\n0,1.5\n"), ["is text", AGAIN]),
    "web page": (content(HTML), ["web page", AGAIN]),
    "gzip": (content(gzip.compress(b"")), ["gzip", "gunzip"]),
    "pointer": (content(POINTER), ["Git LFS"]),
    "half": (halve, ["cut off after", "bytes", AGAIN]),
}
# What is done to the open file -> the key that the message names, and words of it.
MALFORMED = {
    "block": (damage_block, "observations", ["values cannot be read", AGAIN]),
    "another name": (lambda file: file.move("rewards", "reward"), "rewards", ["no such key", "nearest is 'reward'"]),
    "nothing": (h5py.File.clear, "observations", ["no such key", "nothing at all"]),
    "Minari's own": (edit(observations=None, episode_0=np.zeros(3)), "observations", ["Minari's own format"]),
    # shapes
    "group": (edit(rewards=None, **{"rewards/data": np.zeros(16)}), "rewards", ["is a group (of data)"]),
    "flat": (edit(observations=np.zeros(16)), "observations", ["shape (16,)", "(steps, numbers)"]),
    "narrow next_observations": (edit(next_observations=WHOLE[:, 1:]), "next_observations", ["10 numbers", "11"]),
    "no space": (edit(rewards=h5py.Empty("f4")), "rewards", ["shape None"]),
    "no rows": (edit(observations=WHOLE[:0]), "observations", ["no rows"]),
    "short timeouts": (edit(timeouts=np.zeros(15, bool)), "timeouts", ["15 rows", "16"]),
    "claims too much": (created("actions", (16, 10**12), "f4", chunks=(16, 64)), "actions", ["claims 58.2 TiB"]),
    "observation size": (edit(**NARROW), "observations", ["4 numbers", "11", "maze2d-umaze-v1", "--task"]),
    # types
    "text values": (edit(observations=np.full((16, 11), b"1.0")), "observations", ["type |S3", "not numbers"]),
    "lists": (created("actions", (16,), h5py.vlen_dtype(np.float32)), "actions", ["objects, text or lists"]),
    "dates": (dates, "terminals", ["it cannot be opened"]),
    # values; the episodes of GYM begin at 0, 3, 8, 10, 12 and 13
    "nan": (change("observations", (9, 2), np.nan), "observations", ["row 9 (episode 2) has nan"]),
    "too large": (change("observations", (2, 0), 1e300, "f8"), "observations", ["row 2 (episode 0) has 1e+300"]),
    "terminal 2": (change("terminals", 6, 2, "f4"), "terminals", ["row 6 is 2.0", "0 or 1"]),
    # what leads elsewhere
    "external link": (elsewhere("actions", link_out), "actions", ["another file", "copy the values"]),
    "two links": (elsewhere("timeouts", link_out_in_two_steps), "timeouts", ["another file"]),
    "dangling": (edit(rewards=h5py.SoftLink("/gone")), "rewards", ["a link to /gone", "cannot be opened"]),
    "external storage": (elsewhere("rewards", store_outside), "rewards", ["another file"]),
    "virtual": (elsewhere("actions", map_outside), "actions", ["another file"]),
}


def in_file(damage):
    def apply(path):
        with h5py.File(path, "a") as file:
            damage(file)

    return apply


REFUSED = {name: (GYM, damage, None, words) for name, (damage, words) in NO_FILES.items()}
REFUSED |= {name: (GYM, in_file(damage), key, words) for name, (damage, key, words) in MALFORMED.items()}
REFUSED |= {
    f"reward of {reward}": (task, in_file(change("rewards", row, reward)), "rewards", [words, "--task"])
    for task, row, reward, words in (
        ("maze2d-umaze-v1", 5, 0.5, "row 5 (episode 1) is 0.5"),
        ("antmaze-umaze-v0", 8, -1, "row 8 (episode 3) is -1"),
        ("maze2d-large-dense-v1", 15, 1.5, "between 0 and 1"),
        ("maze2d-large-dense-v1", ..., 1, "all of them are 0 or 1"),
        ("kitchen-complete-v0", 14, 5, "0, 1, 2, 3 or 4"),
    )
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_malformed_file_is_refused_by_key_and_remedy(name, tmp_path, root):
    """The message names file and key, nothing is left and nothing was touched."""
    task, damage, key, words = REFUSED[name]
    folder = tmp_path / "download"
    folder.mkdir()
    path = write_file(folder / "file.hdf5", task)
    damage(path)
    before = snapshot(folder)
    with pytest.raises(ValueError, match=r"\S") as caught:
        bring(path, task)
    message = str(caught.value)
    assert message.startswith(f"{path}: {key}: " if key else f"{path}: "), message
    assert len(message.splitlines()) == 1
    assert f"{AGAIN}." not in message  # an address is copied with whatever stands behind it
    assert all(word in message for word in words), message
    assert not root.exists()
    assert snapshot(folder) == before


def test_actions_of_which_half_are_outside_are_clipped_and_more_are_refused(tmp_path):
    actions = make_arrays(GYM)["actions"]
    actions[:8] = -3
    dataset_id = bring_new(tmp_path, GYM, actions=actions)
    written = np.concatenate([episode.actions for episode in episodes_in(dataset_id)])
    np.testing.assert_array_equal(written, np.clip(actions, -1, 1))
    assert about(dataset_id)["counts"]["clipped_steps"] == 8
    assert "steps with actions beyond +-1, clipped: 8 of 16, up to 3" in noticed(dataset_id)
    actions[8, 0] = 3  # 25 of 48 numbers
    with pytest.raises(ValueError, match=r"actions: 52% of the values .*up to 3"):
        bring(write_file(tmp_path / "other.hdf5", GYM, make_arrays(GYM) | {"actions": actions}), GYM, overwrite=True)


def test_another_tasks_file_name_is_refused(tmp_path, root):
    """The sizes of halfcheetah and walker2d are the same: only the name can tell."""
    path = write_file(tmp_path / "walker2d_medium-v2.hdf5", "halfcheetah-medium-v2")
    with pytest.raises(ValueError, match=r"^\S+: --task=halfcheetah-medium-v2: .*--task=walker2d-medium-v2"):
        bring(path, "halfcheetah-medium-v2")
    assert not root.exists()


def test_an_unknown_file_name_needs_the_task():
    with pytest.raises(ValueError, match=r"hopper_medium-v2.hdf5 of hopper-medium-v2\. Name .* with --task"):
        task_of_file("hopper_medium-v2 (1).hdf5")


def test_a_file_that_changes_while_it_is_read_is_not_imported(tmp_path, root, monkeypatch):
    path, whole = write_file(tmp_path / "file.hdf5", GYM), importer.read_d4rl

    def meanwhile(*arguments):
        file = whole(*arguments)
        os.utime(path, (time.time() + 5, time.time() + 5))
        return file

    monkeypatch.setattr(importer, "read_d4rl", meanwhile)
    with pytest.raises(ValueError, match=f"^{path}: the file was changed while it was read"):
        bring(path, GYM)
    assert not root.exists()


def test_the_launcher_knows_the_task_by_the_files_name_and_tells_what_it_found(tmp_path):
    path = write_file(tmp_path / "hopper_medium_replay-v2.hdf5", GYM)
    done = launch("import_d4rl.py", f"--file={path}", "--anyway")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"d4rl-hdf5/{GYM}: imported.\n")
    counts = "6 episodes, 16 steps; 3 episodes terminated, 3 truncated"
    for words in (counts, "returns from 3.75 to 42.75", "kept as a truncated episode: 3"):
        assert words in done.stdout


def test_a_file_of_another_size_than_d4rls_is_imported_only_if_that_is_wanted(tmp_path, root):
    path = write_file(tmp_path / "pen-human-v1.hdf5", ADROIT)
    words = "it has 3 episodes and 16 steps, and D4RL's file of pen-human-v1 has 25 episodes and 5,000 steps"
    with pytest.raises(ValueError, match=f"{words}.*--anyway.*import_data.py"):
        bring(path, ADROIT, anyway=False)
    assert not root.exists()
    assert words in noticed(bring(path, ADROIT))
    ends = ("." * 199 + "o") * 25
    whole = make_arrays(ADROIT, ends) | {"actions": np.full((5000, 24), 0.5, np.float32)}
    bring(write_file(path, ADROIT, whole), ADROIT, anyway=False, overwrite=True)
    assert about("d4rl-hdf5/pen-human-v1")["noticed"] == []


@pytest.mark.parametrize("task", ["door-human-v1", "antmaze-v1"])
def test_a_data_set_without_a_task_is_sent_to_the_importer_of_other_data(task, tmp_path):
    with pytest.raises(ValueError, match=r"this package has no such task.*import_data\.py"):
        bring(tmp_path / "file.hdf5", task)
    with pytest.raises(ValueError, match=r"is not the file of a task of this package.*import_data\.py"):
        task_of_file(tmp_path / f"{task}.hdf5")
