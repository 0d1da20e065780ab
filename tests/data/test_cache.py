"""The flat cache: what is written is read, whole or not at all, and nothing else is taken for one."""

import dataclasses
import pathlib

import numpy as np
import pytest
from conftest import halve

from rvdt_jax.data.cache import cache_folder, cache_path, read_cache, write_cache

PROVENANCE = {"dataset_id": "random", "recreated": True, "versions": {"mujoco": "3.10.0"}, "seed": 7}


@pytest.fixture
def written(tmp_path, episodes):
    """The path of a cache of ``episodes``."""
    path = tmp_path / "cache" / "deeper" / "random.npz"
    write_cache(path, episodes, PROVENANCE)
    return path


@pytest.mark.parametrize("bounds", [{}, {"action_low": [-2.0, 0.1], "action_high": [2.0, 30.0]}])
def test_what_is_written_is_read_to_the_last_bit(written, episodes, bounds):
    episodes.observations[0] = [-0.0, 1e-45, np.float32(0.1), np.finfo(np.float32).max]
    bounded = dataclasses.replace(episodes, **{name: np.array(each, np.float32) for name, each in bounds.items()})
    write_cache(written, bounded, PROVENANCE)
    again, provenance = read_cache(written)
    assert again.digest() == bounded.digest()  # of the bits of every array, their types and shapes
    assert provenance == PROVENANCE
    assert again.name == "random"


def one_bit_flipped(path):
    """In the middle of the observations, where only the checksum can tell."""
    content = bytearray(path.read_bytes())
    content[len(content) // 4] ^= 1
    path.write_bytes(content)


def unknown_compression(path):
    """A flipped byte in the list of contents: zipfile then raises a NotImplementedError."""
    content = bytearray(path.read_bytes())
    content[content.find(b"PK\x01\x02") + 10] = 99
    path.write_bytes(content)


def resave(path, **changes):
    with np.load(path) as file:
        arrays = dict(file)
    np.savez(path, **arrays | changes)


@pytest.mark.parametrize(
    "corrupt",
    [
        *(pathlib.Path.unlink, halve, one_bit_flipped, unknown_compression),
        lambda path: np.savez(path, weights=np.zeros(3)),
        lambda path: resave(path, provenance=np.array("[]")),
    ],
)
def test_what_is_no_cache_is_named_with_the_remedy(written, corrupt):
    corrupt(written)
    words = rf"^{written}: not a readable flat cache.*Delete it, or point config\.data\.path"
    with pytest.raises(ValueError, match=words):
        read_cache(written)


class Payload:
    """Unpickling it makes a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return pathlib.Path.touch, (self.path,)


@pytest.mark.parametrize("field", ["rewards", "provenance"])
def test_no_pickle_is_loaded(written, tmp_path, field):
    trace = tmp_path / "unpickled"
    resave(written, **{field: np.array([Payload(trace)], object)})
    with np.load(written, allow_pickle=True) as file:
        _ = file[field]
    assert trace.exists()  # the payload works
    trace.unlink()
    with pytest.raises(ValueError, match="not a readable flat cache"):
        read_cache(written)
    assert not trace.exists()


def test_another_content_data_set_or_choice_of_entries_is_another_file():
    """The entries' order matters, and a name may hold what stands between names."""
    ids = ("toy/a-v1", "toy/b-v1", "toy_a-v1", "toy%2Fa-v1", "toy/a_v1")
    choices = [("a",), ("b",), ("a", "b"), ("b", "a"), ("a-b",), ("a.b",), ("a", "b", "c"), ("a-b", "c")]
    paths = [cache_path("toy/a-v1", "1"), *(cache_path(dataset_id, "0") for dataset_id in ids)]
    paths += [cache_path("toy/a-v1", "0", keys) for keys in choices]
    assert len(set(paths)) == len(paths)
    assert {path.parent for path in paths} == {cache_folder()}


def test_the_folder_is_that_of_the_environment_or_else_at_home(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("RVDT_JAX_CACHE", str(tmp_path / "mine"))
    assert cache_folder() == tmp_path / "mine"
    for unset in (lambda: monkeypatch.setenv("RVDT_JAX_CACHE", ""), lambda: monkeypatch.delenv("RVDT_JAX_CACHE")):
        unset()
        assert cache_folder() == tmp_path / ".cache" / "rvdt_jax"
