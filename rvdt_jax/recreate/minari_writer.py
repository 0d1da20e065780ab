"""Writing a collected recording as a local Minari data set, whole or not at all.

The data set is built under a hidden folder of the Minari root, which Minari does not list, and renamed into place when
it is complete. A process that dies leaves only such a folder; the next writer clears it away, and puts back a data set
that was being replaced at that moment.
"""

from __future__ import annotations

import contextlib
import os
import pathlib
import platform
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator

import gymnasium
import minari
import numpy as np
from minari.data_collector import EpisodeBuffer
from minari.storage import get_dataset_path
from tqdm import tqdm

from rvdt_jax.tasks import Task

_HIDDEN = ".incomplete-"  # then the writer's process id, its host, and something random
_REPLACED = "replaced"  # where, in the hidden folder, the data set waits that is being replaced


class DatasetExists(ValueError):
    """The data set is there already, and nothing says that it may be replaced."""


def write_dataset(
    dataset_id: str, task: Task, collect: Callable, about: dict, *, overwrite: bool, progress: bool
) -> str:
    """Collects, writes and publishes a data set.

    Args:
        dataset_id: its Minari id.
        task: gives the environment and D4RL's reference returns.
        collect: returns the ``Recording``; called only once it is clear that the result may be written.
        about: further metadata: ``description`` and whatever tells how it was made.
        overwrite: replace an existing data set; it stays whole until the new one is.
        progress: show a progress bar.

    Raises:
        DatasetExists: it does, and ``overwrite`` is False.
    """
    root = get_dataset_path()
    clear_leftovers(root)
    _check_free(root, dataset_id, overwrite)
    hidden = pathlib.Path(tempfile.mkdtemp(prefix=f"{_HIDDEN}{os.getpid()}-{platform.node()}-", dir=root))
    try:
        recording = collect()
        with _minari_root(hidden):
            _write(dataset_id, task, recording, about, progress)
        _check_free(root, dataset_id, overwrite)  # another writer may have been faster
        _publish(hidden, dataset_id, root)
    finally:
        _put_back(hidden, root)
        shutil.rmtree(hidden, ignore_errors=True)
    return dataset_id


def _check_free(root: pathlib.Path, dataset_id: str, overwrite: bool) -> None:
    if (root / dataset_id).exists() and not overwrite:
        raise DatasetExists(
            f"{dataset_id}: already exists in {root / dataset_id}. Use it as it is, or pass --overwrite to replace it."
        )


def _write(dataset_id: str, task: Task, recording, about: dict, progress: bool) -> None:
    spec = gymnasium.spec(task.env_id)
    about = dict(about)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Minari asks for an author, an e-mail address and a link to the code
        dataset = minari.create_dataset_from_buffers(
            dataset_id=dataset_id,
            buffer=_episodes(recording, progress),
            env=spec,
            algorithm_name="waypoint controller (D4RL's recipe)",
            ref_min_score=task.ref_min_return,
            ref_max_score=task.ref_max_return,
            description=about.pop("description"),
            data_format="hdf5",
        )
    dataset.storage.update_metadata(about)


def _episodes(recording, progress: bool) -> Iterator[EpisodeBuffer]:
    """One episode per segment: T actions and T + 1 observations, the last step truncated."""
    ends = np.flatnonzero(recording.ends) + 1
    starts = np.concatenate([[0], ends[:-1]])
    total = zip(starts.tolist(), ends.tolist(), strict=True)
    for start, end in tqdm(total, total=len(ends), desc="writing", unit="episode", disable=not progress):
        last = recording.next_observations[end - 1 : end]
        yield EpisodeBuffer(
            observations=np.concatenate([recording.observations[start:end], last]),
            actions=recording.actions[start:end],
            rewards=recording.rewards[start:end],
            terminations=np.zeros(end - start, bool),
            truncations=np.arange(start, end) == end - 1,
            infos={},
        )


def _publish(hidden: pathlib.Path, dataset_id: str, root: pathlib.Path) -> None:
    final, replaced = root / dataset_id, hidden / _REPLACED / dataset_id
    final.parent.mkdir(parents=True, exist_ok=True)
    namespace_metadata = hidden.joinpath(dataset_id).parent / "namespace_metadata.json"
    if namespace_metadata.exists() and not (final.parent / namespace_metadata.name).exists():
        os.replace(namespace_metadata, final.parent / namespace_metadata.name)
    if final.exists():
        replaced.parent.mkdir(parents=True)
        os.rename(final, replaced)
    os.rename(hidden / dataset_id, final)


def _put_back(hidden: pathlib.Path, root: pathlib.Path) -> None:
    """Undoes a replacement that was cut off between its two moves."""
    for data in list(hidden.joinpath(_REPLACED).glob("**/data")):
        dataset_id = data.parent.relative_to(hidden / _REPLACED)
        if not (root / dataset_id).exists():
            os.rename(data.parent, root / dataset_id)


@contextlib.contextmanager
def _minari_root(root: pathlib.Path) -> Iterator[None]:
    """Minari knows its root by an environment variable only."""
    before = os.environ.get("MINARI_DATASETS_PATH")
    os.environ["MINARI_DATASETS_PATH"] = str(root)
    try:
        yield
    finally:
        if before is None:
            del os.environ["MINARI_DATASETS_PATH"]
        else:
            os.environ["MINARI_DATASETS_PATH"] = before


def clear_leftovers(root: pathlib.Path) -> None:
    """Removes the hidden folders of this host's writers that are no longer alive."""
    for folder in root.glob(f"{_HIDDEN}*"):
        process, _, rest = folder.name.removeprefix(_HIDDEN).partition("-")
        host = rest.rpartition("-")[0]
        if process.isdigit() and host == platform.node() and not _alive(int(process)):
            _put_back(folder, root)
            shutil.rmtree(folder, ignore_errors=True)


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
