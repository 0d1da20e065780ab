"""Every setting there is, declared once: its default, what it does, and what it may be.

``default_config`` and the flags, the checks, the JSON of ``config.json``, what may change when a run is resumed, and
the reference in ``experiments/configs/README.md`` are made from these declarations. QT is Hu et al. (2024), DT the
Decision Transformer. To add a setting, add its field here and read it where it is used. The sections that only the
algorithms on single transitions read are in ``transition_fields``.
"""

from __future__ import annotations

import dataclasses

from rvdt_jax.algorithms.variants import HEADS, REBALANCINGS
from rvdt_jax.config.declaration import POSITIVE, setting, settings_of
from rvdt_jax.config.transition_fields import (
    BackupConfig,
    BCQConfig,
    BEARConfig,
    CQLConfig,
    DQLConfig,
    IQLConfig,
    TD3Config,
    VAEConfig,
)
from rvdt_jax.tasks import LOW_DATA

GONE = ("model.plain",)  # fields of older files that never changed a result
_SHARES = ", ".join(f"{name}: {100 * share:g} %" for name, share in LOW_DATA.items())

# One field, one or two lines, as in a table.
# fmt: off


@dataclasses.dataclass(frozen=True)
class TrainConfig:
    """Length and optimisation of training."""

    steps: int = setting(100_000, "Number of updates. A resumed run may be given more; its learning rate still falls "
        "to 0 at its own train.lr_decay_steps, unless that is given too.", low=1, sized=True, resume="kept",
        of_task="train_steps", unset="where QT stops on this task, 100,000 without a task")
    init_from: str | None = setting(None, "Run directory whose last checkpoint's parameters begin this run, of equal "
        "sizes; the optimiser is new, the update is 0, and statistics and scales are this run's.", older=None,
        unset="fresh parameters")
    batch_size: int = setting(256, "Windows per update (QT).", low=1, sized=True)
    learning_rate: float = setting(3e-4, "Peak rate for policy, cloned expert and critic (QT).", low=0, sized=True)
    critic_learning_rate: float = setting(None, "Peak rate for the critic.", low=0, unset="train.learning_rate",
        same_as="train.learning_rate")
    lr_decay_steps: int = setting(None, "Updates in which the learning rate falls to 0 on a cosine.", low=1, sized=True,
        resume="kept", of_task="lr_decay_steps", unset="QT's for this task, train.steps without a task",
        same_as="train.steps")
    grad_clip_norm: float = setting(9.0, "Largest global norm of a gradient; longer ones are scaled down.",
        low=POSITIVE, sized=True, of_task="grad_clip_norm", unset="QT's for this task, 9 without a task")
    weight_decay: float = setting(1e-4, "L2 coefficient on the policy's parameters (QT).", low=0)
    log_every: int = setting(20, "Updates of one compiled call and one line of metrics.jsonl; a signal waits for it.",
        low=1, sized=True, resume="kept")
    checkpoint_every: int = setting(None, "Updates between checkpoints.", low=1, resume="kept", unset="eval.every",
        same_as="eval.every")
    on_divergence: str = setting("stop",
        "If an update is not finite: stop the run, skip the update, or rollback to the last checkpoint.",
        choices=("stop", "skip", "rollback"), older="stop")
    keep_checkpoints: int = setting(2, "How many of the latest checkpoints are kept.", low=1, resume="kept", unset="2")


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    """Sizes of the networks."""

    width: int = setting(256, "Width of the transformer (QT).", low=1, sized=True)
    layers: int = setting(4, "Transformer blocks (QT).", low=1, sized=True)
    heads: int = setting(4, "Attention heads (QT).", low=1, sized=True)
    context_length: int | None = setting(None, "K, the timesteps of a window.", low=1, sized=True, from_data=True,
        of_task="context_length", unset="QT's for this task; without a task 20, or less if no episode is that long")
    dropout: float = setting(0.1, "Dropout of embeddings, attention weights and residuals (DT).", low=0, high=0.99,
        sized=True)
    dtype: str = setting("float32", "Arithmetic of the networks; parameters stay float32.",
        choices=("float32", "bfloat16"))
    critic_width: int = setting(256, "Width of the hidden layers of critics (QT), and of policies that are MLPs.",
        low=1, sized=True)
    critic_layers: int = setting(3, "Hidden layers of critics (QT), and of policies that are MLPs.", low=1, sized=True)
    critic_norm: str = setting("none",
        "Critics without normalisation (none, QT) or with LayerNorm before every activation (layer, ReBRAC).",
        choices=("none", "layer"), sized=True, older="none")
    critic_fourier_features: int = setting(0, "Learned sines and cosines of the observation that the critics also see.",
        low=0, sized=True, older=0)
    policy_fourier_features: int = setting(0, "The same for the policy.", low=0, older=0)
    fourier_scale: float = setting(1.0, "Std of their initial frequencies, in radians per std of an observation.",
        low=POSITIVE, older=1.0)
    positions: str = setting("episode", "Timestep that is embedded: counted in the episode (DT), or in the window.",
        choices=("episode", "window"), sized=True, older="episode")


@dataclasses.dataclass(frozen=True)
class LossConfig:
    """The terms of the objective and their weights; equations are the paper's."""

    eta: float = setting(1.0, "Weight of Q-guidance, eq. (3).", low=0, sized=True, of_task="eta",
        unset="QT's for this task, 1 without a task; 0 without Q-guidance")
    eta_warmup: int = setting(0, "Updates in which eta rises linearly from 0, so that the critic learns first.", low=0,
        older=0)
    guidance_return: str = setting("data",
        "Return that guided actions are conditioned on: the data's, the target's (eval.targets), or both.",
        choices=("data", "target", "both"), older="data")
    alpha: float = setting(1.0, "Weight of rebalancing, eqs. (1) and (2): an expert trajectory weighs 1 + alpha.",
        low=0)
    n_step: int | None = setting(None, "Steps that a TD target looks ahead.", low=1, older=None,
        unset="to the end of the window (QT)")
    gamma: float = setting(0.99, "Discount of the TD target (QT).", low=0, high=1, sized=True)
    rebalancing: str = setting(None, "How expert trajectories gain weight.", choices=REBALANCINGS,
        of_variant="rebalancing", unset="the variant's")
    q_guidance: bool = setting(None, "Learn a critic and follow it.", of_variant="q_guidance", unset="the variant's")
    reward_scale: float | None = setting(None,
        "The critic learns from reward_scale * (r + reward_shift); returns and scores stay in raw units.", low=0,
        from_data=True, of_task="reward_scale",
        unset="QT's for this task; without a task 10 divided by the data's largest absolute return")
    return_span: float | None = setting(None, "Fills loss.reward_scale: scaled returns of the data's best and worst "
        "episodes lie this far apart (IQL on locomotion).", low=POSITIVE, sized=True, older=None)
    reward_shift: float = setting(0.0, "See loss.reward_scale.", of_task="reward_shift",
        unset="QT's for this task, 0 without a task")
    target_rate: float = setting(0.005, "Polyak rate of the target critic (QT).", low=0, high=1, sized=True)
    state_prediction: float = setting(0.0, "Weight of QT's next-observation loss (QT: 1); above 0 adds the head.",
        low=0)


@dataclasses.dataclass(frozen=True)
class EmaConfig:
    """The slow copy of the policy that bootstraps the TD target."""

    decay: float = setting(0.995, "Decay of the average (QT).", low=0, high=1)
    every: int = setting(5, "Updates between two steps of the average (QT).", low=1, sized=True)
    start: int = setting(1000, "Updates before which it is a plain copy of the policy (QT).", low=0)


@dataclasses.dataclass(frozen=True)
class ExpertConfig:
    """Which trajectories are expert."""

    by: str = setting(None, "Compare returns among trajectories that start alike (start), or among all (return).",
        choices=("start", "return"), older="return", of_variant="expert_by",
        unset="the variant's: return for %BC, start for the others")
    measure: str = setting("return",
        "What is compared: the return, or the mean reward, for recordings that are cut at different lengths.",
        choices=("return", "mean_reward"), sized=True, older="return")
    fraction: float = setting(0.1, "Share of the trajectories, those of highest return, that is expert (our choice).",
        low=POSITIVE, high=1)
    threshold: float | None = setting(None, "Raw return from which a trajectory is expert; replaces by and fraction.",
        unset="by and fraction decide")
    only: bool = setting(None, "Train on the expert trajectories alone.", of_variant="expert_only",
        unset="the variant's: only %BC does")


@dataclasses.dataclass(frozen=True)
class PolicyConfig:
    """The policy's distribution and what it sees."""

    head: str = setting(None, "Distribution of an action.", choices=HEADS, of_variant="head", unset="the variant's")
    std: float = setting(0.1, "Std of the Gaussian in action units (our choice); if it is learned, its initial value.",
        low=POSITIVE, sized=True)
    learn_std: bool = setting(False, "Learn a std for each state, clipped; kl and kl_explicit then differ.")
    condition_on_return: bool = setting(None, "Feed return-to-go tokens.", of_variant="condition_on_return",
        unset="the variant's")
    return_scale: float | None = setting(None, "Divisor of returns-to-go.", low=POSITIVE, from_data=True,
        of_task="return_scale", unset="QT's for this task, the data's largest |return| without a task")


@dataclasses.dataclass(frozen=True)
class EvalConfig:
    """How policies are scored."""

    every: int = setting(1000, "Updates between evaluations during training.", low=1, sized=True, resume="kept")
    episodes: int = setting(100, "Episodes per seed and target for the final checkpoint.", low=1, resume="kept",
        unset="100")
    curve_episodes: int = setting(20, "Episodes per seed and target during training.", low=1, sized=True,
        resume="kept")
    targets: tuple[float, ...] | None = setting(None, "Target returns in raw units; the first is the headline.",
        sized=True, from_data=True, resume="kept", of_task="targets", unset="QT's for this task; without a task the "
        "data's maximum, 90th percentile, maximum plus 20 % of the range, and for sparse rewards horizon times reward")
    horizon: int | None = setting(None, "Steps after which an episode is cut.", low=1, resume="kept",
        unset="the task's, or else the environment's")
    processes: int = setting(0, "Simulator processes; 0: one per CPU core. maze2d needs none.", low=0, high=1024,
        resume="free", unset="0")
    parallel_episodes: int = setting(64, "Simulators at once, but at least one per seed and target.", low=1,
        resume="free")
    # The mean, with a critic too, was the safest on the tuning tasks: experiments/results/tuning/exploration.md.
    action_selection: str = setting("mean",
        "How an action is chosen; sample needs a Gaussian, critic and best_of a critic.",
        choices=("mean", "sample", "critic", "best_of"), resume="kept", unset="mean")
    candidates: int = setting(32, "Candidates of critic and best_of (QT: 50), and of BCQ, BEAR and D-QL.", low=1,
        sized=True, resume="kept", older=32)


@dataclasses.dataclass(frozen=True)
class DataConfig:
    """Where the data comes from, and how much of it is used."""

    source: str = setting("auto", "auto: imported logs, local Minari, its servers, then recreation; minari: local "
        "Minari alone; file: data.path; memory: episodes given to fit.",
        choices=("auto", "minari", "file", "memory"), resume="free")
    minari_id: str | None = setting(None, "Minari data set.", from_data=True,
        unset="the first of the task's data sets that is available")
    observation_keys: tuple[str, ...] | None = setting(None,
        "Entries of dict observations that the policy sees, in order.", unset="the task's")
    action_bounds: str = setting("space", "Bounds that the actions of a Minari data set are scaled by: of their space, "
        "or from the data.", choices=("space", "data"), older="space")
    path: str | None = setting(None, "Flat cache file (.npz) for data.source=file.", resume="free", unset="none")
    regime: str | None = setting(None, f"Low-data regime: the share of the trajectories that is kept ({_SHARES}).",
        choices=tuple(LOW_DATA), older=None, unset="data.fraction decides")
    fraction: float = setting(1.0, "Share of the trajectories that is kept, drawn at random.", low=POSITIVE, high=1,
        older=1.0, unset="the regime's, or all")
    subset_seed: int = setting(0, "Seed of that draw, and of data.holdout's; a smaller share is part of a larger one.",
        low=0, older=0)
    relabel: str = setting("none", "Returns-to-go as recorded (none), or raised to a value of later states that is "
        "learned from the data before training (value, QDT).", choices=("none", "value"), older="none",
        unset="the variant's: value for QDT")
    relabel_updates: int = setting(500_000, "Updates of that value function (QDT in d3rlpy), which has sizes, batches, "
        "rates and discount of the run's critics.", low=1, sized=True, older=500_000)
    relabel_expectile: float = setting(0.7, "Its iql.expectile (IQL).", low=POSITIVE, high=1, sized=True, older=0.7)
    holdout: float = setting(0.0, "Share of the trajectories that is held out at random, before data.fraction: nothing "
        "is learned from them, and the policy's action error and NLL on them are recorded.", low=0, high=0.9, older=0.0)


@dataclasses.dataclass(frozen=True)
class ParallelConfig:
    """How the work is laid on the hardware."""

    devices: int = setting(0, "Devices for seeds and batch, over all processes; 0: all.", low=0, resume="free",
        unset="0")
    seeds: str = setting("auto",
        "vmap: all seeds in one step; loop: one after the other; auto: loop on one CPU, vmap elsewhere.",
        choices=("auto", "vmap", "loop"), resume="free")


@dataclasses.dataclass(frozen=True)
class Config:
    """Everything that determines a run.

    Fields with ``from_data`` may be None until ``complete_config`` has seen the data.
    """

    task: str | None = setting(None, "Task, spelled as in D4RL; see rvdt_jax/tasks.py.", unset="data of your own")
    variant: str = setting("RVDT", "Row of the table in rvdt_jax/algorithms/variants.py.")
    size: str = setting("reference", "Which defaults: reference (QT's sizes), or small (for a CPU).",
        choices=("reference", "small"), resume="free", older="reference")
    seeds: tuple[int, ...] = setting((0,), "One training run per seed, all in one program.", sized=True)
    workdir: str | None = setting(None, "Run directory.", resume="free", unset="runs/TASK/VARIANT")
    env: str | None = setting(None, "Gymnasium id of the environment that scores; none: no scores.", resume="kept",
        unset="the task's, or else the data set's own")
    train: TrainConfig
    model: ModelConfig
    loss: LossConfig
    td3: TD3Config
    iql: IQLConfig
    backup: BackupConfig
    cql: CQLConfig
    vae: VAEConfig
    bcq: BCQConfig
    bear: BEARConfig
    dql: DQLConfig
    ema: EmaConfig
    expert: ExpertConfig
    policy: PolicyConfig
    eval: EvalConfig
    data: DataConfig
    parallel: ParallelConfig


# fmt: on
FIELDS = {field.name: field for field in settings_of(Config)}
