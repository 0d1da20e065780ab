"""Writes a local Minari data set, whole or not at all.

The data set is built in a hidden folder of the Minari root, which Minari does not list, and renamed into place when it
is complete. A process that dies leaves only such a folder. The next writer removes it, and restores a data set that was
being replaced at that moment.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import os
import pathlib
import shutil
import tempfile
import warnings
from collections.abc import Callable, Generator, Iterable, Iterator

import numpy as np

from rvdt_jax.data.minari import ROOT_VARIABLE, minari_root
from rvdt_jax.errors import UserError
from rvdt_jax.files import has_died, owner

_HIDDEN = ".incomplete-"  # then the writer's process id, its host, and something random
_REPLACED = "replaced"  # where, in the hidden folder, the data set waits that is being replaced


class DatasetExists(UserError):
    """The data set exists already, and ``overwrite`` is False."""


@dataclasses.dataclass(frozen=True)
class About:
    """Metadata of a data set.

    Attributes:
        env_id: Gymnasium id of its environment; ``module:id``, as ``gymnasium.make`` takes it, if importing the module
            registers it.
        observation_size, action_size: S and A; actions lie in [-1, 1].
        algorithm: what acted.
        description: sentences for its users.
        facts: further metadata, JSON values by name. Of these, Minari knows ``ref_min_score`` and ``ref_max_score``,
            the raw returns that score 0 and 100.
    """

    env_id: str
    observation_size: int
    action_size: int
    algorithm: str
    description: str
    facts: dict


def write_dataset(
    dataset_id: str, about: About, make_episodes: Callable[[], Generator[dict]], *, overwrite: bool = False
) -> str:
    """Writes and publishes a data set.

    Args:
        dataset_id: its Minari id.
        about: its metadata.
        make_episodes: called once the id is known to be free. Generates one dict per episode, of ``observations``
            (T + 1, S), ``actions`` (T, A), ``rewards``, ``terminations`` and ``truncations`` (T,), never more than one
            in memory. Meanwhile Minari's root is a hidden folder.
        overwrite: replace an existing data set; it stays whole until the new one is.

    Raises:
        DatasetExists: the data set exists, and ``overwrite`` is False.
        gymnasium.error.Error: no environment has that id; raised before any episode is made.
    """
    with staging(dataset_id, overwrite=overwrite):
        env_spec = _env_spec(about.env_id)
        with contextlib.closing(make_episodes()) as episodes:  # it may hold processes
            _write(dataset_id, about, env_spec, episodes)
    return dataset_id


@contextlib.contextmanager
def staging(dataset_id: str, *, overwrite: bool = False) -> Iterator[None]:
    """Within this context Minari writes into a hidden folder; at its end every new data set is moved into place.

    Raises:
        DatasetExists: the data set exists, and ``overwrite`` is False.
    """
    root = minari_root()
    root.mkdir(parents=True, exist_ok=True)
    clear_leftovers(root)
    check_free(dataset_id, overwrite=overwrite)
    hidden = pathlib.Path(tempfile.mkdtemp(prefix=f"{_HIDDEN}{owner()}-", dir=root))
    try:
        with _minari_root(hidden):
            yield
        check_free(dataset_id, overwrite=overwrite)  # another writer may have been faster
        for data in sorted(hidden.glob("**/data/metadata.json")):
            found = data.parent.parent.relative_to(hidden).as_posix()
            if found == dataset_id or not (root / found).exists():  # a combined data set brings its parts
                _publish(hidden, found, root)
    finally:
        _put_back(hidden, root)
        shutil.rmtree(hidden, ignore_errors=True)


def check_free(dataset_id: str, *, overwrite: bool = False) -> None:
    """Refuses an id that is taken. Call it before long work whose result is to be written.

    Raises:
        DatasetExists: the data set exists, and ``overwrite`` is False.
    """
    folder = minari_root() / dataset_id
    if folder.exists() and not overwrite:
        raise DatasetExists(
            f"{dataset_id}: already exists in {folder}. Use it as it is, or pass --overwrite to replace it."
        )


def split_recording(columns: dict[str, np.ndarray], terminated: np.ndarray, truncated: np.ndarray) -> Generator[dict]:
    """Cuts steps that were recorded one after the other into episodes, as ``write_dataset`` takes them.

    Args:
        columns: ``observations`` (N, S), ``actions`` (N, A), ``rewards`` (N,), and the ``next_observations`` (N, S)
            after each action. Without them an episode's last observation is repeated.
        terminated, truncated: (N,) bool. The last step counts as truncated if it is neither.
    """
    truncated = truncated.copy()
    truncated[-1] |= not terminated[-1]
    following = columns.get("next_observations", columns["observations"])
    start = 0
    for end in (np.flatnonzero(terminated | truncated) + 1).tolist():
        yield {
            "observations": np.concatenate([columns["observations"][start:end], following[end - 1 : end]]),
            "actions": columns["actions"][start:end],
            "rewards": columns["rewards"][start:end],
            "terminations": terminated[start:end],
            "truncations": truncated[start:end],
        }
        start = end


def _env_spec(env_id: str) -> str:
    """Gymnasium's JSON of an environment, enough to make it where nothing has registered it."""
    import gymnasium

    module, _, name = env_id.rpartition(":")
    if module:  # gymnasium.make knows this form, gymnasium.spec does not
        importlib.import_module(module)
    return gymnasium.spec(name).to_json()


def _write(dataset_id: str, about: About, env_spec: str, episodes: Iterable[dict]) -> None:
    import gymnasium
    import minari
    from minari.data_collector import EpisodeBuffer

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Minari asks for an author, an e-mail address and a link to the code
        dataset = minari.create_dataset_from_buffers(
            dataset_id=dataset_id,
            buffer=(EpisodeBuffer(**episode, infos={}) for episode in episodes),
            observation_space=gymnasium.spaces.Box(-np.inf, np.inf, (about.observation_size,), np.float32),
            action_space=gymnasium.spaces.Box(-1.0, 1.0, (about.action_size,), np.float32),
            algorithm_name=about.algorithm,
            description=about.description,
            data_format="hdf5",
        )
    # Given the environment itself, Minari would make one, a simulator started to write an array; and without it, it
    # keeps no reference scores.
    dataset.storage.update_metadata(about.facts | {"env_spec": env_spec})


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
    """Changes Minari's root, which Minari reads from an environment variable."""
    before = os.environ.get(ROOT_VARIABLE)
    os.environ[ROOT_VARIABLE] = str(root)
    try:
        yield
    finally:
        os.environ.pop(ROOT_VARIABLE)
        if before is not None:
            os.environ[ROOT_VARIABLE] = before


def clear_leftovers(root: pathlib.Path) -> None:
    """Removes the hidden folders of this host's writers that are no longer alive."""
    for folder in root.glob(f"{_HIDDEN}*"):
        if has_died(folder.name.removeprefix(_HIDDEN).rpartition("-")[0]):
            _put_back(folder, root)
            shutil.rmtree(folder, ignore_errors=True)
