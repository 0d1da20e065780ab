"""Imported logs: one flat file each, by id, where ``config.data.minari_id`` finds them."""

from __future__ import annotations

import os
import pathlib
import re

from rvdt_jax.data.cache import write_cache
from rvdt_jax.data.episodes import Episodes
from rvdt_jax.data.importing import Imported
from rvdt_jax.data.layouts import KNOWN
from rvdt_jax.data.minari import find_local
from rvdt_jax.errors import UserError
from rvdt_jax.tasks import d4rl_references, other_counts

_ID = re.compile(r"\w[\w-]*(/\w[\w-]*)*-v\d+")


def data_folder() -> pathlib.Path:
    """``$RVDT_JAX_DATA``, or ``~/.local/share/rvdt_jax``."""
    default = pathlib.Path.home() / ".local" / "share" / "rvdt_jax"
    return pathlib.Path(os.environ.get("RVDT_JAX_DATA") or default).expanduser()


def imported_path(dataset_id: str) -> pathlib.Path:
    """The file of a data set, whether it is there or not."""
    return data_folder() / f"{dataset_id}.npz"


def find_imported(dataset_id: str) -> pathlib.Path | None:
    """The file of an imported data set; None where there is none."""
    path = imported_path(dataset_id)
    return path if path.is_file() else None


def check_free(dataset_id: str, *, overwrite: bool = False) -> None:
    """Refuses an id that is no id or that is taken.

    Raises:
        UserError: it is; the message says by what.
    """
    if not _ID.fullmatch(dataset_id):
        raise UserError(
            f"--id={dataset_id}: an id is made of letters, digits, _ and -, with / between its parts, and ends in a "
            "version: my/log-v0."
        )
    minari = find_local(dataset_id)
    if minari is not None:
        raise UserError(f"--id={dataset_id}: a Minari data set has that id ({minari}). Choose another.")
    if find_imported(dataset_id) and not overwrite:
        raise UserError(
            f"--id={dataset_id}: already imported, to {imported_path(dataset_id)}. Choose another version, or pass "
            "--overwrite to replace it."
        )


def d4rl_facts(episodes: Episodes, files: list[str], *, anyway: bool = False) -> dict:
    """What the provenance says of a data set whose file or id has a name of D4RL's; {} for others.

    That is ``d4rl_task``, ``ref_min_score`` and ``ref_max_score``; or ``noticed``, how it differs from D4RL's.

    Args:
        episodes: the data; their name is the id.
        files: what they were read from.
        anyway: allow other counts than those of D4RL's file; there are no reference scores then.

    Raises:
        UserError: the counts of D4RL's file are known, those of the data are others, and ``anyway`` is not set.
    """
    found = {"episodes": episodes.lengths.size, "steps": episodes.rewards.size}
    names = [pathlib.PurePath(file).stem.replace("_", "-") for file in files] if len(files) == 1 else []
    for name in (*names, episodes.name.rpartition("/")[2]):
        scores, differs = d4rl_references(name), other_counts(name, found)
        if scores and not differs:
            return {"d4rl_task": name, "ref_min_score": scores[0], "ref_max_score": scores[1]}
        if scores and anyway:
            return {"noticed": f"{differs}; scores are not normalised"}
        if scores:
            raise UserError(
                f"{', '.join(files)}: {differs}. Give the file and --id another name; or pass --anyway, and scores are "
                "not normalised."
            )
    return {}


def write_imported(
    imported: Imported, episodes: Episodes, files: list[str], *, overwrite: bool = False, anyway: bool = False
) -> tuple[pathlib.Path, dict]:
    """Writes the data set, whole or not at all.

    Args:
        imported: what was read.
        episodes: it, checked; their name is the id.
        files: what it was read from, for the record.
        overwrite: replace one of that id; it stays whole until the new one is.
        anyway: as for ``d4rl_facts``.

    Returns:
        The file and its provenance.

    Raises:
        UserError: the id is taken, or the data are not those that D4RL has under the name.
        OSError: the file cannot be written.
    """
    check_free(episodes.name, overwrite=overwrite)
    path = imported_path(episodes.name)
    columns = {role: value for role in KNOWN if (value := getattr(imported.roles, role))}
    provenance = {
        "dataset_id": episodes.name,
        "source": "import",
        "files": files,
        "columns": columns,
        "actions_beyond_bounds": int(imported.beyond.sum()),
        "content_digest": episodes.digest(),
        "observation_keys": [],
    } | d4rl_facts(episodes, files, anyway=anyway)
    write_cache(path, episodes, provenance)
    return path, provenance
