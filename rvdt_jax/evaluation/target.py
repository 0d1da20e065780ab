"""The evaluation environment of a run, and the returns that score 0 and 100."""

from __future__ import annotations

import dataclasses
import json
import logging
import math

from rvdt_jax.config.settings import Config
from rvdt_jax.data.episodes import Episodes
from rvdt_jax.tasks import Environment, Source, Task, find_source, get_task

log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Scoring:
    """How a run's policies are scored.

    Attributes:
        environment: None if there is none.
        ref_min_return, ref_max_return: raw returns that score 0 and 100; None reports raw returns only.
    """

    environment: Environment | None
    ref_min_return: float | None
    ref_max_return: float | None


def scoring_from_json(values: dict) -> Scoring:
    """The inverse of ``dataclasses.asdict``, from JSON."""
    environment = values["environment"]
    if environment is not None:
        lists = {name: tuple(value) for name, value in environment.items() if isinstance(value, list)}
        environment = Environment(**environment | lists)
    return Scoring(environment, values["ref_min_return"], values["ref_max_return"])


def spaces_of(episodes: Episodes, provenance: dict) -> dict:
    """The fields of ``Environment`` that say how the data's observations and actions are read."""
    bounds = episodes.action_low, episodes.action_high
    low, high = (() if bound is None else tuple(bound.tolist()) for bound in bounds)
    keys, offset = tuple(provenance.get("observation_keys", ())), episodes.observation_offset
    spaces = {"observation_keys": keys, "action_low": low, "action_high": high}
    return spaces | {"observation_offset": () if offset is None else tuple(offset.tolist())}


def choose_scoring(config: Config, episodes: Episodes, provenance: dict) -> Scoring:
    """Chooses ``config.env``, else the task's environment for this data set, else the one that the data set names.

    A task's environment and references apply to its data sets, with or without ``config.task``, and to other data
    under ``config.task``. A data set's own references apply to its own environment only, or to any if it names none.

    Args:
        config: resolved settings.
        episodes: the data, with their action bounds.
        provenance: the data set's metadata.
    """
    owner, source = find_source(provenance["dataset_id"]) or (None, None)
    task = get_task(config.task) if config.task else owner
    chosen = None if config.env == "none" else config.env
    env_id, spec = (chosen, None) if chosen else _choose_environment(task, source, episodes.name, provenance)
    if task is not None:
        references = task.ref_min_return, task.ref_max_return
    elif _own_id(provenance) in (None, chosen) or chosen is None:
        references = provenance.get("ref_min_score"), provenance.get("ref_max_score")
    else:
        references = None, None
    if not all(_is_number(value) for value in references) or references[0] == references[1]:
        references = None, None
    if env_id is None:
        log.warning("nothing will be scored: %s names no environment; set config.env", episodes.name)
        return Scoring(None, *references)
    spaces = spaces_of(episodes, provenance)
    return Scoring(Environment(env_id, spec, horizon_of(config, task), **spaces), *references)


def horizon_of(config: Config, task: Task | None) -> int | None:
    """Steps after which an episode is cut, by the settings or else the task; None: as the environment is registered."""
    return config.eval.horizon or (task.horizon if task else None)


def _choose_environment(
    task: Task | None, source: Source | None, name: str, provenance: dict
) -> tuple[str | None, str | None]:
    """The id, and the spec as JSON if it is the data set's own."""
    own_id, own_spec = _own_id(provenance), provenance.get("env_spec")
    if source is not None and task.source_of(source.dataset_id) and source.env_id is not None:
        if own_id not in (None, source.env_id):
            log.info("%s was collected in %s; %s scores it", name, own_id, source.env_id)
        return source.env_id, None
    known = {_kind(other.env_id) for other in task.sources if other.env_id} if task else ()
    if own_id is not None and (task is None or source is not None or _kind(own_id) in known):
        return own_id, own_spec
    if task is None:
        return None, None
    env_id = task.sources[0].env_id
    if own_id is not None:
        log.warning("%s was collected in %s, but %s, which is config.task's, scores it", name, own_id, env_id)
    return env_id, None


def _kind(env_id: str) -> str:
    """An environment's name without its version: Hopper-v4 and Hopper-v5 are of one kind."""
    return env_id.rpartition("-v")[0]


def _own_id(provenance: dict) -> str | None:
    """The id of the environment that the data set names, or None."""
    spec = provenance.get("env_spec")
    return None if spec is None else json.loads(spec)["id"]


def _is_number(value) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
