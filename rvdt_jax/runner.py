"""From settings to a finished run directory. Data, training, evaluation and records meet only here."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import pathlib
import signal as signals
from collections.abc import Callable
from importlib import metadata
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from rvdt_jax.config import Config, DataConfig, to_json, training_settings
from rvdt_jax.data.episodes import Episodes, check_episodes
from rvdt_jax.data.rebalance import ExpertSet, select_experts
from rvdt_jax.data.source import load_flat_file, load_local
from rvdt_jax.data.store import make_normalizer, make_store
from rvdt_jax.interruption import Interrupted, Interruption
from rvdt_jax.models.acting import Actor
from rvdt_jax.report.records import write_json
from rvdt_jax.report.results import write_results
from rvdt_jax.session import Session
from rvdt_jax.tasks import get_task
from rvdt_jax.train.build import make_coefficients, make_spec, seed_mapping
from rvdt_jax.train.checkpoint import Checkpoints
from rvdt_jax.train.driver import Schedule, init_states, train
from rvdt_jax.train.parallel import batch_sharding, make_mesh, replicate
from rvdt_jax.train.state import Spec
from rvdt_jax.types import Normalizer
from rvdt_jax.workdir import check_workdir, default_workdir

if TYPE_CHECKING:
    from rvdt_jax.evaluation.evaluator import Evaluator

log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Run:
    """A run directory and what came of it.

    Attributes:
        folder: the run directory.
        results: the content of ``results.json``; {} if the run was interrupted.
        signal: the number of the signal that interrupted it, or None; ``resume=True`` goes on.
    """

    folder: pathlib.Path
    results: dict
    signal: int | None = None


@dataclasses.dataclass(frozen=True)
class Data:
    """What a run learns from.

    Attributes:
        episodes: the checked episodes.
        experts: which of them are expert.
        provenance: where they come from, as ``results.json`` records it.
    """

    episodes: Episodes
    experts: ExpertSet
    provenance: dict


def fit(data: str | Episodes, config: Config, *, resume: bool = False, progress: bool = True) -> Run:
    """Trains on data named or handed over, then evaluates and scores as ``config`` says.

    Args:
        data: the id of a local Minari data set (a task's own is recreated where it is missing), or ``Episodes``.
        config: resolved settings; see ``rvdt_jax.config.resolve``. ``data`` takes the place of ``config.data``.
        resume: continue the run in the work directory from its last checkpoint.
        progress: show progress bars.

    Raises:
        ValueError: as ``run_config``.
        KeyboardInterrupt: Ctrl-C; the state is saved.
    """
    if isinstance(data, str):
        source = "auto" if data == get_task(config.task).dataset_id else "minari"
        config = dataclasses.replace(config, data=DataConfig(source=source, minari_id=data, path=None))
        run = run_config(config, resume=resume, progress=progress)
    else:
        config = dataclasses.replace(config, data=DataConfig(source="memory", minari_id=data.name, path=None))
        provenance = {"dataset_id": data.name, "source": "memory"}
        run = _run(config, lambda: (check_episodes(data), provenance), resume, progress)
    if run.signal == signals.SIGINT:
        raise KeyboardInterrupt
    return run


def run_config(config: Config, *, resume: bool = False, progress: bool = True) -> Run:
    """Trains, evaluates and scores what ``config`` describes, on the data that it names.

    Args:
        config: resolved settings; see ``rvdt_jax.config.resolve``.
        resume: continue the run in the work directory from its last checkpoint.
        progress: show progress bars.

    Raises:
        ValueError: the settings do not fit the data or the machine, the data set is missing or corrupt, or the work
            directory already holds a run; nothing was overwritten. Or training has diverged.
    """
    return _run(config, lambda: load_episodes(config, progress=progress), resume, progress)


def _run(config: Config, load: Callable[[], tuple[Episodes, dict]], resume: bool, progress: bool) -> Run:
    """Checks everything, trains, writes the results."""
    folder = pathlib.Path(config.workdir) if config.workdir else default_workdir(config)
    check_workdir(folder, config, resume)
    mesh = make_mesh(config.parallel.devices)
    sharding = batch_sharding(mesh, config.train.batch_size)
    episodes, provenance = load()
    check_fit(config, episodes, provenance)
    experts = select_experts(
        episodes.returns, episodes.lengths, fraction=config.expert.fraction, threshold=config.expert.threshold
    )
    log.info("data: %s, %d episodes, %d steps", episodes.name, episodes.lengths.size, episodes.rewards.size)
    log.info("expert set: %s", experts.describe())
    provenance = provenance | {"content_digest": episodes.digest(), "expert_set": experts.describe()}
    observation_size, action_size = episodes.observations.shape[1], episodes.actions.shape[1]
    spec = make_spec(config, observation_size, action_size, int(episodes.lengths.max()), sharding)
    signal = _train(config, folder, spec, mesh, Data(episodes, experts, provenance), resume, progress)
    if signal is not None:
        log.warning("interrupted; the state is saved in %s: continue with --resume", folder / "checkpoints")
        return Run(folder, results={}, signal=signal)
    facts = {
        "provenance": provenance,
        "hardware": f"{mesh.size if mesh else 1} x {jax.devices()[0].device_kind}",
        "versions": {name: _version(name) for name in ("rvdt-jax", "jax", "flax", "optax", "mujoco", "gymnasium")},
    }
    return Run(folder, results=write_results(to_json(config), folder, facts))


def _train(
    config: Config, folder: pathlib.Path, spec: Spec, mesh: Mesh | None, data: Data, resume: bool, progress: bool
) -> int | None:
    """Trains to the end, or to a signal, whose number is returned."""
    normalizer = make_normalizer(data.episodes)
    states = init_states(jnp.asarray(config.seeds, jnp.int32), spec=spec)
    coefficients = make_coefficients(config)
    evaluator = _make_evaluator(config, spec, normalizer)
    about = _about(config, spec, data.provenance)
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "config.json", to_json(config))  # first of all: from here on the folder can be resumed
    with (
        Interruption() as interruption,
        Checkpoints(folder / "checkpoints", config.train.keep_checkpoints, about) as checkpoints,
        Session(config, folder, checkpoints, interruption, evaluator, normalizer, progress=progress) as session,
    ):
        if checkpoints.latest_step() is not None:
            states = checkpoints.restore(states, normalizer)
        elif resume:
            log.warning("no checkpoint was written before the interruption: starting from the first update")
        session.rewind(int(states.step[0]))
        log.info("compiling; the first losses come after %d updates of every seed", config.train.log_every)
        # A signal during an evaluation: the checkpoint before it is written, and resuming repeats the evaluation.
        with contextlib.suppress(Interrupted):
            train(
                replicate(states, mesh),
                replicate(make_store(data.episodes, data.experts, normalizer, config.policy.return_scale), mesh),
                coefficients,
                spec=spec,
                map_seeds=seed_mapping(config),
                schedule=Schedule(
                    config.train.steps, config.train.log_every, config.eval.every, config.train.checkpoint_every
                ),
                hooks=session,
            )
        return None if session.finished else interruption.signal


def load_episodes(config: Config, *, progress: bool = True) -> tuple[Episodes, dict]:
    """The data and its provenance; a data set that has a recipe is recreated where it is missing.

    Raises:
        ValueError: the data is nowhere to be had; the message says what to run.
    """
    if config.data.source == "file":
        return load_flat_file(config.data.path)
    dataset_id, task = config.data.minari_id, get_task(config.task)
    try:
        return load_local(dataset_id)
    except FileNotFoundError as error:
        if config.data.source == "minari" or dataset_id != task.dataset_id:
            remedy = "See `minari list local` for those there are"
            if dataset_id == task.dataset_id:
                remedy += f", or make it: python experiments/recreate.py --task={task.name}"
            raise ValueError(
                f"config.data.minari_id={dataset_id}: no such data set on this machine. {remedy}."
            ) from error
    log.info("%s is not on this machine: recreating it once, by D4RL's published recipe", dataset_id)
    from rvdt_jax.recreate import recreate
    from rvdt_jax.recreate.minari_writer import DatasetExists

    with contextlib.suppress(DatasetExists):  # another process was faster: its data set is the same
        recreate(task.name, progress=progress)
    return load_local(dataset_id)


def check_fit(config: Config, episodes: Episodes, provenance: dict) -> None:
    """Refuses a context that no episode can fill, and data that the task's environment cannot score.

    Raises:
        ValueError: naming both sides.
    """
    longest = int(episodes.lengths.max())
    if config.model.context_length > longest:
        raise ValueError(
            f"config.model.context_length={config.model.context_length} is longer than every episode of "
            f"{episodes.name} (the longest has {longest} steps). Set it to {longest} or less."
        )
    env_id = get_task(config.task).env_id
    try:
        from rvdt_jax.envs.vector import environment_sizes
    except ImportError:
        return  # nothing is scored on this machine
    sizes, expected = (episodes.observations.shape[1], episodes.actions.shape[1]), environment_sizes(env_id)
    if sizes != expected:
        raise ValueError(
            f"{episodes.name}: observations and actions have sizes {sizes}, but {env_id}, which scores "
            f"config.task={config.task}, has {expected}. Choose the task or the data to fit the other."
        )
    if provenance.get("env_id", env_id) != env_id:
        log.warning("%s was collected in %s, but %s scores it", episodes.name, provenance["env_id"], env_id)


def _make_evaluator(config: Config, spec: Spec, normalizer: Normalizer) -> Evaluator | None:
    """None, and a word in the log, where no simulator is installed: training needs none."""
    try:
        from rvdt_jax.evaluation.evaluator import Evaluator
    except ImportError as error:
        log.warning("nothing will be scored: %s is not installed", error.name)
        return None
    return Evaluator(
        get_task(config.task).env_id,
        Actor(spec.policy, spec.critic, spec.context_length, config.eval.action_selection),
        normalizer,
        seeds=config.seeds,
        targets=config.eval.targets,
        return_scale=config.policy.return_scale,
    )


def _about(config: Config, spec: Spec, provenance: dict) -> dict:
    """What a checkpoint says of itself: what must be the same to continue it, and what it takes to act with it."""
    sizes = {
        "observation_size": spec.policy.observation_size,
        "action_size": spec.policy.action_size,
        "max_timestep": spec.policy.max_timestep,
    }
    settings = to_json(config)
    identity = {
        "config": training_settings(settings),
        "sizes": sizes,
        "content_digest": provenance["content_digest"],
    }
    return {"identity": identity, "config": settings, "sizes": sizes}


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
