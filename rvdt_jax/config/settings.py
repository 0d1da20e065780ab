"""The settings of a run as frozen dataclasses, and how they come about.

A file in ``experiments/configs`` starts from ``default_config``, which documents every field. ``resolve`` is the
only reader of a ConfigDict in the package: it fills what was left unset from the variant and the task, checks every
value, and returns a ``Config`` that nothing can change. Explicit settings win over the task's and the variant's; those
that the variant has no use for are ignored, with a line in the log.
``complete_config`` fills what only the data can tell.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from ml_collections import ConfigDict

from rvdt_jax.config.checks import check_config, check_seeds, check_set, check_targets
from rvdt_jax.config.defaults import default_config
from rvdt_jax.config.filling import CONTEXT_LENGTH, fill_in, split_names


@dataclasses.dataclass(frozen=True)
class TrainConfig:
    """Length and optimisation of training; the fields are documented in ``rvdt_jax.config.defaults``."""

    steps: int
    batch_size: int
    learning_rate: float
    critic_learning_rate: float
    lr_decay_steps: int
    grad_clip_norm: float
    weight_decay: float
    log_every: int
    checkpoint_every: int
    on_divergence: str
    keep_checkpoints: int


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    """Sizes of the networks."""

    width: int
    layers: int
    heads: int
    context_length: int | None
    dropout: float
    dtype: str
    critic_width: int
    critic_layers: int
    critic_norm: str
    critic_fourier_features: int
    policy_fourier_features: int
    fourier_scale: float
    positions: str


@dataclasses.dataclass(frozen=True)
class LossConfig:
    """The terms of the objective and their weights."""

    eta: float
    eta_warmup: int
    guidance_return: str
    alpha: float
    n_step: int | None
    gamma: float
    rebalancing: str
    q_guidance: bool
    reward_scale: float
    reward_shift: float
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

    by: str
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
    return_scale: float | None


@dataclasses.dataclass(frozen=True)
class EvalConfig:
    """How policies are scored."""

    every: int
    episodes: int
    curve_episodes: int
    targets: tuple[float, ...] | None
    horizon: int | None
    processes: int
    parallel_episodes: int
    action_selection: str
    candidates: int


@dataclasses.dataclass(frozen=True)
class DataConfig:
    """Where the data comes from, and how much of it is used."""

    source: str
    minari_id: str | None
    observation_keys: tuple[str, ...] | None
    path: str | None
    regime: str | None
    fraction: float
    subset_seed: int


@dataclasses.dataclass(frozen=True)
class ParallelConfig:
    """How the work is laid on the hardware."""

    devices: int
    seeds: str


@dataclasses.dataclass(frozen=True)
class Config:
    """Everything that determines a run.

    What only the data can tell may be None until ``complete_config`` has seen them: ``model.context_length`` (without a
    task), ``policy.return_scale``, ``eval.targets``, ``data.minari_id``.
    """

    task: str | None
    variant: str
    seeds: tuple[int, ...]
    workdir: str | None
    env: str | None
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
        UserError: a setting is missing, unknown or out of range; the message names field and remedy.
    """
    values = settings.to_dict()
    check_set(values, default_config().to_dict())
    fill_in(values)
    targets, keys = values["eval"]["targets"], split_names(values["data"]["observation_keys"])
    config = Config(
        task=values["task"] or None,
        variant=values["variant"],
        seeds=check_seeds(values["seeds"]),
        workdir=values["workdir"],
        env=values["env"] or None,
        train=TrainConfig(**values["train"]),
        model=ModelConfig(**values["model"]),
        loss=LossConfig(**values["loss"]),
        ema=EmaConfig(**values["ema"]),
        expert=ExpertConfig(**values["expert"]),
        policy=PolicyConfig(**values["policy"]),
        eval=EvalConfig(**values["eval"] | {"targets": None if targets is None else check_targets(targets)}),
        data=DataConfig(**values["data"] | {"observation_keys": keys}),
        parallel=ParallelConfig(**values["parallel"]),
    )
    check_config(config)
    return config


def complete_config(
    config: Config,
    returns: np.ndarray,
    longest: int,
    dataset_id: str | None = None,
    reachable: float | None = None,
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
    model, policy, scoring = config.model, config.policy, config.eval
    if model.context_length is None:
        model = dataclasses.replace(model, context_length=min(CONTEXT_LENGTH, longest))
    if policy.return_scale is None:
        policy = dataclasses.replace(policy, return_scale=float(np.abs(returns).max()) or 1.0)
    if scoring.targets is None:
        scoring = dataclasses.replace(scoring, targets=targets_of(returns, reachable))
    data = config.data
    if data.minari_id is None and data.source != "file":
        data = dataclasses.replace(data, minari_id=dataset_id)
    config = dataclasses.replace(config, model=model, policy=policy, eval=scoring, data=data)
    check_config(config)
    return config


def targets_of(returns: np.ndarray, reachable: float | None = None) -> tuple[float, ...]:
    """Target returns for data without a task: the maximum, the 90th percentile, and the maximum raised by 20 %.

    Where rewards are sparse (``Episodes.reachable_return``) the largest return that an episode can have is one more:
    data of many purposes show little of what a good policy earns. Six significant digits, so that they read well; equal
    ones once.
    """
    best = float(returns.max())
    chosen = [best, float(np.percentile(returns, 90)), best + 0.2 * abs(best)]
    if reachable is not None and reachable > best:
        chosen.append(reachable)
    return tuple(dict.fromkeys(float(f"{target:.6g}") for target in chosen))


# Fields that a run which goes on keeps where they are left unset.
_KEPT = ("train.steps", "train.lr_decay_steps", "eval.targets", "eval.horizon", "eval.action_selection", "env")


def left_open(settings: Config | ConfigDict | None) -> tuple[str, ...]:
    """Of the fields that a resumed run keeps where they are unset, those unset here; () for resolved settings."""
    if isinstance(settings, Config):
        return ()
    values = (default_config() if settings is None else settings).to_dict()
    return tuple(name for name in _KEPT if _value(values, name) is None)


def _value(values: dict, dotted: str):
    section, _, field = dotted.rpartition(".")
    return (values[section] if section else values)[field]


def settings_for(dataset_id: str, source: str, settings: Config | ConfigDict | None) -> Config:
    """Resolved settings for data that the caller names: of ``settings``, or of the defaults where that is None.

    Args:
        dataset_id: a Minari id, or with source ``memory`` any name.
        source: ``auto`` or ``memory``.
        settings: where they come from.
    """
    place = {"source": source, "minari_id": dataset_id, "path": None}
    if isinstance(settings, Config):
        config = dataclasses.replace(settings, data=dataclasses.replace(settings.data, **place))
        check_config(config)
        return config
    settings = default_config() if settings is None else settings.copy_and_resolve_references()
    settings.data.update(place)
    return resolve(settings)
