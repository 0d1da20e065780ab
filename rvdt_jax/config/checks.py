"""What the fields of a configuration may be."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

from rvdt_jax.algorithms.variants import HEADS, REBALANCINGS
from rvdt_jax.errors import UserError, did_you_mean

if TYPE_CHECKING:
    from rvdt_jax.config.settings import Config

DTYPES = ("float32", "bfloat16")
ON_DIVERGENCE = ("stop", "skip", "rollback")
POSITIONS = ("episode", "window")
EXPERTS_BY = ("start", "return")
SOURCES = ("auto", "minari", "file", "memory")
CRITIC_NORMS = ("none", "layer")
GUIDANCE_RETURNS = ("data", "target", "both")
ACTION_SELECTIONS = ("mean", "sample", "critic", "best_of")
SEED_MAPPINGS = ("auto", "vmap", "loop")
# None until the data have been seen.
FROM_DATA = ("model.context_length", "policy.return_scale", "eval.targets", "data.minari_id")
LOG_STD_RANGE = (-5.0, 0.5)  # a learned log-std is clipped to this


def check_config(config: Config) -> None:
    """Checks every field, and the fields against each other.

    Raises:
        UserError: naming the field and the remedy.
    """
    for name, choices in (
        ("loss.rebalancing", REBALANCINGS),
        ("policy.head", HEADS),
        ("model.dtype", DTYPES),
        ("model.positions", POSITIONS),
        ("model.critic_norm", CRITIC_NORMS),
        ("loss.guidance_return", GUIDANCE_RETURNS),
        ("train.on_divergence", ON_DIVERGENCE),
        ("expert.by", EXPERTS_BY),
        ("data.source", SOURCES),
        ("eval.action_selection", ACTION_SELECTIONS),
        ("parallel.seeds", SEED_MAPPINGS),
    ):
        if _get(config, name) not in choices:
            raise UserError(f"config.{name} is {_get(config, name)!r}; choose one of {', '.join(choices)}.")
    for name, low, high in _RANGES:
        value = _get(config, name)
        if value is None and name in (*FROM_DATA, "eval.horizon", "loss.n_step"):
            continue
        if not (math.isfinite(value) and low <= value <= high):
            bound = f" and between {low:g} and {high:g}" if math.isfinite(high) else f" and at least {low:g}"
            raise UserError(f"config.{name} is {value}; it must be finite{bound if math.isfinite(low) else ''}.")
    _check_together(config)


def check_names_data(config: Config) -> None:
    """Refuses settings that name no data; ``rvdt_jax.fit`` is handed them, and everything else needs a name.

    Raises:
        UserError: naming both ways out.
    """
    if not (config.task or config.data.minari_id or config.data.path):
        raise UserError(
            "config.task is not set. Name a task, e.g. --config.task=maze2d-umaze-v1, or data of your own: "
            "--config.data.minari_id=ID for a Minari data set."
        )


_INF = math.inf
_MAX_INT = 2**31 - 1  # counts become int32
_TINY = 1e-12  # the least value of what must be positive
_RANGES = (
    ("train.steps", 1, _MAX_INT),
    ("train.batch_size", 1, _MAX_INT),
    ("train.learning_rate", 0, _INF),
    ("train.critic_learning_rate", 0, _INF),
    ("train.lr_decay_steps", 1, _MAX_INT),
    ("train.grad_clip_norm", _TINY, _INF),
    ("train.weight_decay", 0, _INF),
    ("train.log_every", 1, _MAX_INT),
    ("train.keep_checkpoints", 1, _MAX_INT),
    ("model.width", 1, _MAX_INT),
    ("model.layers", 1, _MAX_INT),
    ("model.heads", 1, _MAX_INT),
    ("model.context_length", 1, _MAX_INT),
    ("model.dropout", 0, 0.99),
    ("model.critic_width", 1, _MAX_INT),
    ("model.critic_layers", 1, _MAX_INT),
    ("model.critic_fourier_features", 0, _MAX_INT),
    ("model.policy_fourier_features", 0, _MAX_INT),
    ("model.fourier_scale", _TINY, _INF),
    ("loss.eta", 0, _INF),
    ("loss.eta_warmup", 0, _MAX_INT),
    ("loss.n_step", 1, _MAX_INT),
    ("loss.alpha", 0, _INF),
    ("loss.gamma", 0, 1),
    ("loss.reward_scale", _TINY, _INF),
    ("loss.reward_shift", -_INF, _INF),
    ("loss.target_rate", 0, 1),
    ("loss.state_prediction", 0, _INF),
    ("ema.decay", 0, 1),
    ("ema.every", 1, _MAX_INT),
    ("ema.start", 0, _MAX_INT),
    ("expert.fraction", _TINY, 1),
    ("data.fraction", _TINY, 1),
    ("data.subset_seed", 0, _MAX_INT),
    ("policy.std", _TINY, _INF),
    ("policy.return_scale", _TINY, _INF),
    ("eval.every", 1, _MAX_INT),
    ("train.checkpoint_every", 1, _MAX_INT),  # unset it follows eval.every, which is to blame first
    ("eval.episodes", 1, _MAX_INT),
    ("eval.curve_episodes", 1, _MAX_INT),
    ("eval.horizon", 1, _MAX_INT),
    ("eval.candidates", 1, _MAX_INT),
    ("eval.processes", 0, 1024),
    ("eval.parallel_episodes", 1, _MAX_INT),
    ("parallel.devices", 0, _MAX_INT),
)


def check_set(values: dict, defaults: dict, prefix: str = "config.") -> None:
    """Refuses settings that are missing, or whose default was taken away; those that have none may stay unset.

    Raises:
        UserError: naming the field.
    """
    for name, default in defaults.items():
        if name not in values or isinstance(default, dict) != isinstance(values[name], dict):
            raise UserError(f"{prefix}{name} is missing. Begin with rvdt_jax.default_config(), which has every field.")
        if isinstance(default, dict):
            check_set(values[name], default, f"{prefix}{name}.")
        elif default is not None and values[name] is None:
            raise UserError(f"{prefix}{name} is None. Leave it at its default, {default!r}, or give it a value.")
    unknown = next((name for name in values if name not in defaults), None)
    if unknown is not None:
        raise UserError(f"there is no field {prefix}{unknown}.{did_you_mean(unknown, defaults)}")


def check_seeds(seeds: tuple) -> tuple[int, ...]:
    """Returns one or more different int32 seeds, none negative.

    Raises:
        UserError: they are not.
    """
    fine = all(isinstance(seed, int) and not isinstance(seed, bool) and 0 <= seed <= _MAX_INT for seed in seeds)
    if not seeds or not fine or len(set(seeds)) < len(seeds):
        raise UserError(f"config.seeds is {seeds}; give one or more different whole numbers from 0 to {_MAX_INT}.")
    return tuple(seeds)


def check_targets(targets: tuple, field: str = "config.eval.targets") -> tuple[float, ...]:
    """Returns one or more finite target returns as floats.

    Raises:
        UserError: they are not.
    """
    fine = all(isinstance(target, int | float) and math.isfinite(target) for target in targets)
    if not targets or not fine or len(set(targets)) < len(targets):
        raise UserError(f"{field} is {targets}; give one or more different, finite target returns.")
    return tuple(float(target) for target in targets)


_DATASET_ID = re.compile(r"[\w-]+(/[\w.-]*[\w-])*")


def _check_together(config: Config) -> None:
    """Conditions between fields."""
    if config.policy.learn_std and config.policy.head != "gaussian":
        raise UserError("config.policy.learn_std=True needs policy.head=gaussian: a deterministic head has no std.")
    if config.policy.learn_std and not LOG_STD_RANGE[0] < math.log(config.policy.std) < LOG_STD_RANGE[1]:
        low, high = (math.exp(bound) for bound in LOG_STD_RANGE)
        raise UserError(
            f"config.policy.std={config.policy.std} is where a learned std begins; it must lie between {low:.3g} and "
            f"{high:.3g}, to which the std is clipped."
        )
    if config.expert.threshold is not None and not math.isfinite(config.expert.threshold):
        raise UserError(f"config.expert.threshold is {config.expert.threshold}; it must be finite.")
    if config.model.width % config.model.heads:
        raise UserError(f"config.model.width={config.model.width} is not a multiple of heads={config.model.heads}.")
    for name in ("eval.every", "train.checkpoint_every"):
        if _get(config, name) % config.train.log_every:
            raise UserError(
                f"config.{name}={_get(config, name)} is not a multiple of train.log_every={config.train.log_every}."
            )
    length = config.model.context_length
    if config.loss.q_guidance and length is not None and length < 2:
        raise UserError("config.model.context_length must be at least 2 with Q-guidance: TD needs a next step.")
    selection = config.eval.action_selection
    if selection in ("critic", "best_of") and not config.loss.q_guidance:
        raise UserError(f"config.eval.action_selection={selection} needs a critic: choose a variant with Q-guidance.")
    if config.eval.action_selection == "sample" and config.policy.head != "gaussian":
        raise UserError("config.eval.action_selection=sample needs policy.head=gaussian.")
    if config.loss.rebalancing == "kl_explicit" and config.policy.head != "gaussian":
        raise UserError("config.loss.rebalancing=kl_explicit needs policy.head=gaussian: a KL takes two densities.")
    if config.data.source == "file" and not config.data.path:
        raise UserError("config.data.source=file needs config.data.path, a flat cache file.")
    keys = config.data.observation_keys
    if keys is not None and (not all(isinstance(key, str) and key for key in keys) or len(set(keys)) < len(keys)):
        raise UserError(f"config.data.observation_keys is {keys}; give different names, separated by commas.")
    named = config.data.minari_id is not None and config.data.source != "memory"
    if named and not _DATASET_ID.fullmatch(config.data.minari_id):
        raise UserError(
            f"config.data.minari_id={config.data.minari_id!r} is no Minari id: names of letters, digits, _ and -, "
            "separated by /, such as D4RL/pen/human-v2."
        )
    if config.data.path and config.data.source != "file":
        raise UserError(f"config.data.path is set, but config.data.source is {config.data.source}; set it to file.")


def _get(config: Config, dotted: str):
    value = config
    for name in dotted.split("."):
        value = getattr(value, name)
    return value
