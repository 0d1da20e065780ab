"""Loads the data of a run: from this machine, from Minari's servers, or by recreating them."""

from __future__ import annotations

import contextlib
import logging
import pathlib

from rvdt_jax.config.checks import check_names_data
from rvdt_jax.config.settings import Config
from rvdt_jax.data.cache import read_cache
from rvdt_jax.data.episodes import Episodes
from rvdt_jax.data.imported import find_imported
from rvdt_jax.data.minari import find_local, list_local, minari_root
from rvdt_jax.data.source import load_local
from rvdt_jax.errors import UserError, nearest, optional_imports
from rvdt_jax.tasks import Source, Task, find_source, get_task

log = logging.getLogger(__name__)


@optional_imports("Reading and making data sets")
def load_episodes(config: Config, *, progress: bool = True) -> tuple[Episodes, dict]:
    """The data that ``config`` names, and their provenance.

    ``data.source=auto`` tries in this order: an imported log of that id; a local Minari data set; Minari's servers;
    recreation, if the task has a recipe. Without ``data.minari_id`` the task's data sets are tried in the order of
    ``tasks``.

    Raises:
        UserError: no source is available (the message lists every way to get the data), or the data are corrupt or
            break the episode contract.
    """
    check_names_data(config)
    if config.data.source == "file":
        return _load_file(config, pathlib.Path(config.data.path).expanduser())
    if config.data.source == "memory":
        raise UserError("config.data.source=memory means episodes given to rvdt_jax.fit; choose auto, minari or file.")
    imported = config.data.source == "auto" and config.data.minari_id and find_imported(config.data.minari_id)
    if imported:
        return _load_file(config, imported)
    candidates = _candidates(config)
    source = next((source for _, source in candidates if find_local(source.dataset_id)), None)
    if source is None:
        _check_no_ruins(candidates)
        if config.data.source == "minari":
            if config.data.minari_id and find_imported(config.data.minari_id):
                raise UserError(
                    f"config.data.source=minari: {config.data.minari_id} is no Minari data set, but a log that "
                    "import_data.py has read. Set config.data.source=auto."
                )
            raise UserError(_missing(config, candidates, "config.data.source=minari looks no further"))
        source = _obtain(config, candidates, progress)
    keys = source.observation_keys if config.data.observation_keys is None else config.data.observation_keys
    if source.end_at_reward:
        log.info("%s: its episodes continue after success; they are read up to the first reward", source.dataset_id)
    from_data = config.data.action_bounds == "data"
    return load_local(source.dataset_id, keys, end_at_reward=source.end_at_reward, bounds_from_data=from_data)


def _load_file(config: Config, path: pathlib.Path) -> tuple[Episodes, dict]:
    """A flat file, which holds the entries of dict observations that it was written with, and no others."""
    episodes, provenance = read_cache(path)
    wanted = config.data.observation_keys
    held = provenance.setdefault("observation_keys", list(wanted or ()))  # a user's own file may not name them
    if wanted is not None and list(wanted) != held:
        raise UserError(
            f"config.data.observation_keys={','.join(wanted)}: {path} holds "
            f"{','.join(held) or 'plain observations'}. Leave it unset, or read the data set itself."
        )
    return episodes, provenance


def _candidates(config: Config) -> list[tuple[Task | None, Source]]:
    """The data sets to try, in order, each with its task."""
    dataset_id, task = config.data.minari_id, get_task(config.task) if config.task else None
    if dataset_id is None:
        return [(task, source) for source in task.sources]
    owner, source = find_source(dataset_id) or (None, Source("remote", dataset_id, None))
    if task is not None and owner not in (None, task) and config.env is None:
        raise UserError(
            f"config.data.minari_id={dataset_id} belongs to {owner.name}, but config.task is {task.name}. Set "
            f"config.task={owner.name}, or name the evaluation environment with config.env."
        )
    return [(owner, source)]


def _check_no_ruins(candidates: list[tuple[Task | None, Source]]) -> None:
    """Refuses a folder in the place of a data set that holds none: an incomplete copy, or a namespace."""
    for _, source in candidates:
        folder = minari_root() / source.dataset_id
        if folder.exists():
            raise UserError(
                f"{source.dataset_id}: {folder} exists, but holds no data set. Move it away, or correct the id."
            )


def _obtain(config: Config, candidates: list[tuple[Task | None, Source]], progress: bool) -> Source:
    """Downloads or recreates the first source that is available."""
    from rvdt_jax.data.remote import Unreachable, download

    reason = "none of them is on Minari's servers"
    for _, source in candidates:
        if source.kind == "remote":
            try:
                download(source.dataset_id)
                return source
            except Unreachable as error:
                reason = str(error)
    for task, source in candidates:
        if source.kind == "recipe" and source in task.sources and task.recipe_steps:
            words = "%s is not on this machine (%s): recreating it once, by D4RL's published recipe, %s steps"
            log.info(words, source.dataset_id, reason, f"{task.recipe_steps:,}")
            from rvdt_jax.data.minari.writer import DatasetExists
            from rvdt_jax.recreate import recreate

            with contextlib.suppress(DatasetExists):  # another process was faster: its data set is the same
                recreate(task.name, progress=progress)
            return source
    raise UserError(_missing(config, candidates, reason))


def _missing(config: Config, candidates: list[tuple[Task | None, Source]], reason: str) -> str:
    """The message for missing data: what is missing, and every way to get it."""
    ids = [source.dataset_id for _, source in candidates]
    name = f"config.data.minari_id={config.data.minari_id}" if config.data.minari_id else f"config.task={config.task}"
    kinds = ("recipe", "remote", "import")
    ways = [_way(task, source) for kind in kinds for task, source in candidates if source.kind == kind]
    if config.data.minari_id:
        ways.append(f"import a log of your own with experiments/import_data.py --file=FILE --id={ids[0]}")
    ways.append(f"copy the data set's folder from another machine to {minari_root() / ids[0]}")
    near = nearest(ids[0], list_local(), cutoff=0.8)
    hint = f" Did you mean {near!r}, which is here?" if near and config.data.minari_id else ""
    return f"{name}: no data set {' or '.join(ids)} on this machine ({reason}).{hint} To get one, {'; or '.join(ways)}."


def _way(task: Task | None, source: Source) -> str:
    """How to get a data set, in words that follow 'to get one,'."""
    if source.kind == "recipe" and not task.recipe_steps:
        return (
            f"train its policy, then make it: python experiments/train_collectors.py "
            f"--robot={task.name.split('-')[0]} --goal=medium, and python experiments/recreate.py --task={task.name}"
        )
    if source.kind == "recipe":
        also = "" if source in task.sources else ", with the --steps and the --seed that the id names"
        return f"make it here: python experiments/recreate.py --task={task.name}{also}"
    if source.kind == "remote":
        return f"with a network: minari download {source.dataset_id}"
    file = task.file_url.rsplit("/", 1)[-1]
    return f"download {task.file_url} and run: python experiments/import_d4rl.py --task={task.name} --file={file}"
