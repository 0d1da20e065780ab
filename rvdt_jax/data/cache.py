"""The flat cache: checked episodes as one .npz file, so that the second start takes a fraction of a second.

The file's name carries a digest of the data set's content and of this format's version, so a cache never outlives
its source. It is also a source of its own: training from it needs NumPy alone, neither minari nor gymnasium.
"""

from __future__ import annotations

import json
import os
import pathlib

import numpy as np

from rvdt_jax.data.episodes import Episodes, check_episodes

FORMAT_VERSION = 1
_FIELDS = ("observations", "actions", "rewards", "lengths", "terminated")


def cache_folder() -> pathlib.Path:
    """``$RVDT_JAX_CACHE``, or ``~/.cache/rvdt_jax``."""
    default = pathlib.Path.home() / ".cache" / "rvdt_jax"
    return pathlib.Path(os.environ.get("RVDT_JAX_CACHE") or default).expanduser()


def cache_path(dataset_id: str, digest: str) -> pathlib.Path:
    """Where the cache of a data set with that content lies."""
    return cache_folder() / f"{dataset_id.replace('/', '_')}-{digest}-f{FORMAT_VERSION}.npz"


def write_cache(path: pathlib.Path, episodes: Episodes, provenance: dict) -> None:
    """Writes the file whole or not at all: another process sees no half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    arrays = {field: getattr(episodes, field) for field in _FIELDS}
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    try:
        with partial.open("wb") as file:
            np.savez(file, provenance=np.array(json.dumps(provenance)), **arrays)
        os.replace(partial, path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def read_cache(path: pathlib.Path) -> tuple[Episodes, dict]:
    """The episodes and their provenance.

    Raises:
        ValueError: the file is missing, corrupt or of another kind, or breaks the episode contract.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {field: file[field] for field in _FIELDS}
            provenance = {"dataset_id": path.stem} | json.loads(str(file["provenance"]))
    except Exception as error:  # a damaged zip file makes NumPy raise almost anything
        raise ValueError(
            f"{path}: not a readable flat cache ({type(error).__name__}: {error}). "
            "Delete it, or point config.data.path at another."
        ) from error
    return check_episodes(Episodes(name=str(provenance["dataset_id"]), **arrays)), provenance
