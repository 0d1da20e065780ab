"""From settings to a finished run directory. Data, training, evaluation and records meet only here."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import pathlib
import signal as signals
from collections.abc import Callable
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from rvdt_jax.config import Config, complete_config, settings_for
from rvdt_jax.config_json import to_json, training_settings
from rvdt_jax.data.episodes import Episodes, check_episodes
from rvdt_jax.data.rebalance import ExpertSet, select_experts
from rvdt_jax.data.store import make_normalizer, make_store
from rvdt_jax.datasets import load_episodes
from rvdt_jax.interruption import Interrupted, Interruption
from rvdt_jax.models.acting import Actor
from rvdt_jax.report.records import read_json, write_json
from rvdt_jax.report.results import write_results
from rvdt_jax.scoring import Scoring, choose_scoring, spaces_of
from rvdt_jax.session import Session
from rvdt_jax.tasks import Environment
from rvdt_jax.train.build import make_coefficients, make_spec, seed_mapping
from rvdt_jax.train.checkpoint import Checkpoints
from rvdt_jax.train.driver import Schedule, init_states, train
from rvdt_jax.train.parallel import batch_sharding, make_mesh, replicate
from rvdt_jax.train.state import Spec
from rvdt_jax.types import Normalizer, Store
from rvdt_jax.versions import installed_versions
from rvdt_jax.workdir import check_workdir, default_workdir

if TYPE_CHECKING:
    from rvdt_jax.config import ConfigDict
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
        scoring: what can score policies trained on them.
        environment: what scores this run's; None with config.env=none, or where there is none.
    """

    episodes: Episodes
    experts: ExpertSet
    provenance: dict
    scoring: Scoring
    environment: Environment | None


def fit(
    data: str | Episodes, config: Config | ConfigDict | None = None, *, resume: bool = False, progress: bool = True
) -> Run:
    """Trains on data named or handed over, then evaluates and scores as ``config`` says.

    Args:
        data: a Minari id (looked for on this machine, then on Minari's servers; a task's own is recreated where it has
            a recipe), or ``Episodes``.
        config: settings, as ``default_config`` makes them or as ``resolve`` returned them; None takes the defaults.
            Where they name no task, targets and scales come from the data. ``data`` takes the place of ``config.data``.
        resume: continue the run in the work directory from its last checkpoint.
        progress: show progress bars.

    Raises:
        ValueError: as ``run_config``.
        KeyboardInterrupt: Ctrl-C; the state is saved.
    """
    named = isinstance(data, str)
    config = settings_for(data if named else data.name, "auto" if named else "memory", config)
    if named:
        run = run_config(config, resume=resume, progress=progress)
    else:
        keys = list(config.data.observation_keys or ())
        provenance = {"dataset_id": data.name, "source": "memory", "observation_keys": keys}
        run = _run(config, lambda config: (check_episodes(data), provenance), resume, progress)
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
    return _run(config, lambda config: load_episodes(config, progress=progress), resume, progress)


def _run(config: Config, load: Callable[[Config], tuple[Episodes, dict]], resume: bool, progress: bool) -> Run:
    """Checks everything, trains, writes the results."""
    folder = pathlib.Path(config.workdir) if config.workdir else default_workdir(config)
    check_workdir(folder, config, resume)
    if resume:
        config = _same_data(config, folder)
    mesh = make_mesh(config.parallel.devices)
    sharding = batch_sharding(mesh, config.train.batch_size)
    episodes, provenance = load(config)
    config = complete_config(config, episodes.returns, int(episodes.lengths.max()), provenance["dataset_id"])
    check_workdir(folder, config, resume)  # again, with what only the data could tell
    scoring = choose_scoring(config, episodes, provenance)
    environment = None if config.env == "none" else scoring.environment
    check_fit(config, episodes, environment)
    experts = select_experts(
        episodes.returns, episodes.lengths, fraction=config.expert.fraction, threshold=config.expert.threshold
    )
    log.info("data: %s, %d episodes, %d steps", episodes.name, episodes.lengths.size, episodes.rewards.size)
    log.info("expert set: %s", experts.describe())
    provenance = {name: value for name, value in provenance.items() if name != "env_spec"}  # now in ``scoring``
    provenance |= {"content_digest": episodes.digest(), "expert_set": experts.describe()}
    observation_size, action_size = episodes.observations.shape[1], episodes.actions.shape[1]
    spec = make_spec(config, observation_size, action_size, int(episodes.lengths.max()), sharding)
    data = Data(episodes, experts, provenance, scoring, environment)
    signal = _train(config, folder, spec, mesh, data, resume, progress)
    if signal is not None:
        log.warning("interrupted; the state is saved in %s: continue with --resume", folder / "checkpoints")
        return Run(folder, results={}, signal=signal)
    return Run(folder, results=write_results(to_json(config), folder, _facts(data, mesh)))


def _same_data(config: Config, folder: pathlib.Path) -> Config:
    """Names the data set that the run was begun on: meanwhile there may be one that would come first."""
    begun = read_json(folder / "config.json")["data"]["minari_id"]
    if config.data.minari_id is None and begun is not None:
        return dataclasses.replace(config, data=dataclasses.replace(config.data, minari_id=begun))
    return config


def _make_store(config: Config, data: Data, normalizer: Normalizer) -> Store:
    return make_store(
        data.episodes,
        data.experts,
        normalizer,
        return_scale=config.policy.return_scale,
        reward_scale=config.loss.reward_scale,
        reward_shift=config.loss.reward_shift,
    )


def _facts(data: Data, mesh: Mesh | None) -> dict:
    """What belongs into the results besides scores."""
    return {
        "environment": data.environment and data.environment.id,
        "ref_min_return": data.scoring.ref_min_return,
        "ref_max_return": data.scoring.ref_max_return,
        "provenance": data.provenance,
        "hardware": f"{mesh.size if mesh else 1} x {jax.devices()[0].device_kind}",
        "versions": installed_versions(),
    }


def _train(
    config: Config, folder: pathlib.Path, spec: Spec, mesh: Mesh | None, data: Data, resume: bool, progress: bool
) -> int | None:
    """Trains to the end, or to a signal, whose number is returned."""
    normalizer = make_normalizer(data.episodes)
    states = init_states(jnp.asarray(config.seeds, jnp.int32), spec=spec)
    coefficients = make_coefficients(config)
    evaluator = _make_evaluator(config, spec, normalizer, data.environment)
    about = _about(config, spec, data)
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
                replicate(_make_store(config, data, normalizer), mesh),
                coefficients,
                spec=spec,
                map_seeds=seed_mapping(config),
                schedule=Schedule(
                    config.train.steps, config.train.log_every, config.eval.every, config.train.checkpoint_every
                ),
                hooks=session,
            )
        return None if session.finished else interruption.signal


def check_fit(config: Config, episodes: Episodes, environment: Environment | None) -> None:
    """Refuses a context that no episode can fill, and data that the environment cannot score.

    Raises:
        ValueError: naming both sides.
    """
    longest = int(episodes.lengths.max())
    if config.model.context_length > longest:
        raise ValueError(
            f"config.model.context_length={config.model.context_length} is longer than every episode of "
            f"{episodes.name} (the longest has {longest} steps). Set it to {longest} or less."
        )
    if environment is None:
        return
    try:
        from rvdt_jax.envs.vector import environment_sizes
    except ImportError:
        return  # nothing is scored on this machine
    sizes, expected = (episodes.observations.shape[1], episodes.actions.shape[1]), environment_sizes(environment)
    if sizes != expected:
        raise ValueError(
            f"{episodes.name}: observations and actions have sizes {sizes}, but {environment.id}, which scores "
            f"them, has {expected}. Choose config.task, config.env or the data to fit each other; config.env=none "
            "trains without scores."
        )


def _make_evaluator(
    config: Config, spec: Spec, normalizer: Normalizer, environment: Environment | None
) -> Evaluator | None:
    """None where nothing is scored: so it was chosen, or no simulator is installed, which training does not need."""
    if config.env == "none":
        log.info("nothing will be scored: config.env=none")
    if environment is None:
        return None
    try:
        from rvdt_jax.evaluation.evaluator import Evaluator
    except ImportError as error:
        log.warning("nothing will be scored: %s is not installed", error.name)
        return None
    return Evaluator(
        environment,
        Actor(spec.policy, spec.critic, spec.context_length, config.eval.action_selection),
        normalizer,
        seeds=config.seeds,
        targets=config.eval.targets,
        return_scale=config.policy.return_scale,
        processes=config.eval.processes,
        parallel_episodes=config.eval.parallel_episodes,
    )


def _about(config: Config, spec: Spec, data: Data) -> dict:
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
        "content_digest": data.provenance["content_digest"],
    }
    return {
        "identity": identity,
        "config": settings,
        "sizes": sizes,
        "spaces": spaces_of(data.episodes, data.provenance),
        "scoring": dataclasses.asdict(data.scoring),
        "provenance": data.provenance,
    }
