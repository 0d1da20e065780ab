"""Small data and settings that many tests share."""

import gc
import os
import pathlib
import signal

from compilation import EIGHT_DEVICES

# For the tests of data parallelism; must be said before JAX starts.
os.environ.setdefault("XLA_FLAGS", EIGHT_DEVICES["XLA_FLAGS"])

import jax
import numpy as np
import pytest
from launching import TINY

from rvdt_jax.config.defaults import default_config
from rvdt_jax.config.settings import resolve
from rvdt_jax.data.cache import write_cache
from rvdt_jax.data.episodes import Episodes
from rvdt_jax.data.rebalance import select_experts
from rvdt_jax.data.store import make_normalizer, make_store

# The files that take longest come first, so that no worker is left with one of them at the end.
LONGEST = ["test_" + name for name in ("readme", "distributed", "cli", "fit", "toys", "update", "parallel")]


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: [*LONGEST, item.path.stem].index(item.path.stem))


@pytest.fixture(autouse=True, scope="module")
def _little_memory():
    """What a file has compiled ends with it: a process that keeps all of it dies within XLA, out of memory mappings."""
    yield
    jax.clear_caches()
    gc.collect()


@pytest.fixture(autouse=True)
def _private_folders(tmp_path, monkeypatch):
    """No test touches the user's data sets or caches."""
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "minari"))
    monkeypatch.setenv("RVDT_JAX_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("RVDT_JAX_DATA", str(tmp_path / "data"))


def make_episodes(seed: int = 0, count: int = 30) -> Episodes:
    """Random episodes with S = 4 and A = 2, as maze2d's; some terminate."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(1, 30, count)
    lengths[0] = 30
    steps = int(lengths.sum())
    return Episodes(
        name="random",
        observations=rng.normal(size=(steps, 4)).astype(np.float32),
        actions=rng.uniform(-1, 1, (steps, 2)).astype(np.float32),
        rewards=(rng.random(steps) < 0.2).astype(np.float32),
        lengths=lengths,
        terminated=rng.random(count) < 0.3,
    )


@pytest.fixture
def episodes():
    return make_episodes()


@pytest.fixture
def store(episodes):
    experts = select_experts(episodes.returns, episodes.lengths)
    return make_store(episodes, experts, make_normalizer(episodes), return_scale=10.0)


@pytest.fixture(scope="session")
def small_config():
    """A function from overrides, as on the command line, to a resolved configuration of a tiny model."""

    def make(**overrides):
        settings, given = default_config(), {name.replace("__", "."): value for name, value in overrides.items()}
        settings.update_from_flattened_dict(SMALL | given)
        return resolve(settings)

    return make


SMALL = TINY | {"task": "maze2d-umaze-v1", "seeds": (0,), "ema.start": 2, "ema.every": 2}
SMALL |= {"eval.targets": (50.0,), "parallel.devices": 1}


def data_file(folder, episodes) -> dict:
    """Writes the episodes into a flat file; the settings that train on it."""
    about = {"dataset_id": "test/random", "recreated": True, "content_digest": episodes.digest()}
    write_cache(folder / "data.npz", episodes, about)
    return {"data__source": "file", "data__path": str(folder / "data.npz")}


def train(config, **options):
    """Trains what the configuration describes, without progress bars; returns the run."""
    from rvdt_jax.runs.fit import run_config

    return run_config(config, progress=False, **options)


@pytest.fixture(scope="session")
def train_run(small_config, tmp_path_factory):
    """A function that trains on ``episodes``, by default random ones, and returns the run; for several tests."""

    def make(episodes=None, **overrides):
        folder = tmp_path_factory.mktemp("trained")
        place = data_file(folder, episodes or make_episodes()) | {"workdir": str(folder / "run")}
        return train(small_config(**place | overrides))

    return make


@pytest.fixture
def make_run_config(small_config, episodes, tmp_path):
    """A function from overrides to a configuration that trains on a small flat file."""
    place = data_file(tmp_path, episodes)
    return lambda folder="run", **overrides: small_config(workdir=str(tmp_path / folder), **place | overrides)


def snapshot(folder) -> dict[str, bytes]:
    folder = pathlib.Path(folder)
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def halve(path):
    os.truncate(path, path.stat().st_size // 2)


def interrupted(monkeypatch, step=4):
    """Has a SIGTERM come after that update of the next run, once."""
    from rvdt_jax.runs.hooks import Session

    original = Session.log

    def interrupt(self, at, metrics):
        original(self, at, metrics)
        if at == step:
            monkeypatch.setattr(Session, "log", original)
            signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(Session, "log", interrupt)
