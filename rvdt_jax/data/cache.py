"""The flat cache: checked episodes as one .npz file, which is read in a fraction of a second.

The file's name holds a digest of the data set's content and the version of this format, so that a changed data set is
read again. A cache file is also a data source of its own: reading it needs NumPy alone.
"""

from __future__ import annotations

import hashlib
import json
import os
import pathlib
import urllib.parse

import numpy as np

from rvdt_jax.data.contract import check_episodes
from rvdt_jax.data.episodes import Episodes
from rvdt_jax.errors import UserError
from rvdt_jax.files import atomic_write, check_npz

FORMAT_VERSION = 3
_FIELDS = ("observations", "actions", "rewards", "lengths", "terminated")
_OPTIONAL = ("action_low", "action_high", "action_shape", "observation_offset")


def cache_folder() -> pathlib.Path:
    """``$RVDT_JAX_CACHE``, or ``~/.cache/rvdt_jax``."""
    default = pathlib.Path.home() / ".cache" / "rvdt_jax"
    return pathlib.Path(os.environ.get("RVDT_JAX_CACHE") or default).expanduser()


def cache_path(
    dataset_id: str,
    digest: str,
    observation_keys: tuple[str, ...] = (),
    end_at_reward: bool = False,
    bounds_from_data: bool = False,
) -> pathlib.Path:
    """The cache file of a data set with that content and these options of ``source.load_local``."""
    parts = [urllib.parse.quote(dataset_id, safe=""), digest]  # another id is another name
    if observation_keys or end_at_reward or bounds_from_data:
        way = json.dumps([observation_keys, end_at_reward, bounds_from_data]).encode()
        parts.append(hashlib.blake2b(way, digest_size=4).hexdigest())
    return cache_folder() / f"{'-'.join(parts)}-f{FORMAT_VERSION}.npz"


def write_cache(path: pathlib.Path, episodes: Episodes, provenance: dict) -> None:
    """Writes the file whole or not at all; another process never sees a part of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    arrays = {field: getattr(episodes, field) for field in (*_FIELDS, *_OPTIONAL)}
    arrays = {field: np.asarray(values) for field, values in arrays.items() if values is not None}
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
            if "action_shape" in arrays:
                arrays["action_shape"] = tuple(arrays["action_shape"].astype(int).tolist())
            provenance = {"dataset_id": path.stem} | json.loads(str(file["provenance"]))
    except Exception as error:  # a damaged zip file makes NumPy raise almost anything
        raise UserError(
            f"{path}: not a readable flat cache ({type(error).__name__}: {error}). "
            "Delete it, or point config.data.path at another."
        ) from error
    return check_episodes(Episodes(name=str(provenance["dataset_id"]), **arrays)), provenance
