"""From settings to a finished run directory. Data, training, evaluation and records meet only here."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import pathlib
from collections.abc import Callable
from importlib import metadata

import jax
import jax.numpy as jnp

from rvdt_jax.config import Config, DataConfig, to_json, training_settings
from rvdt_jax.data.episodes import Episodes, check_episodes
from rvdt_jax.data.rebalance import ExpertSet, select_experts
from rvdt_jax.data.source import load_flat_file, load_local
from rvdt_jax.data.store import make_normalizer, make_store
from rvdt_jax.evaluation.evaluator import Evaluator
from rvdt_jax.interruption import Interrupted, Interruption
from rvdt_jax.models.acting import Actor
from rvdt_jax.report.plots import plot_learning_curves
from rvdt_jax.report.records import read_lines, summarise, write_json
from rvdt_jax.session import Session
from rvdt_jax.tasks import get_task
from rvdt_jax.train.build import make_coefficients, make_spec, seed_mapping
from rvdt_jax.train.checkpoint import Checkpoints
from rvdt_jax.train.driver import Schedule, init_states, train
from rvdt_jax.train.parallel import batch_sharding, make_mesh, replicate
from rvdt_jax.train.state import Spec
from rvdt_jax.types import Normalizer
from rvdt_jax.workdir import check_workdir, default_workdir

log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Run:
    """A run directory and what came of it.

    Attributes:
        folder: the run directory.
        results: the content of ``results.json``; {} if the run was interrupted.
        signal: the number of the signal that interrupted it, or None; ``fit(..., resume=True)`` goes on.
    """

    folder: pathlib.Path
    results: dict
    signal: int | None = None


def fit(data: str | Episodes, config: Config, *, resume: bool = False, progress: bool = True) -> Run:
    """Trains on data named or handed over, then evaluates and scores as ``config`` says.

    Args:
        data: the id of a local Minari data set, or checked ``Episodes`` of your own.
        config: resolved settings; see ``rvdt_jax.config.resolve``. ``config.data`` is not used.
        resume: continue the run in the work directory from its last checkpoint.
        progress: show a progress bar.

    Raises:
        ValueError: as ``run_config``.
    """
    if isinstance(data, str):
        own = DataConfig(source="minari", minari_id=data, path=None)
        return run_config(dataclasses.replace(config, data=own), resume=resume, progress=progress)
    provenance = {"dataset_id": data.name, "source": "memory", "content_digest": check_episodes(data).digest()}
    return _run(config, lambda: (data, provenance), resume, progress)


def run_config(config: Config, *, resume: bool = False, progress: bool = True) -> Run:
    """Trains, evaluates and scores what ``config`` describes, on the data that it names.

    Args:
        config: resolved settings; see ``rvdt_jax.config.resolve``.
        resume: continue the run in the work directory from its last checkpoint.
        progress: show a progress bar.

    Raises:
        ValueError: the settings do not fit the data or the machine, the data set is missing or corrupt, or the work
            directory already holds a run; nothing was overwritten.
    """
    return _run(config, lambda: load_episodes(config), resume, progress)


def _run(config: Config, load: Callable[[], tuple[Episodes, dict]], resume: bool, progress: bool) -> Run:
    folder = pathlib.Path(config.workdir) if config.workdir else default_workdir(config)
    check_workdir(folder, config, resume)
    mesh = make_mesh(config.parallel.devices)
    sharding = batch_sharding(mesh, config.train.batch_size)
    episodes, provenance = load()
    check_context(config, episodes)
    experts = select_experts(
        episodes.returns, episodes.lengths, fraction=config.expert.fraction, threshold=config.expert.threshold
    )
    log.info("data: %s, %d episodes, %d steps", episodes.name, episodes.lengths.size, episodes.rewards.size)
    log.info("expert set: %s", experts.describe())
    observation_size, action_size = episodes.observations.shape[1], episodes.actions.shape[1]
    spec = make_spec(config, observation_size, action_size, int(episodes.lengths.max()), sharding)
    signal = _train(config, folder, spec, mesh, episodes, experts, provenance, resume, progress)
    if signal is not None:
        log.warning("interrupted; the state is saved in %s: continue with --resume", folder / "checkpoints")
        return Run(folder, results={}, signal=signal)
    return Run(folder, results=write_results(config, folder, provenance | {"expert_set": experts.describe()}))


def _train(
    config: Config,
    folder: pathlib.Path,
    spec: Spec,
    mesh,
    episodes: Episodes,
    experts: ExpertSet,
    provenance: dict,
    resume: bool,
    progress: bool,
) -> int | None:
    """Trains to the end, or to a signal, whose number is returned."""
    normalizer = make_normalizer(episodes)
    states = init_states(jnp.asarray(config.seeds, jnp.int32), spec=spec)
    folder.mkdir(parents=True, exist_ok=True)
    with (
        Checkpoints(folder / "checkpoints", config.train.keep_checkpoints) as checkpoints,
        Interruption() as interruption,
    ):
        about = _identity(config, spec, provenance)
        if resume and checkpoints.latest_step() is not None:
            states = checkpoints.restore(states, normalizer, about)
        elif resume:
            log.warning("no checkpoint was written before the interruption: starting from the first update")
        write_json(folder / "config.json", to_json(config))
        evaluator = _make_evaluator(config, spec, normalizer)
        with Session(
            config, folder, checkpoints, interruption, evaluator, normalizer, about, progress=progress
        ) as session:
            session.rewind(int(states.step[0]))
            # A signal during an evaluation: the checkpoint before it is written, and resuming repeats the evaluation.
            with contextlib.suppress(Interrupted):
                train(
                    replicate(states, mesh),
                    replicate(make_store(episodes, experts, normalizer, config.policy.return_scale), mesh),
                    make_coefficients(config),
                    spec=spec,
                    map_seeds=seed_mapping(config),
                    schedule=Schedule(
                        config.train.steps, config.train.log_every, config.eval.every, config.train.checkpoint_every
                    ),
                    hooks=session,
                )
        return interruption.signal


def load_episodes(config: Config) -> tuple[Episodes, dict]:
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
            raise ValueError(
                f"config.data.minari_id={dataset_id}: no such data set on this machine. See `minari list local` for "
                f"those there are, or make it: python experiments/recreate.py --task={task.name}"
            ) from error
    log.info("%s is not on this machine: recreating it once, by D4RL's published recipe", dataset_id)
    from rvdt_jax.recreate import recreate

    return load_local(recreate(task.name))


def check_context(config: Config, episodes: Episodes) -> None:
    """Refuses a context that no episode can fill."""
    longest = int(episodes.lengths.max())
    if config.model.context_length > longest:
        raise ValueError(
            f"config.model.context_length={config.model.context_length} is longer than every episode of "
            f"{episodes.name} (the longest has {longest} steps). Set it to {longest} or less."
        )


def write_results(config: Config, folder: pathlib.Path, provenance: dict) -> dict:
    """Writes ``results.json`` and ``learning_curve.png`` from the records; returns the former."""
    task = get_task(config.task)
    evaluations = read_lines(folder / "evaluations.jsonl")
    results = {
        "task": config.task,
        "variant": config.variant,
        "seeds": list(config.seeds),
        "steps": config.train.steps,
        "headline_target": str(evaluations[0]["target"]),
        "ref_min_return": task.ref_min_return,
        "ref_max_return": task.ref_max_return,
        **summarise(evaluations, task.ref_min_return, task.ref_max_return),
        "provenance": provenance,
        "hardware": f"{jax.device_count()} x {jax.devices()[0].device_kind}",
        "versions": {name: metadata.version(name) for name in ("jax", "flax", "optax", "mujoco", "gymnasium")},
    }
    write_json(folder / "results.json", results)
    plot_learning_curves(
        {f"{config.variant}, target {evaluations[0]['target']}": (evaluations, evaluations[0]["target"])},
        folder / "learning_curve.png",
        title=f"{config.task} ({'recreated data' if provenance.get('recreated') else provenance['dataset_id']})",
        ref_min_return=task.ref_min_return,
        ref_max_return=task.ref_max_return,
    )
    return results


def _make_evaluator(config: Config, spec: Spec, normalizer: Normalizer) -> Evaluator:
    return Evaluator(
        get_task(config.task).env_id,
        Actor(spec.policy, spec.critic, spec.context_length, config.eval.action_selection),
        normalizer,
        seeds=config.seeds,
        targets=config.eval.targets,
        return_scale=config.policy.return_scale,
    )


def _identity(config: Config, spec: Spec, provenance: dict) -> dict:
    """What must be the same for a checkpoint to be continued, and what it takes to act with it."""
    sizes = {
        "observation_size": spec.policy.observation_size,
        "action_size": spec.policy.action_size,
        "max_timestep": spec.policy.max_timestep,
    }
    return {
        "config": training_settings(to_json(config)),
        "sizes": sizes,
        "content_digest": provenance.get("content_digest"),
    }
