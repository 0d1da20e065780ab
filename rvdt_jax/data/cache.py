"""The flat cache: checked episodes as one .npz file, so that the second start takes a fraction of a second.

The file's name carries a digest of the data set's content and of this format's version, so a cache never outlives
its source. It is also a source of its own: training from it needs NumPy alone, neither minari nor gymnasium.
"""

from __future__ import annotations

import json
import os
import pathlib
import tempfile
import zipfile

import numpy as np

from rvdt_jax.data.episodes import Episodes, check_episodes

FORMAT_VERSION = 1
_FIELDS = ("observations", "actions", "rewards", "lengths", "terminated")


def cache_folder() -> pathlib.Path:
    """``$RVDT_JAX_CACHE``, or ``~/.cache/rvdt_jax``."""
    default = pathlib.Path.home() / ".cache" / "rvdt_jax"
    return pathlib.Path(os.environ.get("RVDT_JAX_CACHE") or default)


def cache_path(dataset_id: str, digest: str) -> pathlib.Path:
    """Where the cache of a data set with that content lies."""
    return cache_folder() / f"{dataset_id.replace('/', '_')}-{digest}-f{FORMAT_VERSION}.npz"


def write_cache(path: pathlib.Path, episodes: Episodes, provenance: dict) -> None:
    """Writes the file whole or not at all: another process sees no half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    arrays = {field: getattr(episodes, field) for field in _FIELDS}
    with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".partial", delete=False) as file:
        try:
            np.savez(file, provenance=np.array(json.dumps(provenance)), **arrays)
        except BaseException:
            os.unlink(file.name)
            raise
    os.replace(file.name, path)


def read_cache(path: pathlib.Path) -> tuple[Episodes, dict]:
    """The episodes and their provenance.

    Raises:
        ValueError: the file is missing, corrupt or of another kind, or breaks the episode contract.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {field: file[field] for field in _FIELDS}
            provenance = json.loads(str(file["provenance"]))
    except (OSError, KeyError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(
            f"{path}: not a readable flat cache ({type(error).__name__}: {error}). "
            "Delete it, or point config.data.path at another."
        ) from error
    return check_episodes(Episodes(name=str(provenance.get("dataset_id", path)), **arrays)), provenance
