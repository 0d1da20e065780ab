"""The flat cache: checked episodes as one .npz file, so that the second start takes a fraction of a second.

The file's name carries a digest of the data set's content and of this format's version, so a cache never outlives
its source. It is also a source of its own: training from it needs NumPy alone, neither minari nor gymnasium.
"""

from __future__ import annotations

import hashlib
import json
import os
import pathlib
import urllib.parse

import numpy as np

from rvdt_jax.data.episodes import Episodes, check_episodes
from rvdt_jax.errors import UserError
from rvdt_jax.files import atomic_write, check_npz

FORMAT_VERSION = 2
_FIELDS = ("observations", "actions", "rewards", "lengths", "terminated")
_OPTIONAL = ("action_low", "action_high")


def cache_folder() -> pathlib.Path:
    """``$RVDT_JAX_CACHE``, or ``~/.cache/rvdt_jax``."""
    default = pathlib.Path.home() / ".cache" / "rvdt_jax"
    return pathlib.Path(os.environ.get("RVDT_JAX_CACHE") or default).expanduser()


def cache_path(
    dataset_id: str, digest: str, observation_keys: tuple[str, ...] = (), end_at_reward: bool = False
) -> pathlib.Path:
    """Where the cache of a data set with that content lies, read in that way; see ``source.load_local``."""
    parts = [urllib.parse.quote(dataset_id, safe=""), digest]  # another id is another name
    if observation_keys or end_at_reward:
        way = json.dumps([observation_keys, end_at_reward]).encode()
        parts.append(hashlib.blake2b(way, digest_size=4).hexdigest())
    return cache_folder() / f"{'-'.join(parts)}-f{FORMAT_VERSION}.npz"


def write_cache(path: pathlib.Path, episodes: Episodes, provenance: dict) -> None:
    """Writes the file whole or not at all: another process sees no half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    present = [field for field in (*_FIELDS, *_OPTIONAL) if getattr(episodes, field) is not None]
    arrays = {field: getattr(episodes, field) for field in present}
    with atomic_write(path) as partial, partial.open("wb") as file:
        np.savez(file, provenance=np.array(json.dumps(provenance)), **arrays)


def read_cache(path: pathlib.Path) -> tuple[Episodes, dict]:
    """The episodes and their provenance.

    Raises:
        UserError: the file is missing, corrupt or of another kind, or breaks the episode contract.
    """
    try:
        check_npz(path)
        with np.load(path, allow_pickle=False) as file:
            arrays = {field: file[field] for field in (*_FIELDS, *(name for name in _OPTIONAL if name in file))}
            provenance = {"dataset_id": path.stem} | json.loads(str(file["provenance"]))
    except Exception as error:  # a damaged zip file makes NumPy raise almost anything
        raise UserError(
            f"{path}: not a readable flat cache ({type(error).__name__}: {error}). "
            "Delete it, or point config.data.path at another."
        ) from error
    return check_episodes(Episodes(name=str(provenance["dataset_id"]), **arrays)), provenance
