"""Loads a local Minari data set through the flat cache."""

from __future__ import annotations

import logging

from rvdt_jax.data.cache import cache_path, read_cache, write_cache
from rvdt_jax.data.episodes import Episodes, end_at_first_reward
from rvdt_jax.data.minari import content_digest, find_local, read_provenance
from rvdt_jax.data.minari.reader import read_minari
from rvdt_jax.errors import UserError

log = logging.getLogger(__name__)


def load_local(
    dataset_id: str,
    observation_keys: tuple[str, ...] = (),
    *,
    end_at_reward: bool = False,
    bounds_from_data: bool = False,
) -> tuple[Episodes, dict]:
    """Episodes and provenance of a local Minari data set.

    The first read writes the flat cache; later ones find it by the data set's content. An unreadable cache is rebuilt
    with a warning. If the cache cannot be written, loading goes on without it, with a warning.

    Args:
        dataset_id: its Minari id.
        observation_keys: the entries of dict observations that are read, in order; see ``spaces``.
        bounds_from_data: take the bounds of the actions from the data, not from their space.
        end_at_reward: read every episode up to its first reward only; see ``episodes.end_at_first_reward``.

    Raises:
        FileNotFoundError: no such data set on this machine.
        UserError: the data set is corrupt or breaks the episode contract.
    """
    folder = find_local(dataset_id)
    if folder is None:
        raise FileNotFoundError(f"{dataset_id}: there is no such Minari data set on this machine.")
    digest = content_digest(folder)
    path = cache_path(dataset_id, digest, observation_keys, end_at_reward, bounds_from_data)
    try:
        if path.exists():
            return read_cache(path)
    except (OSError, UserError) as error:
        log.warning("rebuilding the cache: %s", error)
    log.info("reading %s; a flat cache will make the next start fast", dataset_id)
    provenance = read_provenance(dataset_id, folder) | {"content_digest": digest}
    provenance["observation_keys"] = list(observation_keys)
    episodes = read_minari(dataset_id, folder, observation_keys, bounds_from_data=bounds_from_data)
    if end_at_reward:
        episodes = end_at_first_reward(episodes)
        provenance["episodes_end"] = "at the first reward, as the task's do; the data set goes on"
    try:
        write_cache(path, episodes, provenance)
    except OSError as error:
        log.warning("going on without a cache: %s cannot be written (%s)", path, error)
    return episodes, provenance
