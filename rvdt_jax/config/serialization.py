"""Settings as JSON values: what ``config.json`` and checkpoints keep of them, and how two runs' settings compare."""

from __future__ import annotations

import dataclasses
import json
import typing

from rvdt_jax.config.declaration import REQUIRED, flat, nested
from rvdt_jax.config.fields import FIELDS, GONE, Config
from rvdt_jax.config.filling import unused
from rvdt_jax.errors import differences


def to_json(config: Config) -> dict:
    """The settings as plain JSON values, for ``config.json``."""
    return dataclasses.asdict(config)


def from_json(values: dict) -> Config:
    """The inverse of ``to_json``; fields missing from older values get the value that reproduces the old behaviour."""
    return from_leaves(flat(complete_older(values)))


def from_leaves(leaves: dict[str, object]) -> Config:
    """The settings whose fields have these values, by dotted name."""
    parts = nested({name: tuple(value) if isinstance(value, list) else value for name, value in leaves.items()})
    kinds = typing.get_type_hints(Config)
    return Config(**{name: kinds[name](**part) if isinstance(part, dict) else part for name, part in parts.items()})


def complete_older(values: dict) -> dict:
    """``to_json``'s values, or some of their sections, of any version, with today's fields."""
    leaves = {name: value for name, value in flat(values).items() if name not in GONE}
    for name, field in FIELDS.items():
        if name in leaves or (field.resume != "same" and name.count(".") and name.split(".")[0] not in values):
            continue
        if field.older is not REQUIRED:
            leaves[name] = field.older
        elif field.same_as in leaves:
            leaves[name] = leaves[field.same_as]
    return nested(leaves)


def training_settings(values: dict) -> dict:
    """The part of ``to_json``'s values, of any version, that must stay the same for training to go on.

    With it, the seeds and the data, a checkpoint depends only on the learning rates on the way to it: on
    ``train.lr_decay_steps``, which may be changed. Where the data lie does not count; a digest says what they are. Nor
    does what the run does not use.
    """
    used = flat(used_settings(values))
    return nested({name: value for name, value in used.items() if FIELDS[name].resume == "same"})


def used_settings(values: dict) -> dict:
    """``to_json``'s values, of any version, with today's fields, but for those that the run does not use."""
    leaves = _leaves(values)
    idle = unused(leaves)
    return nested({name: value for name, value in leaves.items() if name not in idle})


def run_differences(config: Config, values: dict) -> list[str]:
    """Where ``config.json``'s values describe another run than ``config`` does.

    What may change while a run goes on does not count, nor its place and hardware, nor what it does not use; nor what
    only the data can tell, as long as ``config`` leaves it open.
    """
    sides = _leaves(to_json(config)), _leaves(values)
    guided = config.loss.guidance_return != "data"  # under the targets
    same = {name for name, field in FIELDS.items() if field.resume == "same" or (guided and name == "eval.targets")}
    open_still = {name for name, field in FIELDS.items() if field.from_data and sides[0][name] is None}
    counted = same - open_still - unused(sides[0]).keys()
    here, there = ({name: side[name] for name in counted} for side in sides)
    return differences(there, here, "config.")


def changes(config: Config, values: dict) -> dict[str, list]:
    """What may change while a run goes on, and does: by name its value in ``config.json``, and in ``config``."""
    here, there = _leaves(to_json(config)), _leaves(values)
    names = [name for name, field in FIELDS.items() if field.resume == "kept"]
    return {name: [there[name], here[name]] for name in names if there[name] != here[name]}


def keep(config: Config, values: dict, names: set[str]) -> Config:
    """The settings with the values that ``config.json`` has for the fields ``names``."""
    there = _leaves(values)
    return from_leaves(_leaves(to_json(config)) | {name: there[name] for name in names})


def _leaves(values: dict) -> dict[str, object]:
    """The fields of ``to_json``'s values, of any version, by dotted name, as a file has them."""
    return flat(complete_older(json.loads(json.dumps(values))))
