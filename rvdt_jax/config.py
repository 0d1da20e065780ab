"""The settings of a run: the documented defaults, and their resolution into frozen dataclasses.

``default_config`` is what a file in ``experiments/configs`` starts from. ``resolve`` is the only reader of a
ConfigDict in the package: it fills what was left unset from the variant and the task, checks every value, and
returns a ``Config`` that nothing can change. Explicit settings always win over the task's and the variant's.
"""

from __future__ import annotations

import dataclasses
import math

from ml_collections import ConfigDict, config_dict

from rvdt_jax.tasks import Task, get_task
from rvdt_jax.variants import HEADS, REBALANCINGS, get_variant

DTYPES = ("float32", "bfloat16")
SOURCES = ("auto", "minari", "recreate", "file")
ACTION_SELECTIONS = ("mean", "sample", "critic")
SEED_MAPPINGS = ("auto", "vmap", "loop")


@dataclasses.dataclass(frozen=True)
class TrainConfig:
    """Length and optimisation of training; the fields are documented in ``default_config``."""

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


def default_config() -> ConfigDict:
    """The defaults, one comment a field. Fields left ``placeholder`` are filled from variant and task by ``resolve``."""
    unset = config_dict.placeholder
    config = ConfigDict()
    config.task = unset(str)  # name of the task, as D4RL spells it; see rvdt_jax/tasks.py
    config.variant = "RVDT"  # row of the table in rvdt_jax/variants.py
    config.seeds = (0,)  # one training run per seed, all in one program
    config.workdir = unset(str)  # run directory; unset: runs/<task>/<variant>

    config.train = ConfigDict()
    config.train.steps = unset(int)  # updates; unset: where QT stops on this task
    config.train.batch_size = 256  # windows per update (QT)
    config.train.learning_rate = 3e-4  # peak, for policy, critic and cloned expert alike (QT)
    config.train.lr_decay_steps = unset(int)  # updates from the peak to 0 on a cosine; unset: QT's for this task
    config.train.grad_clip_norm = unset(float)  # clip of the gradient's global norm; unset: QT's for this task
    config.train.weight_decay = 1e-4  # L2 coefficient on the policy (QT)
    config.train.log_every = 100  # updates that one line of metrics.jsonl averages
    config.train.checkpoint_every = unset(int)  # updates between checkpoints; unset: with every evaluation
    config.train.keep_checkpoints = 2  # how many of the latest are kept

    config.model = ConfigDict()
    config.model.width = 256  # transformer width (QT)
    config.model.layers = 4  # transformer blocks (QT)
    config.model.heads = 4  # attention heads (QT)
    config.model.context_length = unset(int)  # K, in environment steps; unset: QT's for this task
    config.model.dropout = 0.1  # on embeddings, attention weights and residuals (Decision Transformer)
    config.model.dtype = "float32"  # arithmetic of the networks: float32 or bfloat16; parameters stay float32
    config.model.critic_width = 256  # width of each critic's hidden layers (QT)
    config.model.critic_layers = 3  # hidden layers of each critic (QT)

    config.loss = ConfigDict()
    config.loss.eta = unset(float)  # weight of Q-guidance, eq. (3); unset: QT's for this task
    config.loss.alpha = 1.0  # strength of rebalancing, eqs. (1) and (2): expert trajectories weigh 1 + alpha
    config.loss.gamma = 0.99  # discount of the TD target (QT)
    config.loss.rebalancing = unset(str)  # none, dup, kl or kl_explicit; unset: the variant's
    config.loss.q_guidance = unset(bool)  # learn a critic and follow it; unset: the variant's
    config.loss.target_rate = 0.005  # Polyak rate of the target critic (QT)
    config.loss.state_prediction = 0.0  # weight of QT's next-observation loss; above 0 adds the head (QT: 1)

    config.ema = ConfigDict()
    config.ema.decay = 0.995  # of the policy copy that bootstraps the TD target (QT)
    config.ema.every = 5  # updates between two EMA updates (QT)
    config.ema.start = 1000  # updates before which the EMA is a plain copy (QT)

    config.expert = ConfigDict()
    config.expert.fraction = 0.1  # share of the trajectories, those of highest return, that are expert
    config.expert.threshold = unset(float)  # or every trajectory of at least this raw return
    config.expert.only = unset(bool)  # train on the expert trajectories alone; unset: the variant's (%BC)

    config.policy = ConfigDict()
    config.policy.head = unset(str)  # deterministic or gaussian; unset: the variant's
    config.policy.std = 0.1  # fixed std of the Gaussian, in action units; the reference std where it is learned
    config.policy.learn_std = False  # learn a state-dependent std, clipped (then kl and kl_explicit differ)
    config.policy.condition_on_return = unset(bool)  # feed return-to-go tokens; unset: the variant's
    config.policy.return_scale = unset(float)  # returns-to-go are divided by it; unset: the task's

    config.eval = ConfigDict()
    config.eval.every = 1000  # updates between two evaluations during training
    config.eval.episodes = 100  # per seed and target, of the final checkpoint
    config.eval.curve_episodes = 20  # per seed and target, of each evaluation during training
    config.eval.targets = unset(tuple)  # raw target returns; the first is the headline; unset: the task's
    config.eval.action_selection = "mean"  # mean; sample; critic (QT: softmax over min-Q among all targets)

    config.data = ConfigDict()
    config.data.source = "auto"  # auto: local Minari, else recreate; minari: local only; file: data.path
    config.data.minari_id = unset(str)  # unset: the task's
    config.data.path = unset(str)  # a flat cache file (.npz), for data.source=file

    config.parallel = ConfigDict()
    config.parallel.devices = unset(int)  # devices to split the batch over; unset: all local ones
    config.parallel.seeds = "auto"  # vmap: all seeds in one step; loop: one by one; auto: loop on CPU
    return config


def resolve(settings: ConfigDict) -> Config:
    """Fills what was left unset and checks everything, before any work is done.

    Raises:
        ValueError: a setting is missing, unknown or out of range; the message names field and remedy.
    """
    values = settings.to_dict()
    if not values["task"]:
        raise ValueError("config.task is not set. Name a task, e.g. --config.task=maze2d-umaze-v1.")
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
    _fill(values["train"], checkpoint_every=values["eval"]["every"])
    config = Config(
        task=values["task"],
        variant=values["variant"],
        seeds=tuple(values["seeds"]),
        workdir=values["workdir"],
        train=TrainConfig(**values["train"]),
        model=ModelConfig(**values["model"]),
        loss=LossConfig(**values["loss"]),
        ema=EmaConfig(**values["ema"]),
        expert=ExpertConfig(**values["expert"]),
        policy=PolicyConfig(**values["policy"]),
        eval=EvalConfig(**values["eval"] | {"targets": tuple(float(target) for target in values["eval"]["targets"])}),
        data=DataConfig(**values["data"]),
        parallel=ParallelConfig(**values["parallel"]),
    )
    _check(config)
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
    _fill(values["parallel"], devices=0)


def _check(config: Config) -> None:
    for name, choices in (
        ("loss.rebalancing", REBALANCINGS),
        ("policy.head", HEADS),
        ("model.dtype", DTYPES),
        ("data.source", SOURCES),
        ("eval.action_selection", ACTION_SELECTIONS),
        ("parallel.seeds", SEED_MAPPINGS),
    ):
        if _get(config, name) not in choices:
            raise ValueError(f"config.{name} is {_get(config, name)!r}; choose one of {', '.join(choices)}.")
    for name, low, high in _RANGES:
        value = _get(config, name)
        if not (math.isfinite(value) and low <= value <= high):
            bound = f"between {low:g} and {high:g}" if math.isfinite(high) else f"at least {low:g}"
            raise ValueError(f"config.{name} is {value}; it must be finite and {bound}.")
    _check_together(config)


_INF = math.inf
_TINY = 1e-12  # the least value of what must be positive
_RANGES = (
    ("train.steps", 1, _INF),
    ("train.batch_size", 1, _INF),
    ("train.learning_rate", 0, _INF),
    ("train.lr_decay_steps", 1, _INF),
    ("train.grad_clip_norm", _TINY, _INF),
    ("train.weight_decay", 0, _INF),
    ("train.log_every", 1, _INF),
    ("train.checkpoint_every", 1, _INF),
    ("train.keep_checkpoints", 1, _INF),
    ("model.width", 1, _INF),
    ("model.layers", 1, _INF),
    ("model.heads", 1, _INF),
    ("model.context_length", 1, _INF),
    ("model.dropout", 0, 0.99),
    ("model.critic_width", 1, _INF),
    ("model.critic_layers", 1, _INF),
    ("loss.eta", 0, _INF),
    ("loss.alpha", 0, _INF),
    ("loss.gamma", 0, 1),
    ("loss.target_rate", 0, 1),
    ("loss.state_prediction", 0, _INF),
    ("ema.decay", 0, 1),
    ("ema.every", 1, _INF),
    ("ema.start", 0, _INF),
    ("expert.fraction", _TINY, 1),
    ("policy.std", _TINY, _INF),
    ("policy.return_scale", _TINY, _INF),
    ("eval.every", 1, _INF),
    ("eval.episodes", 1, _INF),
    ("eval.curve_episodes", 1, _INF),
    ("parallel.devices", 0, _INF),
)


def _check_together(config: Config) -> None:
    """Conditions between fields."""
    if not config.seeds or min(config.seeds) < 0 or len(set(config.seeds)) < len(config.seeds):
        raise ValueError(f"config.seeds is {config.seeds}; give one or more different seeds, none negative.")
    if config.model.width % config.model.heads:
        raise ValueError(f"config.model.width={config.model.width} is not a multiple of heads={config.model.heads}.")
    for name in ("eval.every", "train.checkpoint_every"):
        if _get(config, name) % config.train.log_every:
            raise ValueError(
                f"config.{name}={_get(config, name)} is not a multiple of train.log_every={config.train.log_every}."
            )
    if config.loss.q_guidance and config.model.context_length < 2:
        raise ValueError("config.model.context_length must be at least 2 with Q-guidance: TD needs a next step.")
    if not config.eval.targets or not all(math.isfinite(target) for target in config.eval.targets):
        raise ValueError(f"config.eval.targets is {config.eval.targets}; give one or more finite target returns.")
    if config.eval.action_selection == "critic" and not config.loss.q_guidance:
        raise ValueError("config.eval.action_selection=critic needs a critic: choose a variant with Q-guidance.")
    if config.eval.action_selection == "sample" and config.policy.head != "gaussian":
        raise ValueError("config.eval.action_selection=sample needs policy.head=gaussian.")
    if config.loss.rebalancing == "kl_explicit" and config.policy.head != "gaussian":
        raise ValueError("config.loss.rebalancing=kl_explicit needs policy.head=gaussian: a KL takes two densities.")
    if config.data.source == "file" and not config.data.path:
        raise ValueError("config.data.source=file needs config.data.path, a flat cache file.")


def _get(config: Config, dotted: str):
    value = config
    for name in dotted.split("."):
        value = getattr(value, name)
    return value


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
