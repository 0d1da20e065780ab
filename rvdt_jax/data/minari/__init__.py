"""Local Minari data sets: finding them, their content digest and their metadata."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import pathlib

from rvdt_jax.errors import UserError, one_line
from rvdt_jax.files import read_text

ROOT_VARIABLE = "MINARI_DATASETS_PATH"  # Minari's own


def find_local(dataset_id: str) -> pathlib.Path | None:
    """The folder of a local Minari data set, or None if there is none.

    Raises:
        UserError: the id is a path that leads elsewhere.
    """
    if pathlib.PurePath(dataset_id).is_absolute() or ".." in pathlib.PurePath(dataset_id).parts:
        raise UserError(f"{dataset_id!r} is no Minari id: it leads out of the folder of data sets.")
    folder = minari_root() / dataset_id / "data"
    return folder if folder.is_dir() else None


def minari_root() -> pathlib.Path:
    """Where Minari keeps data sets: ``$MINARI_DATASETS_PATH``, or ``~/.minari/datasets``."""
    default = pathlib.Path.home() / ".minari" / "datasets"
    return pathlib.Path(os.environ.get(ROOT_VARIABLE) or default).expanduser()


def list_local() -> list[str]:
    """The ids of all local Minari data sets."""
    root = minari_root()
    found = (path.parent.parent.relative_to(root) for path in root.glob("**/data/metadata.json"))
    return sorted(path.as_posix() for path in found if not path.as_posix().startswith("."))


def content_digest(folder: pathlib.Path) -> str:
    """A digest of the names and contents of all files in the data set's folder.

    Raises:
        UserError: a file cannot be read.
    """
    digest = hashlib.blake2b(digest_size=16)
    try:
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            digest.update(str(path.relative_to(folder)).encode())
            with path.open("rb") as file:
                digest.update(hashlib.file_digest(file, "blake2b").digest())
    except OSError as error:
        raise UserError(
            f"{folder}: the data set cannot be read ({error}). Correct the permissions of its folder and files."
        ) from error
    return digest.hexdigest()


def read_provenance(dataset_id: str, folder: pathlib.Path) -> dict:
    """A data set's origin, from its metadata.

    Returns:
        ``dataset_id``, ``source``, and what is there of ``env_id`` (where it was collected), ``env_spec`` (Gymnasium's
        JSON of the environment that it names for evaluation, else of ``env_id``), ``ref_min_score``,
        ``ref_max_score`` (raw returns) and its other facts.

    Raises:
        UserError: the metadata cannot be read.
    """
    try:
        metadata = json.loads(read_text(folder / "metadata.json"))
        if not isinstance(metadata, dict):
            raise ValueError("metadata.json holds no table")
    except (OSError, ValueError, RecursionError) as error:
        raise corrupt(dataset_id, folder, error) from error
    about = {"dataset_id": dataset_id, "source": "minari"} | {key: metadata[key] for key in _KNOWN if key in metadata}
    with contextlib.suppress(KeyError, TypeError, ValueError):  # not every data set knows its environment
        about["env_id"] = json.loads(metadata["env_spec"])["id"]
        about["env_spec"] = metadata.get("eval_env_spec") or metadata["env_spec"]
    return about


_KNOWN = (
    *("recreated", "recipe", "policies", "training", "seed", "versions", "description", "minari_version"),
    *("algorithm_name", "ref_min_score", "ref_max_score", "d4rl_task", "original_file"),
)


def corrupt(dataset_id: str, folder: pathlib.Path, error: Exception) -> UserError:
    """The error for a data set that cannot be read."""
    return UserError(
        f"{dataset_id}: the data set in {folder.parent} cannot be read ({type(error).__name__}: {one_line(error)}). "
        "Move that folder away, then download or recreate the data set."
    )
