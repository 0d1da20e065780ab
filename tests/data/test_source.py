"""From settings to episodes: through the cache where there is one, without it where it cannot be had."""

import logging
import sys

import h5py
import numpy as np
import pytest
from conftest import halve
from gymnasium.spaces import Box, Dict
from minari_sets import write_minari

from rvdt_jax.data import source
from rvdt_jax.data.cache import cache_folder, read_cache, write_cache
from rvdt_jax.data.source import load_local

DATASET = "toy/walk-v1"


@pytest.fixture
def dataset():
    """A local Minari data set of three episodes; the folder of its files."""
    episodes = [{"rewards": np.random.default_rng(length).normal(size=length)} for length in (3, 5, 1)]
    return write_minari(DATASET, episodes, recreated=True, recipe="a walk")


@pytest.fixture
def no_minari(monkeypatch):
    """From now on the simulators' libraries cannot be imported, nor data sets read."""

    def do():
        monkeypatch.setattr(source, "read_minari", lambda *_, **__: pytest.fail("the data set was read again"))
        for name in ("minari", "gymnasium", "h5py"):
            monkeypatch.setitem(sys.modules, name, None)

    return do


def warnings_in(caplog):
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


def test_the_second_load_is_equal_and_reads_the_cache_alone(dataset, no_minari, caplog):
    first, provenance = load_local(DATASET)
    no_minari()
    second, again = load_local(DATASET)
    assert second.digest() == first.digest()
    assert again == provenance
    assert second.name == first.name == DATASET
    assert warnings_in(caplog) == []


def test_changed_content_is_not_served_from_the_old_cache(dataset):
    before, provenance = load_local(DATASET)
    with h5py.File(dataset / "main_data.hdf5", "a") as file:
        file["episode_1"]["rewards"][2] = 100.0
    after, changed = load_local(DATASET)
    assert after.rewards[5] == 100.0
    assert before.rewards[5] != 100.0
    assert changed["content_digest"] != provenance["content_digest"]


def test_every_choice_of_entries_has_a_cache_of_its_own(no_minari):
    """``back`` is twice ``front``."""
    steps, space = np.arange(4, dtype=np.float32)[:, None], Box(-99, 99, (1,))
    fields = {"observations": {"front": steps, "back": 2 * steps}, "actions": steps[1:] - 2, "rewards": np.zeros(3)}
    write_minari("toy/dict-v1", [fields], Dict({"front": space, "back": space}), Box(-4.0, 4.0, (1,)))
    choices = {
        ("front",): [[0], [1], [2]],
        ("front", "back"): [[0, 0], [1, 2], [2, 4]],
        ("back", "front"): [[0, 0], [2, 1], [4, 2]],
    }
    for forbid in (no_minari, lambda: None):
        for keys, expected in choices.items():
            np.testing.assert_array_equal(load_local("toy/dict-v1", keys)[0].observations, expected)
        forbid()
    assert len(list(cache_folder().iterdir())) == len(choices)


def break_the_contract(path):
    episodes, provenance = read_cache(path)
    episodes.rewards[0] = np.nan
    write_cache(path, episodes, provenance)


@pytest.mark.parametrize("corrupt", [halve, break_the_contract])
def test_a_corrupt_cache_is_rebuilt_and_that_is_said(dataset, no_minari, caplog, corrupt):
    expected, _ = load_local(DATASET)
    (path,) = cache_folder().iterdir()
    corrupt(path)
    again, _ = load_local(DATASET)
    assert again.digest() == expected.digest()
    (warning,) = warnings_in(caplog)
    assert "rebuilding the cache" in warning
    no_minari()
    assert load_local(DATASET)[0].digest() == expected.digest()  # the rebuilt one is whole
    assert list(cache_folder().iterdir()) == [path]


def test_a_cache_that_cannot_be_written_is_done_without_and_that_is_said(dataset, tmp_path, monkeypatch, caplog):
    expected, _ = load_local(DATASET)
    blocker = tmp_path / "a-file"
    blocker.write_text("in the way")
    monkeypatch.setenv("RVDT_JAX_CACHE", str(blocker / "deeper"))
    again, provenance = load_local(DATASET)
    assert again.digest() == expected.digest()
    assert provenance["dataset_id"] == DATASET
    (warning,) = warnings_in(caplog)
    assert "going on without a cache" in warning
    assert str(blocker) in warning
    assert blocker.read_text() == "in the way"
