"""What the fields of a configuration may be: one by one, as declared, and together."""

from __future__ import annotations

import math
import operator
import re

from rvdt_jax.config.declaration import Setting
from rvdt_jax.config.fields import FIELDS, Config
from rvdt_jax.errors import UserError, did_you_mean

MAX_INT = 2**31 - 1  # counts become int32
LOG_STD_RANGE = (-5.0, 0.5)  # a learned log-std is clipped to this
_KINDS = {int: "a whole number", float: "a number", bool: "True or False", str: "a string", tuple: "a tuple"}
_DATASET_ID = re.compile(r"[\w-]+(/[\w.-]*[\w-])*")


def check_config(config: Config) -> None:
    """Checks every field, and the fields against each other.

    Raises:
        UserError: naming the field and the remedy.
    """
    for field in sorted(FIELDS.values(), key=lambda field: field.same_as is not None):  # what those follow comes first
        value = _get(config, field.name)
        if value is not None or not field.optional:
            check_value(f"config.{field.name}", value, field)
    _check_networks(config)
    _check_schedule(config)
    _check_data(config)


def check_value(name: str, value, field: Setting) -> None:
    """Refuses a value that is not of the declared type, or not among the choices or in the range.

    Raises:
        UserError: naming the field as ``name``, and what it may be.
    """
    fitting = (int, float) if field.kind is float else field.kind
    if not isinstance(value, fitting) or (isinstance(value, bool) and field.kind is not bool):
        raise UserError(f"{name} is {value!r}; it must be {_KINDS[field.kind]}.")
    if field.choices and value not in field.choices:
        raise UserError(f"{name} is {value!r}; choose one of {', '.join(field.choices)}.")
    if field.kind not in (int, float):
        return
    low = -math.inf if field.low is None else field.low
    largest = MAX_INT if field.kind is int else math.inf
    high = largest if field.high is None else field.high
    if not (math.isfinite(value) and low <= value <= high):
        bound = f" and between {low:g} and {high:g}" if math.isfinite(high) else f" and at least {low:g}"
        raise UserError(f"{name} is {value}; it must be finite{bound if math.isfinite(low) else ''}.")


def check_names_data(config: Config) -> None:
    """Refuses settings that name no data, by a UserError; only ``rvdt_jax.fit`` is handed them."""
    if not (config.task or config.data.minari_id or config.data.path):
        raise UserError(
            "config.task is not set. Name a task, e.g. --config.task=maze2d-umaze-v1, or data of your own: "
            "--config.data.minari_id=ID, of a log that experiments/import_data.py imported or of a Minari data set."
        )


def check_complete(leaves: dict) -> None:
    """Refuses settings, by dotted name, that lack a field, have an unknown one, or were set to None: UserError."""
    for name in leaves:
        if name not in FIELDS:
            raise UserError(f"there is no field config.{name}.{did_you_mean(name, FIELDS)}")
    for name, field in FIELDS.items():
        if name not in leaves:
            raise UserError(f"config.{name} is missing. Begin with rvdt_jax.default_config(), which has every field.")
        if leaves[name] is None and not field.begins_unset:
            raise UserError(f"config.{name} is None. Leave it at its default, {field.default!r}, or give it a value.")


def check_seeds(seeds: tuple) -> tuple[int, ...]:
    """Returns one or more different int32 seeds, none negative; UserError if they are not."""
    fine = all(isinstance(seed, int) and not isinstance(seed, bool) and 0 <= seed <= MAX_INT for seed in seeds)
    if not seeds or not fine:
        raise UserError(f"config.seeds is {seeds}; give one or more different whole numbers from 0 to {MAX_INT}.")
    repeated = sorted(seed for seed in set(seeds) if seeds.count(seed) > 1)
    if repeated:
        raise UserError(f"config.seeds is {seeds}: {', '.join(map(str, repeated))} is given more than once.")
    return tuple(seeds)


def check_targets(targets: tuple, field: str = "config.eval.targets") -> tuple[float, ...]:
    """Returns one or more finite target returns as floats; UserError if they are not."""
    fine = all(isinstance(target, int | float) and math.isfinite(target) for target in targets)
    if not targets or not fine or len(set(targets)) < len(targets):
        raise UserError(f"{field} is {targets}; give one or more different, finite target returns.")
    return tuple(float(target) for target in targets)


def _check_networks(config: Config) -> None:
    """What policy, critic and losses ask of each other."""
    policy, loss, selection = config.policy, config.loss, config.eval.action_selection
    if policy.learn_std and policy.head != "gaussian":
        raise UserError("config.policy.learn_std=True needs policy.head=gaussian: a deterministic head has no std.")
    if policy.learn_std and not LOG_STD_RANGE[0] < math.log(policy.std) < LOG_STD_RANGE[1]:
        low, high = (math.exp(bound) for bound in LOG_STD_RANGE)
        raise UserError(
            f"config.policy.std={policy.std} is where a learned std begins; it must lie between {low:.3g} and "
            f"{high:.3g}, to which the std is clipped."
        )
    if config.model.width % config.model.heads:
        raise UserError(f"config.model.width={config.model.width} is not a multiple of heads={config.model.heads}.")
    if selection in ("critic", "best_of") and not loss.q_guidance:
        raise UserError(f"config.eval.action_selection={selection} needs a critic: choose a variant with Q-guidance.")
    if selection == "sample" and policy.head != "gaussian":
        raise UserError("config.eval.action_selection=sample needs policy.head=gaussian.")
    if config.data.relabel == "value" and not policy.condition_on_return:
        raise UserError(
            f"config.data.relabel=value raises returns-to-go, which {config.variant} does not see. Set it to none, or "
            "choose a variant that sees them, such as QDT."
        )
    if loss.rebalancing == "kl_explicit" and policy.head != "gaussian":
        raise UserError("config.loss.rebalancing=kl_explicit needs policy.head=gaussian: a KL takes two densities.")


def _check_schedule(config: Config) -> None:
    every = config.train.log_every
    for name in ("eval.every", "train.checkpoint_every"):
        if _get(config, name) % every:
            raise UserError(f"config.{name}={_get(config, name)} is not a multiple of train.log_every={every}.")


def _check_data(config: Config) -> None:
    data = config.data
    if data.source == "file" and not data.path:
        raise UserError("config.data.source=file needs config.data.path, a flat cache file.")
    if data.path and data.source != "file":
        raise UserError(f"config.data.path is set, but config.data.source is {data.source}; set it to file.")
    keys = data.observation_keys
    if keys is not None and (not all(isinstance(key, str) and key for key in keys) or len(set(keys)) < len(keys)):
        raise UserError(f"config.data.observation_keys is {keys}; give different names, separated by commas.")
    if data.minari_id is not None and data.source != "memory" and not _DATASET_ID.fullmatch(data.minari_id):
        raise UserError(
            f"config.data.minari_id={data.minari_id!r} is no Minari id: names of letters, digits, _ and -, "
            "separated by /, such as D4RL/pen/human-v2."
        )


def _get(config: Config, dotted: str):
    return operator.attrgetter(dotted)(config)
