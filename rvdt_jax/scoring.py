"""What scores a policy: the evaluation environment of a run, and the returns that count as 0 and 100."""

from __future__ import annotations

import dataclasses
import json
import logging
import math

from rvdt_jax.config import Config
from rvdt_jax.data.episodes import Episodes
from rvdt_jax.tasks import Environment, Task, get_task

log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Scoring:
    """How a run's policies are scored.

    Attributes:
        environment: None where nothing is scored.
        ref_min_return, ref_max_return: raw returns that score 0 and 100; None where there are none, and then only raw
            returns are reported.
    """

    environment: Environment | None
    ref_min_return: float | None
    ref_max_return: float | None


def scoring_from_json(values: dict) -> Scoring:
    """The inverse of ``dataclasses.asdict``, after a file."""
    environment = values["environment"]
    if environment is not None:
        lists = {name: tuple(value) for name, value in environment.items() if isinstance(value, list)}
        environment = Environment(**environment | lists)
    return Scoring(environment, values["ref_min_return"], values["ref_max_return"])


def spaces_of(episodes: Episodes, provenance: dict) -> dict:
    """What of an observation was trained on, and what actions stand for; fields of ``Environment``."""
    bounds = episodes.action_low, episodes.action_high
    low, high = (() if bound is None else tuple(bound.tolist()) for bound in bounds)
    keys = tuple(provenance.get("observation_keys", ()))
    return {"observation_keys": keys, "action_low": low, "action_high": high}


def choose_scoring(config: Config, episodes: Episodes, provenance: dict) -> Scoring:
    """The environment is ``config.env``; else the task's for this data set; else the one the data set names.

    Args:
        config: resolved settings.
        episodes: the data; they know what their actions stand for.
        provenance: what the data set says of itself.
    """
    task = get_task(config.task) if config.task else None
    if task is not None:
        references = task.ref_min_return, task.ref_max_return
    else:
        references = provenance.get("ref_min_score"), provenance.get("ref_max_score")
    if not all(_is_number(value) for value in references) or references[0] == references[1]:
        references = None, None
    return Scoring(_choose_environment(config, task, episodes, provenance), *references)


def _is_number(value) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _choose_environment(config: Config, task: Task | None, episodes: Episodes, provenance: dict) -> Environment | None:
    own_id, own_spec = provenance.get("env_id"), provenance.get("env_spec")
    if config.env == "none":
        log.info("nothing will be scored: config.env=none")
        return None
    env_id, spec = config.env, None
    if env_id is None and task is not None:
        source = task.source_of(provenance["dataset_id"])
        env_id = source.env_id if source else task.sources[0].env_id
    if env_id is None and own_spec is not None:
        env_id, spec = json.loads(own_spec)["id"], own_spec
    if env_id is None and task is not None:
        env_id = task.sources[0].env_id
    if env_id is None:
        log.warning("nothing will be scored: %s names no environment; name one with config.env", episodes.name)
        return None
    if own_id not in (None, env_id) and config.env is None:
        log.info("%s was collected in %s; %s scores it", episodes.name, own_id, env_id)
    return Environment(
        id=env_id,
        spec=spec,
        horizon=config.eval.horizon or (task.horizon if task else None),
        **spaces_of(episodes, provenance),
    )
