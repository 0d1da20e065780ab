"""The settings of a run as frozen dataclasses, and how they come about.

A file in ``experiments/configs`` starts from ``rvdt_jax.defaults``, which documents every field. ``resolve`` is the
only reader of a ConfigDict in the package: it fills what was left unset from the variant and the task, checks every
value, and returns a ``Config`` that nothing can change. Explicit settings win over the task's and the variant's.
"""

from __future__ import annotations

import dataclasses
import json

from ml_collections import ConfigDict

from rvdt_jax.config_checks import check_config, check_seeds, check_set, check_targets
from rvdt_jax.defaults import default_config
from rvdt_jax.differences import differences
from rvdt_jax.tasks import Task, get_task
from rvdt_jax.variants import get_variant


@dataclasses.dataclass(frozen=True)
class TrainConfig:
    """Length and optimisation of training; the fields are documented in ``rvdt_jax.defaults``."""

    steps: int
    batch_size: int
    learning_rate: float
    lr_decay_steps: int
    grad_clip_norm: float
    weight_decay: float
    log_every: int
    checkpoint_every: int
    keep_checkpoints: int


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    """Sizes of the networks."""

    width: int
    layers: int
    heads: int
    context_length: int
    dropout: float
    dtype: str
    critic_width: int
    critic_layers: int


@dataclasses.dataclass(frozen=True)
class LossConfig:
    """The terms of the objective and their weights."""

    eta: float
    alpha: float
    gamma: float
    rebalancing: str
    q_guidance: bool
    target_rate: float
    state_prediction: float


@dataclasses.dataclass(frozen=True)
class EmaConfig:
    """The slow copy of the policy that bootstraps the TD target."""

    decay: float
    every: int
    start: int


@dataclasses.dataclass(frozen=True)
class ExpertConfig:
    """Which trajectories are expert."""

    fraction: float
    threshold: float | None
    only: bool


@dataclasses.dataclass(frozen=True)
class PolicyConfig:
    """The policy's distribution and what it sees."""

    head: str
    std: float
    learn_std: bool
    condition_on_return: bool
    return_scale: float


@dataclasses.dataclass(frozen=True)
class EvalConfig:
    """How policies are scored."""

    every: int
    episodes: int
    curve_episodes: int
    targets: tuple[float, ...]
    action_selection: str


@dataclasses.dataclass(frozen=True)
class DataConfig:
    """Where the data comes from."""

    source: str
    minari_id: str
    path: str | None


@dataclasses.dataclass(frozen=True)
class ParallelConfig:
    """How the work is laid on the hardware."""

    devices: int
    seeds: str


@dataclasses.dataclass(frozen=True)
class Config:
    """Everything that determines a run."""

    task: str
    variant: str
    seeds: tuple[int, ...]
    workdir: str | None
    train: TrainConfig
    model: ModelConfig
    loss: LossConfig
    ema: EmaConfig
    expert: ExpertConfig
    policy: PolicyConfig
    eval: EvalConfig
    data: DataConfig
    parallel: ParallelConfig


def resolve(settings: ConfigDict) -> Config:
    """Fills what was left unset and checks everything, before any work is done.

    Raises:
        ValueError: a setting is missing, unknown or out of range; the message names field and remedy.
    """
    values = settings.to_dict()
    if not values["task"]:
        raise ValueError("config.task is not set. Name a task, e.g. --config.task=maze2d-umaze-v1.")
    check_set(values, default_config().to_dict())
    task, variant = get_task(values["task"]), get_variant(values["variant"])
    _fill_from_task(values, task)
    own = dataclasses.asdict(variant)
    _fill(values["loss"], rebalancing=own["rebalancing"], q_guidance=own["q_guidance"])
    _fill(values["policy"], head=own["head"], condition_on_return=own["condition_on_return"])
    _fill(values["expert"], only=own["expert_only"])
    if values["loss"]["eta"] is not None and values["loss"]["eta"] > 0 and not values["loss"]["q_guidance"]:
        raise ValueError(
            f"config.loss.eta is set, but variant {values['variant']} has no Q-guidance. Leave it unset, choose a "
            "variant with Q-guidance, or set config.loss.q_guidance=True."
        )
    _fill(values["loss"], eta=task.eta if values["loss"]["q_guidance"] else 0.0)
    _fill(values["parallel"], devices=0)
    _fill(values["train"], checkpoint_every=values["eval"]["every"])
    config = Config(
        task=values["task"],
        variant=values["variant"],
        seeds=check_seeds(values["seeds"]),
        workdir=values["workdir"],
        train=TrainConfig(**values["train"]),
        model=ModelConfig(**values["model"]),
        loss=LossConfig(**values["loss"]),
        ema=EmaConfig(**values["ema"]),
        expert=ExpertConfig(**values["expert"]),
        policy=PolicyConfig(**values["policy"]),
        eval=EvalConfig(**values["eval"] | {"targets": check_targets(values["eval"]["targets"])}),
        data=DataConfig(**values["data"]),
        parallel=ParallelConfig(**values["parallel"]),
    )
    check_config(config)
    return config


def _fill(section: dict, **defaults) -> None:
    for name, value in defaults.items():
        if section[name] is None:
            section[name] = value


def _fill_from_task(values: dict, task: Task) -> None:
    _fill(
        values["train"],
        steps=task.train_steps,
        lr_decay_steps=task.lr_decay_steps,
        grad_clip_norm=task.grad_clip_norm,
    )
    _fill(values["model"], context_length=task.context_length)
    _fill(values["policy"], return_scale=task.return_scale)
    _fill(values["eval"], targets=task.targets)
    _fill(values["data"], minari_id=task.dataset_id)


def to_json(config: Config) -> dict:
    """The settings as plain JSON values, for ``config.json``."""
    return dataclasses.asdict(config)


def from_json(values: dict) -> Config:
    """The inverse of ``to_json``."""
    parts = {field.name: field.type for field in dataclasses.fields(Config)}
    sections = {name: globals()[kind] for name, kind in parts.items() if kind.endswith("Config")}
    built = {name: kind(**values[name]) for name, kind in sections.items()}
    built["eval"] = dataclasses.replace(built["eval"], targets=tuple(built["eval"].targets))
    plain = {name: values[name] for name in parts if name not in sections}
    return Config(**plain | built | {"seeds": tuple(values["seeds"])})


def training_settings(values: dict) -> dict:
    """The part of ``to_json``'s values that determines the trained parameters."""
    kept = {name: value for name, value in values.items() if name not in ("workdir", "parallel", "eval")}
    bookkeeping = ("log_every", "checkpoint_every", "keep_checkpoints")
    kept["train"] = {name: value for name, value in values["train"].items() if name not in bookkeeping}
    return json.loads(json.dumps(kept))


def run_differences(config: Config, values: dict) -> list[str]:
    """Where ``config.json``'s values describe another run than ``config`` does, its place and hardware aside."""
    skipped = ("workdir", "parallel")
    own = json.loads(json.dumps(to_json(config)))
    here, there = ({k: v for k, v in side.items() if k not in skipped} for side in (own, values))
    return differences(there, here, "config.")
