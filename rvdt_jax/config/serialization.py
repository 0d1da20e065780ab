"""Settings as JSON values: what ``config.json`` and checkpoints keep of them, and how two runs' settings compare."""

from __future__ import annotations

import dataclasses
import json
import typing

from rvdt_jax.config.checks import FROM_DATA
from rvdt_jax.config.settings import Config
from rvdt_jax.errors import differences


def to_json(config: Config) -> dict:
    """The settings as plain JSON values, for ``config.json``."""
    return dataclasses.asdict(config)


def from_json(values: dict) -> Config:
    """The inverse of ``to_json``; fields missing from older values get the value that reproduces the old behaviour."""
    values = complete_older(values)
    parts = typing.get_type_hints(Config)
    sections = {name: kind for name, kind in parts.items() if dataclasses.is_dataclass(kind)}
    built = {name: kind(**values[name]) for name, kind in sections.items()}
    if built["eval"].targets is not None:
        built["eval"] = dataclasses.replace(built["eval"], targets=tuple(built["eval"].targets))
    if built["data"].observation_keys is not None:
        built["data"] = dataclasses.replace(built["data"], observation_keys=tuple(built["data"].observation_keys))
    plain = {name: values[name] for name in parts if name not in sections}
    return Config(**plain | built | {"seeds": tuple(values["seeds"])})


# Settings that came later, by section, with what was done before they came.
_YOUNGER = {
    "data": {"regime": None, "fraction": 1.0, "subset_seed": 0},
    "expert": {"by": "return"},
    "model": {
        "positions": "episode",
        "critic_norm": "none",
        "critic_fourier_features": 0,
        "policy_fourier_features": 0,
        "fourier_scale": 1.0,
    },
    "eval": {"candidates": 32},
    "loss": {"eta_warmup": 0, "guidance_return": "data", "n_step": None},
    "train": {"on_divergence": "stop"},
}


# Settings that are gone, by section; none of them changed a result.
_GONE = {"model": ("plain",)}


def complete_older(values: dict) -> dict:
    """``to_json``'s values, or a part of them, of any version, with today's fields."""
    completed = values | {name: _YOUNGER[name] | values[name] for name in _YOUNGER if name in values}
    completed |= {name: _without(completed[name], fields) for name, fields in _GONE.items() if name in values}
    if "train" in values:
        completed["train"] = {"critic_learning_rate": values["train"]["learning_rate"]} | completed["train"]
    return completed


# Where the data lie. What they are, a digest of their content says.
_PLACE_OF_DATA = ("source", "path")


# What may change while a run goes on: how long it trains, what is written when, how it is scored.
_CHANGEABLE = {
    "train": ("steps", "lr_decay_steps", "log_every", "checkpoint_every", "keep_checkpoints"),
    "eval": ("every", "episodes", "curve_episodes", "targets", "horizon", "action_selection", "candidates"),
}


def training_settings(values: dict) -> dict:
    """The part of ``to_json``'s values, of any version, that must stay the same for training to go on.

    With it, the seeds and the data, a checkpoint depends only on the learning rates on the way to it: on
    ``train.lr_decay_steps``, which may be changed.
    """
    values = complete_older(values)
    kept = {name: value for name, value in values.items() if name not in ("workdir", "parallel", "eval", "env")}
    kept["train"] = _without(values["train"], _CHANGEABLE["train"])
    kept["data"] = _without(values["data"], _PLACE_OF_DATA)
    return json.loads(json.dumps(kept))


def _without(section: dict, names: tuple[str, ...]) -> dict:
    return {name: value for name, value in section.items() if name not in names}


def run_differences(config: Config, values: dict) -> list[str]:
    """Where ``config.json``'s values describe another run than ``config`` does.

    What may change while a run goes on does not count, nor its place and hardware; nor what only the data can tell, as
    long as ``config`` leaves it open.
    """
    guided = config.loss.guidance_return != "data"  # under the targets
    here, there = (_identity(json.loads(json.dumps(side)), guided) for side in (to_json(config), values))
    for section, field in (name.split(".") for name in FROM_DATA):
        if section in here and here[section].get(field) is None:
            here[section][field] = there[section].get(field)
    return differences(there, here, "config.")


def _identity(values: dict, with_targets: bool) -> dict:
    kept = training_settings(values)
    return kept | {"eval": {"targets": values["eval"]["targets"]}} if with_targets else kept


def changes(config: Config, values: dict) -> dict[str, list]:
    """What may change while a run goes on, and does: by name its value in ``config.json``, and in ``config``."""
    here, there = json.loads(json.dumps(to_json(config))), complete_older(values)
    pairs = {"env": [there["env"], here["env"]]}
    for section, fields in _CHANGEABLE.items():
        pairs |= {f"{section}.{field}": [there[section][field], here[section][field]] for field in fields}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}
