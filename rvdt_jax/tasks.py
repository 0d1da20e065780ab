"""The table of tasks: data sets, evaluation environments, D4RL's reference returns, and the settings each starts from.

Facts are data, in ``rvdt_jax/reference``: ``d4rl_reference_scores.csv`` (D4RL's own ``infos.py``), ``qt_settings.csv``
(the per-task settings published with QT, Hu et al. 2024) and ``d4rl_files.csv`` (where D4RL's files are to be had).
This module joins them and adds, family by family, which data sets serve a task and what scores a policy.
"""

from __future__ import annotations

import csv
import dataclasses
import functools
import re
from importlib import resources

from rvdt_jax.errors import UserError, did_you_mean

_PARTIAL = re.compile(r"-\d+-steps-seed-\d+(?=-v\d+$)")  # in the ids of recreations of other lengths and seeds


@dataclasses.dataclass(frozen=True)
class Source:
    """A data set that serves a task.

    Attributes:
        kind: ``import`` (a file of D4RL's, imported by ``experiments/import_d4rl.py``), ``remote`` (Minari's servers),
            or ``recipe`` (recreated by ``experiments/recreate.py``).
        dataset_id: its Minari id.
        env_id: Gymnasium id of the environment that scores policies trained on it; None: the one that the data set
            itself names.
        observation_keys: entries of dict observations that the policy sees, in order; () for plain arrays.
        end_at_reward: episodes are read up to their first reward, as the terminal step: evaluation ends there too.
    """

    kind: str
    dataset_id: str
    env_id: str | None
    observation_keys: tuple[str, ...] = ()
    end_at_reward: bool = False


@dataclasses.dataclass(frozen=True)
class Environment:
    """An environment that scores policies, and how it is adapted to what they see and give.

    Attributes:
        id: Gymnasium id.
        spec: JSON of the Gymnasium ``EnvSpec`` that it is made from, where a data set brings one; None: of ``id``.
        horizon: steps after which an episode is cut; None: as registered.
        observation_keys: entries of dict observations that are seen, in order; () for plain arrays.
        action_low, action_high: the environment's values that the policy's -1 and 1 stand for, one number per action;
            () where they are -1 and 1.
        observation_offset: what is taken off observations before they are rounded to float32; () for nothing.
    """

    id: str
    spec: str | None = None
    horizon: int | None = None
    observation_keys: tuple[str, ...] = ()
    action_low: tuple[float, ...] = ()
    action_high: tuple[float, ...] = ()
    observation_offset: tuple[float, ...] = ()


@dataclasses.dataclass(frozen=True)
class Task:
    """One task of the published tables.

    Attributes:
        name: D4RL's name with its version, e.g. ``maze2d-umaze-v1``.
        family: the configuration file that covers it, e.g. ``maze2d``.
        sources: the data sets that serve it, the first choice first.
        horizon: evaluation episode length, in steps.
        ref_min_return, ref_max_return: D4RL's reference returns, raw reward units.
        file_url: where D4RL's file is to be had.
        recipe_steps: length of the published data collection, in steps; None where there is no recipe, or where it
            needs more than this package brings: medium-replay is what training a policy leaves.
        return_scale: returns-to-go are divided by this before they reach the policy.
        targets: raw target returns that the task is evaluated with.
        reward_scale, reward_shift: the critic learns from reward_scale * (r + reward_shift).
        eta, grad_clip_norm, context_length: QT's published settings.
        lr_decay_steps: updates in which the learning rate falls from its peak to 0 on a cosine (QT).
        train_steps: updates after which QT stops.
        evaluations: evaluations in QT's training until then, of which the published score is the maximum.
    """

    name: str
    family: str
    sources: tuple[Source, ...]
    horizon: int
    ref_min_return: float
    ref_max_return: float
    file_url: str
    recipe_steps: int | None
    return_scale: float
    targets: tuple[float, ...]
    reward_scale: float
    reward_shift: float
    eta: float
    grad_clip_norm: float
    context_length: int
    lr_decay_steps: int
    train_steps: int
    evaluations: int

    def source(self, kind: str) -> Source | None:
        """The source of that kind, if there is one."""
        return next((source for source in self.sources if source.kind == kind), None)

    def source_of(self, dataset_id: str | None) -> Source | None:
        """The source with that Minari id, if it is one of the task's; a recreation of other length or seed is, too."""
        whole = _PARTIAL.sub("", dataset_id or "")
        for source in self.sources:
            if dataset_id == source.dataset_id:
                return source
            if source.kind == "recipe" and whole == source.dataset_id:
                return dataclasses.replace(source, dataset_id=dataset_id)
        return None

    def normalized_score(self, episode_return):
        """D4RL's score of a raw return; see ``normalized_score``."""
        return normalized_score(episode_return, self.ref_min_return, self.ref_max_return)


def normalized_score(episode_return, ref_min_return: float, ref_max_return: float):
    """100 (R - min) / (max - min), D4RL's score; works on scalars and NumPy arrays."""
    return 100.0 * (episode_return - ref_min_return) / (ref_max_return - ref_min_return)


# --- from a task's name to its sources ---

# The first part of D4RL's names -> the family; the others are their own.
_FAMILIES = {"halfcheetah": "gym", "hopper": "gym", "walker2d": "gym", "pen": "adroit", "hammer": "adroit"}
_BODIES = {"halfcheetah": "HalfCheetah", "hopper": "Hopper", "walker2d": "Walker2d"}


def _make_sources(name: str, family: str) -> tuple[Source, ...]:
    """D4RL's file, then what Minari's servers carry, then the recipe."""
    kind, quality = name.rsplit("-", 1)[0].split("-", 1)
    # D4RL's -v2 files are scored in Gymnasium's -v4 environments; Minari's sets, newer data, in their own -v5.
    env_id = f"{_BODIES[kind]}-v4" if family == "gym" else f"rvdt/{name}"
    sources = [Source("import", f"d4rl-hdf5/{name}", env_id)]
    if family == "gym" and quality == "medium":  # Minari does not carry medium-replay and medium-expert
        sources.append(Source("remote", f"mujoco/{kind}/medium-v0", None))
    elif family == "adroit":  # AdroitHand*-v1 changed its rewards inside the version; ours, D4RL's, score both
        sources.append(Source("remote", f"D4RL/{kind}/{quality}-v2", env_id))
    elif family == "kitchen":  # D4RL's 60 numbers hold positions and the goal, Minari's 59 positions and velocities
        sources.append(Source("remote", f"D4RL/kitchen/{quality}-v2", f"rvdt/minari-{name}", ("observation",)))
    elif family == "antmaze":
        # D4RL's 29 numbers are the ant's place, then its 27 body entries; the goal is not among them. Minari's ants
        # stay at the goal and are paid at every step there; D4RL's task ends on arrival. And the evaluation environment
        # that Minari names for umaze is the mirror image of the one it collected in (Minari issue 304), so ours.
        keys, env = ("achieved_goal", "observation"), f"rvdt/minari-{name}"
        sources.append(Source("remote", f"D4RL/antmaze/{quality}-v1", env, keys, end_at_reward=True))
    if family in ("gym", "antmaze", "maze2d"):  # the recipe's ants go on, too
        sources.append(Source("recipe", f"recreated/{name}", env_id, end_at_reward=family == "antmaze"))
    return tuple(sources)


# Steps of D4RL's published collection runs.
_RECIPE_STEPS = {
    "maze2d-open": 1_000_000,
    "maze2d-umaze": 1_000_000,
    "maze2d-medium": 2_000_000,
    "maze2d-large": 4_000_000,
    "gym-medium": 1_000_000,
    "gym-medium-expert": 2_000_000,
    "antmaze": 1_000_000,
}

# The low-data regimes D_1 to D_4: the share of the trajectories that is kept. The published table names the regimes
# and their scores alone; these shares are this package's own.
LOW_DATA = {"D1": 0.1, "D2": 0.05, "D3": 0.02, "D4": 0.01}

# QT's reward transforms as published -> (scale, shift) of scale * (r + shift).
_REWARD_TRANSFORMS = {"none": (1.0, 0.0), "4*(r-0.5)": (4.0, -0.5)}


def _read_reference(filename: str) -> dict[str, dict[str, str]]:
    text = (resources.files("rvdt_jax") / "reference" / filename).read_text(encoding="utf-8")
    return {row["d4rl_task"]: row for row in csv.DictReader(text.splitlines())}


def d4rl_files() -> dict[str, str]:
    """Where D4RL's files are to be had, by D4RL's name; antmaze's -v2 files, which belong to no task here, included."""
    return {name: row["url"] for name, row in _read_reference("d4rl_files.csv").items()}


def other_counts(name: str, found: dict[str, int]) -> str:
    """How the counts differ from those of D4RL's file of that name, in words; "" if no known one does."""
    row = _read_reference("d4rl_files.csv").get(name, {})
    known = {what: int(row[what]) for what in ("episodes", "steps") if row.get(what)}
    if known.items() <= found.items():
        return ""
    here, there = (" and ".join(f"{each[what]:,} {what}" for what in known) for each in (found, known))
    return f"it has {here}, and D4RL's file of {name} has {there}"


def d4rl_references(name: str) -> tuple[float, float] | None:
    """The raw returns that D4RL scores 0 and 100, by D4RL's name of a data set; None where it publishes none."""
    row = _read_reference("d4rl_reference_scores.csv").get(name)
    return None if row is None else (float(row["ref_min_return"]), float(row["ref_max_return"]))


def d4rl_datasets() -> dict[str, dict[str, str]]:
    """What is known of the contents of D4RL's files, by D4RL's name; numbers that are not are ''."""
    return _read_reference("d4rl_datasets.csv")


@functools.cache
def all_tasks() -> dict[str, Task]:
    """Every task, by name, in the order of the published tables."""
    scores = _read_reference("d4rl_reference_scores.csv")
    settings = _read_reference("qt_settings.csv")
    files = d4rl_files()
    return {name: _make_task(name, scores[name], settings[name], files[name]) for name in scores if name in settings}


def _make_task(name: str, scores: dict[str, str], settings: dict[str, str], file_url: str) -> Task:
    kind, quality = name.rsplit("-", 1)[0].split("-", 1)
    family = _FAMILIES.get(kind, kind)
    collected = family if family == "antmaze" else f"{family}-{quality.removesuffix('-dense')}"
    steps_per_iteration = int(settings["steps_per_iteration"])
    reward_scale, reward_shift = _REWARD_TRANSFORMS[settings["reward_transform"]]
    return Task(
        name=name,
        family=family,
        sources=_make_sources(name, family),
        horizon=int(scores["max_episode_steps"]),
        ref_min_return=float(scores["ref_min_return"]),
        ref_max_return=float(scores["ref_max_return"]),
        file_url=file_url,
        recipe_steps=_RECIPE_STEPS.get(collected),
        return_scale=float(settings["return_scale"]),
        targets=tuple(float(target) for target in settings["conditioning_targets"].split()),
        reward_scale=reward_scale,
        reward_shift=reward_shift,
        eta=float(settings["eta"]),
        grad_clip_norm=float(settings["grad_clip_norm"]),
        context_length=int(settings["context_length"]),
        lr_decay_steps=int(settings["lr_cosine_period_iterations"]) * steps_per_iteration,
        train_steps=int(settings["stop_iteration"]) * steps_per_iteration,
        evaluations=int(settings["stop_iteration"]),  # one after every iteration
    )


def find_source(dataset_id: str) -> tuple[Task, Source] | None:
    """The task that a data set serves, and how; None for a data set that is not in the table."""
    found = ((task, task.source_of(dataset_id)) for task in all_tasks().values())
    return next(((task, source) for task, source in found if source is not None), None)


def get_task(name: str) -> Task:
    """The task called ``name``.

    Raises:
        UserError: no such task; the message names the nearest one and lists them all.
    """
    tasks = all_tasks()
    if name in tasks:
        return tasks[name]
    raise UserError(
        f"task: there is no task {name!r}.{did_you_mean(name, tasks)} Known tasks: {', '.join(tasks)}. Other data, "
        "D4RL's too, are imported with experiments/import_data.py and trained on with config.data.minari_id."
    )
