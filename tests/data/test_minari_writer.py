"""The Minari writer: what it writes, that it replaces only when told, and that it writes whole or not at all."""

import itertools
import os
import pathlib
import platform
import shutil
import subprocess
import sys
import warnings

import gymnasium
import minari
import numpy as np
import pytest

from rvdt_jax.data.minari import content_digest
from rvdt_jax.data.minari.writer import About, clear_leftovers, write_dataset
from rvdt_jax.recreate.maze2d import episodes_of
from rvdt_jax.tasks import get_task

TASK = get_task("maze2d-umaze-v1")
ENV_ID = TASK.source("recipe").env_id
DATASET_ID = "recreated/maze2d-umaze-test-v1"
LENGTHS = [3, 1, 4]
ABOUT = {"env_id": ENV_ID, "observation_size": 4, "action_size": 2, "algorithm": "none", "description": "A test."}


@pytest.fixture
def root(tmp_path) -> pathlib.Path:
    """The Minari root of this test."""
    folder = tmp_path / "minari"
    folder.mkdir()
    return folder


def make_recording(offset: float = 0.0) -> dict:
    """Eight steps in three segments; the step's number is encoded in every field."""
    steps = np.arange(8, dtype=np.float32) + np.float32(offset)
    return {
        "observations": np.stack([steps] * 4, axis=1),
        "next_observations": np.stack([steps + 0.5] * 4, axis=1),
        "actions": np.stack([steps / 100, -steps / 100], axis=1),
        "rewards": steps,
        "ends": np.isin(np.arange(8), np.cumsum(LENGTHS) - 1),
    }


def make_episodes(offset: float = 0.0):
    return episodes_of(make_recording(offset))


def write(episodes=make_episodes, dataset_id=DATASET_ID, overwrite=False, **about) -> str:
    return write_dataset(dataset_id, About(**ABOUT | {"facts": {}} | about), episodes, overwrite=overwrite)


def listed() -> set[str]:
    """What Minari lists; a data set that it finds broken fails the test."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return set(minari.list_local_datasets())


def failing(error: BaseException, after: int = 0):
    """Raises in the collection, after so many episodes."""

    def generate():
        yield from itertools.islice(make_episodes(), after)
        raise error

    return generate


def test_a_generator_is_closed_even_while_its_error_is_kept():
    closed = []

    def generate():
        try:
            yield next(make_episodes()) | {"rewards": [object()]}
        finally:
            closed.append(True)

    with pytest.raises((TypeError, AttributeError)) as kept:
        write(generate)
    assert kept.value.__traceback__ is not None
    assert closed


def test_every_segment_is_an_episode_with_one_observation_more():
    assert write() == DATASET_ID
    dataset, recording, start = minari.load_dataset(DATASET_ID), make_recording(), 0
    assert (dataset.total_episodes, dataset.total_steps) == (len(LENGTHS), sum(LENGTHS))
    for episode, length in zip(dataset.iterate_episodes(), LENGTHS, strict=True):
        steps = slice(start, start + length)
        observations = [*recording["observations"][steps], recording["next_observations"][start + length - 1]]
        np.testing.assert_array_equal(episode.observations, observations)
        np.testing.assert_array_equal(episode.actions, recording["actions"][steps])
        np.testing.assert_array_equal(episode.rewards, recording["rewards"][steps])
        assert episode.terminations.tolist() == [False] * length
        assert episode.truncations.tolist() == [False] * (length - 1) + [True]
        start += length


def in_python(script: str) -> str:
    return subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True).stdout


def test_where_an_import_registers_the_environment_its_module_is_named_with_it(root):
    """Written and recovered in processes that import the module only because the id, or its entry point, says so."""
    in_python(
        "import sys; from rvdt_jax.data.minari.writer import About, write_dataset; import numpy as np;"
        "assert 'rvdt_jax.envs' not in sys.modules;"
        "one = dict(observations=np.zeros((2, 4), np.float32), actions=np.zeros((1, 2), np.float32),"
        " rewards=np.zeros(1), terminations=np.zeros(1, bool), truncations=np.ones(1, bool));"
        "about = About('rvdt_jax.envs:rvdt/maze2d-umaze-v1', 4, 2, 'none', 'A test.', {});"
        f"write_dataset({DATASET_ID!r}, about, lambda: (each for each in [one]))"
    )
    said = in_python(
        f"import minari; env = minari.load_dataset({DATASET_ID!r}).recover_environment();"
        "print(env.spec.id, env.spec.max_episode_steps, *env.reset(seed=0)[0].shape)"
    )
    assert said.split() == [ENV_ID, str(TASK.horizon), "4"]


def test_the_environment_variable_is_left_as_it_was(root, monkeypatch):
    write()
    assert os.environ["MINARI_DATASETS_PATH"] == str(root)
    monkeypatch.delenv("MINARI_DATASETS_PATH")
    monkeypatch.setenv("HOME", str(root))
    write()
    assert "MINARI_DATASETS_PATH" not in os.environ
    assert (root / ".minari" / "datasets" / DATASET_ID / "data").is_dir()


@pytest.mark.parametrize(
    ("about", "error", "message"),
    [
        ({}, ValueError, r"already exists in .*--overwrite"),
        ({"env_id": "rvdt/no-such-maze-v0", "dataset_id": "other-v0"}, gymnasium.error.Error, "no-such-maze"),
    ],
)
def test_an_existing_data_set_and_an_unknown_environment_are_refused_at_once(root, about, error, message):
    """Before anything is collected."""
    write()
    before = content_digest(root)
    with pytest.raises(error, match=message):
        write(failing(AssertionError("collected all the same")), **about)
    assert content_digest(root) == before


def test_overwrite_replaces_it(root):
    write()
    write(lambda: make_episodes(100.0), overwrite=True)
    rewards = [episode.rewards for episode in minari.load_dataset(DATASET_ID).iterate_episodes()]
    np.testing.assert_array_equal(np.concatenate(rewards), np.arange(100, 108))
    assert listed() == {DATASET_ID}
    assert [path.name for path in root.iterdir()] == ["recreated"]


def test_a_data_set_that_appears_during_the_collection_is_not_replaced(root, monkeypatch):
    def collect_while_another_writes():
        with monkeypatch.context() as other_process:
            other_process.setenv("MINARI_DATASETS_PATH", str(root))
            write()
        yield from make_episodes(100.0)

    with pytest.raises(ValueError, match="already exists"):
        write(collect_while_another_writes)
    episode = next(iter(minari.load_dataset(DATASET_ID).iterate_episodes()))
    assert episode.rewards.tolist() == [0.0, 1.0, 2.0]
    assert [path.name for path in root.iterdir()] == ["recreated"]


@pytest.mark.parametrize("after", [0, 1])
@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError])
def test_a_failure_leaves_what_was_there_and_nothing_else(after, error, root):
    for there in (set(), {DATASET_ID}):
        if there:
            write()
        before = content_digest(root)
        with pytest.raises(error):
            write(failing(error(), after), overwrite=True)
        assert content_digest(root) == before
        assert listed() == there
        assert {path.name for path in root.iterdir()} == {"recreated"} & {name.split("/")[0] for name in there}
    assert os.environ["MINARI_DATASETS_PATH"] == str(root)


def test_an_interrupt_at_the_exchange_leaves_an_existing_data_set_whole(root, monkeypatch):
    write()
    final, interrupts = root / DATASET_ID, []
    before = content_digest(final)

    def interrupting(move):
        def moved(source, target, **options):
            if pathlib.Path(target) == final and not interrupts:
                interrupts.append(source)
                raise KeyboardInterrupt
            return move(source, target, **options)

        return moved

    for name in ("rename", "replace"):
        monkeypatch.setattr(os, name, interrupting(getattr(os, name)))
    with pytest.raises(KeyboardInterrupt):
        write(lambda: make_episodes(100.0), overwrite=True)
    assert listed() == {DATASET_ID}
    assert content_digest(final) == before


def make_leftover(root: pathlib.Path, process: int | None = None) -> pathlib.Path:
    """The hidden folder of a writer, by default of one that has died."""
    if process is None:
        ended = subprocess.Popen([sys.executable, "-c", ""])
        ended.wait()
        process = ended.pid
    hidden = root / f".incomplete-{process}-{platform.node()}-abc"
    (hidden / DATASET_ID / "data").mkdir(parents=True)
    (hidden / DATASET_ID / "data" / "main_data.hdf5").write_bytes(b"half")
    return hidden


def test_leftovers_of_dead_writers_of_this_host_alone_are_cleared(root):
    dead, alive = make_leftover(root), make_leftover(root, os.getpid())
    elsewhere = dead.with_name(dead.name.replace(platform.node(), "another-host"))
    shutil.copytree(dead, elsewhere)
    write()
    assert not dead.exists()
    for kept in (alive, elsewhere):
        assert kept.joinpath(DATASET_ID, "data", "main_data.hdf5").exists()
    assert listed() == {DATASET_ID}


def test_a_data_set_in_the_hands_of_a_dead_writer_is_put_back(root):
    write()
    before = content_digest(root / DATASET_ID)
    # Killed between the two moves of a replacement: the old data set waits, the new one is not there yet.
    leftover = make_leftover(root)
    (leftover / "replaced" / DATASET_ID).parent.mkdir(parents=True)
    (root / DATASET_ID).rename(leftover / "replaced" / DATASET_ID)
    clear_leftovers(root)
    assert listed() == {DATASET_ID}
    assert content_digest(root / DATASET_ID) == before
    assert not leftover.exists()
