"""Reading Minari data sets into checked episodes."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import pathlib

import numpy as np

from rvdt_jax.data.episodes import Episodes, check_episodes


def find_local(dataset_id: str) -> pathlib.Path | None:
    """The folder of a local Minari data set, or None where there is none."""
    root = os.environ.get("MINARI_DATASETS_PATH") or os.path.join(os.path.expanduser("~"), ".minari", "datasets")
    folder = pathlib.Path(root, dataset_id, "data")
    return folder if folder.is_dir() else None


def content_digest(folder: pathlib.Path) -> str:
    """A digest of every file in the data set's folder: another content is another digest."""
    digest = hashlib.blake2b(digest_size=16)
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        digest.update(str(path.relative_to(folder)).encode())
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "blake2b").digest())
    return digest.hexdigest()


def read_provenance(dataset_id: str, folder: pathlib.Path) -> dict:
    """What the data set says of itself: id, recipe, seed, versions, and whether it was recreated.

    Raises:
        ValueError: the metadata cannot be read.
    """
    try:
        metadata = json.loads(folder.joinpath("metadata.json").read_text(encoding="utf-8"))
        if not isinstance(metadata, dict):
            raise ValueError("metadata.json holds no table")
    except (OSError, ValueError) as error:
        raise _corrupt(dataset_id, folder, error) from error
    known = ("recreated", "recipe", "seed", "versions", "description", "minari_version", "algorithm_name")
    about = {"dataset_id": dataset_id, "source": "minari"} | {key: metadata[key] for key in known if key in metadata}
    with contextlib.suppress(KeyError, TypeError, ValueError):  # not every data set knows its environment
        about["env_id"] = json.loads(metadata["env_spec"])["id"]
    return about


def read_minari(dataset_id: str, folder: pathlib.Path) -> Episodes:
    """All episodes of a local Minari data set with Box observations and Box actions, observations flattened.

    Minari keeps T + 1 observations per episode; the last one, after the last action, is dropped.

    Raises:
        ValueError: the data set is corrupt, holds other spaces, or breaks the episode contract.
    """
    import gymnasium
    import minari

    # Minari and h5py raise whatever a corrupt file makes them stumble over, RuntimeError and AttributeError included.
    try:
        dataset = minari.MinariDataset(folder)
        spaces = {"observations": dataset.observation_space, "actions": dataset.action_space}
    except Exception as error:
        raise _corrupt(dataset_id, folder, error) from error
    for name, space in spaces.items():
        if not isinstance(space, gymnasium.spaces.Box):
            raise ValueError(f"{dataset_id}: {name} are {space}; only Box spaces can be read.")
    try:
        episodes = list(dataset.iterate_episodes())
    except Exception as error:
        raise _corrupt(dataset_id, folder, error) from error
    if not episodes:
        raise ValueError(f"{dataset_id}: the data set has no episodes. Check its id, or collect it again.")
    for episode in episodes:
        _check_lengths(dataset_id, episode)
    low, high = spaces["actions"].low, spaces["actions"].high
    if not (np.allclose(low, -1.0) and np.allclose(high, 1.0)):
        raise ValueError(f"{dataset_id}: actions are bounded by {low} and {high}; only [-1, 1] can be read.")
    return check_episodes(
        Episodes(
            name=dataset_id,
            observations=_flat([episode.observations[:-1] for episode in episodes]),
            actions=_flat([episode.actions for episode in episodes]),
            rewards=np.concatenate([episode.rewards for episode in episodes]).astype(np.float32),
            lengths=np.array([len(episode.rewards) for episode in episodes], dtype=np.int64),
            terminated=np.array([bool(episode.terminations[-1]) for episode in episodes]),
        )
    )


def _flat(parts: list[np.ndarray]) -> np.ndarray:
    values = np.concatenate(parts)
    return values.reshape(len(values), -1).astype(np.float32)


def _check_lengths(dataset_id: str, episode) -> None:
    steps = len(episode.rewards)
    if steps == 0:
        raise ValueError(f"{dataset_id}: episode {episode.id} has no steps. Remove it from the data set.")
    if np.asarray(episode.terminations[:-1]).any():
        raise ValueError(
            f"{dataset_id}: episode {episode.id} terminates before its last step. Split it there, or drop it."
        )
    expected = {"observations": steps + 1, "actions": steps, "terminations": steps, "truncations": steps}
    for field, length in expected.items():
        if len(getattr(episode, field)) != length:
            raise ValueError(
                f"{dataset_id}: episode {episode.id} has {steps} rewards but {len(getattr(episode, field))} {field}; "
                f"expected {length}. Repair or drop that episode."
            )


def _corrupt(dataset_id: str, folder: pathlib.Path, error: Exception) -> ValueError:
    return ValueError(
        f"{dataset_id}: the data set in {folder.parent} cannot be read ({type(error).__name__}: {error}). "
        "Move that folder away, then download or recreate the data set."
    )
