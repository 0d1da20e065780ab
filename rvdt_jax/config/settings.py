"""From a file of settings to the frozen ``Config`` of a run.

A file in ``experiments/configs`` begins with ``default_config``. ``resolve`` is the only reader of a ConfigDict in the
package: it fills what was left unset, checks every value, and returns a ``Config`` that nothing can change. Values that
are given win over those of the size, the task and the variant; those that the variant has no use for are ignored, with
a line in the log. ``complete_config`` fills what only the data can tell.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np
from ml_collections import ConfigDict

from rvdt_jax.config.checks import check_complete, check_config, check_seeds, check_targets
from rvdt_jax.config.declaration import flat
from rvdt_jax.config.defaults import default_config
from rvdt_jax.config.fields import FIELDS, Config
from rvdt_jax.config.filling import fill_in
from rvdt_jax.config.serialization import from_leaves, to_json

VALUE_SCALE = 10.0  # of the critics' values, where the data alone say how large returns are
CONTEXT_LENGTH = 20  # without a task: QT's for most of its tasks


def resolve(settings: ConfigDict) -> Config:
    """Fills what was left unset and checks everything, before any work is done.

    Raises:
        UserError: a setting is missing, unknown or out of range; the message names field and remedy.
    """
    leaves = flat(settings.to_dict())
    check_complete(leaves)
    fill_in(leaves)
    leaves |= {name: leaves[name] or None for name in ("task", "env")}
    leaves["seeds"] = check_seeds(leaves["seeds"])
    if leaves["eval.targets"] is not None:
        leaves["eval.targets"] = check_targets(leaves["eval.targets"])
    leaves["data.observation_keys"] = _split_names(leaves["data.observation_keys"])
    config = from_leaves(leaves)
    check_config(config)
    return config


def _split_names(names: tuple | None) -> tuple | None:
    """The names, also where several came as one, as a flag with commas gives them."""
    if names is None or not all(isinstance(name, str) for name in names):
        return names
    return tuple(part.strip() for name in names for part in name.split(","))


def complete_config(
    config: Config, returns: np.ndarray, longest: int, dataset_id: str | None = None, reachable: float | None = None
) -> Config:
    """Fills what only the data can tell, and checks again; settings that are there stay.

    Args:
        config: resolved settings.
        returns: (E,) the raw returns of the data's episodes.
        longest: steps of the longest of them.
        dataset_id: their Minari id, if they have one.
        reachable: the largest return that an episode can have, where rewards are sparse.

    Raises:
        UserError: as ``resolve``.
    """
    leaves, largest = flat(to_json(config)), float(np.abs(returns).max()) or 1.0
    span = config.loss.return_span
    found = {
        "model.context_length": min(CONTEXT_LENGTH, longest),
        "policy.return_scale": largest,
        # Guidance must not depend on the unit of the rewards.
        "loss.reward_scale": VALUE_SCALE / largest if span is None else span / (float(np.ptp(returns)) or 1.0),
        "eval.targets": targets_of(returns, reachable),
    }
    if config.data.source != "file":
        found["data.minari_id"] = dataset_id
    config = from_leaves(leaves | {name: value for name, value in found.items() if leaves[name] is None})
    check_config(config)
    return config


def targets_of(returns: np.ndarray, reachable: float | None = None) -> tuple[float, ...]:
    """Target returns for data without a task: the maximum, the 90th percentile, and the maximum plus 20 % of the range.

    Where rewards are sparse (``Episodes.reachable_return``) the largest return that an episode can have is one more:
    data of many purposes show little of what a good policy earns. Rounded to six digits of the range, so that they
    read well; equal ones once.
    """
    best = float(returns.max())
    chosen = [best, float(np.percentile(returns, 90)), best + 0.2 * (best - float(returns.min()))]
    if reachable is not None and reachable > best:
        chosen.append(reachable)
    digits = 5 - math.floor(math.log10(float(np.ptp(returns)) or abs(best) or 1.0))
    return tuple(dict.fromkeys(round(target, digits) for target in chosen))


def left_open(settings: Config | ConfigDict | None) -> tuple[str, ...]:
    """Of the fields that a resumed run keeps where they are unset, those unset here; () for resolved settings."""
    if isinstance(settings, Config):
        return ()
    leaves = flat((default_config() if settings is None else settings).to_dict())
    return tuple(name for name, field in FIELDS.items() if field.resume == "kept" and leaves[name] is None)


def settings_for(dataset_id: str, source: str, settings: Config | ConfigDict | None) -> Config:
    """Resolved settings for data that the caller names: a Minari id, or with source ``memory`` any name."""
    place = {"source": source, "minari_id": dataset_id, "path": None}
    if isinstance(settings, Config):
        config = dataclasses.replace(settings, data=dataclasses.replace(settings.data, **place))
        check_config(config)
        return config
    settings = default_config() if settings is None else settings.copy_and_resolve_references()
    settings.data.update(place)
    return resolve(settings)
