"""From settings to a finished run directory. Data, training, evaluation and records meet only here.

Where ``jax.distributed`` has connected several processes, all go through it together: each loads the data and trains,
and process 0 alone looks at the work directory, scores, and writes; see ``rvdt_jax.processes``.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import logging
import pathlib
import signal as signals
from collections.abc import Callable
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from rvdt_jax.config import Config, complete_config, settings_for
from rvdt_jax.config_checks import check_names_data
from rvdt_jax.config_json import to_json, training_settings
from rvdt_jax.data.episodes import Episodes, check_episodes
from rvdt_jax.data.store import make_normalizer, make_store
from rvdt_jax.datasets import load_episodes
from rvdt_jax.errors import UserError
from rvdt_jax.interruption import Interrupted, Interruption
from rvdt_jax.preparation import Data, make_evaluator, prepare, same_data, take_share, to_agree_on
from rvdt_jax.processes import Group
from rvdt_jax.report.records import read_json, write_json
from rvdt_jax.report.results import write_results
from rvdt_jax.scoring import spaces_of
from rvdt_jax.session import Diverged, Session, SharedSession
from rvdt_jax.train.build import make_coefficients, make_spec, seed_mapping
from rvdt_jax.train.checkpoint import Checkpoints
from rvdt_jax.train.driver import Schedule, init_states, train
from rvdt_jax.train.parallel import batch_sharding, from_process_0, make_mesh, replicate, spread_seeds
from rvdt_jax.train.state import Spec
from rvdt_jax.types import Normalizer, Store, TrainState
from rvdt_jax.versions import describe_hardware, installed_versions
from rvdt_jax.workdir import check_workdir, default_workdir, lock_workdir

if TYPE_CHECKING:
    from rvdt_jax.config import ConfigDict

log = logging.getLogger(__name__)
ROLLBACKS = 3  # as often a run is taken back to its last checkpoint, with config.train.on_divergence=rollback


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
        UserError: as ``run_config``.
        KeyboardInterrupt: Ctrl-C; the state is saved.
    """
    named = isinstance(data, str)
    config = settings_for(data if named else data.name, "auto" if named else "memory", config)
    if named:
        run = run_config(config, resume=resume, progress=progress)
    else:
        keys = list(config.data.observation_keys or ())
        provenance = {"dataset_id": data.name, "source": "memory", "observation_keys": keys}
        run = _run(config, lambda config, progress: (check_episodes(data), provenance), resume, progress)
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
        UserError: the settings do not fit the data or the machine, the data set is missing or corrupt, or the work
            directory already holds a run; nothing was overwritten. Or training has diverged. Among several processes
            what process 0 refuses is refused in all, and what differs between them is refused too.
        ProcessFailed: another process has failed, or has died.
    """
    check_names_data(config)
    return _run(config, lambda config, progress: load_episodes(config, progress=progress), resume, progress)


def _run(config: Config, load: Callable[[Config, bool], tuple[Episodes, dict]], resume: bool, progress: bool) -> Run:
    """Checks everything, trains, writes the results; with all processes that there are."""
    folder = pathlib.Path(config.workdir) if config.workdir else default_workdir(config)
    with Group() as group:
        group.agree(to_agree_on(config, resume))
        if group.count > 1 and config.train.on_divergence == "rollback":
            raise UserError(
                "config.train.on_divergence=rollback works in one process alone. Choose stop or skip for several."
            )
        group.lead(lambda: check_workdir(folder, config, resume))
        if resume:
            config = same_data(config, group.lead(lambda: read_json(folder / "config.json")["data"]["minari_id"]))
        mesh = make_mesh(config.parallel.devices, 1 if config.parallel.seeds == "loop" else len(config.seeds))
        sharding = batch_sharding(mesh, config.train.batch_size)
        episodes, provenance = take_share(config, *group.in_turn(lambda: load(config, progress and group.leads)))
        config = complete_config(config, episodes.returns, int(episodes.lengths.max()), provenance["dataset_id"])
        data = prepare(config, episodes, provenance, folder, group, resume)
        sizes = episodes.observations.shape[1], episodes.actions.shape[1]
        spec = make_spec(config, *sizes, int(episodes.lengths.max()), sharding)
        signal = _train(config, folder, spec, mesh, data, group, resume=resume, progress=progress)
        if signal is None:
            results = group.lead(lambda: write_results(to_json(config), folder, _facts(data, mesh, group)))
            return Run(folder, results)
        if group.leads:
            log.warning("interrupted; the state is saved in %s: continue with --resume", folder / "checkpoints")
        return Run(folder, results={}, signal=signal)


def _make_store(config: Config, data: Data, normalizer: Normalizer) -> Store:
    return make_store(
        data.episodes,
        data.experts,
        normalizer,
        return_scale=config.policy.return_scale,
        reward_scale=config.loss.reward_scale,
        reward_shift=config.loss.reward_shift,
    )


def _facts(data: Data, mesh: Mesh | None, group: Group) -> dict:
    """What belongs into the results besides scores."""
    return {
        "environment": data.environment and data.environment.id,
        "ref_min_return": data.scoring.ref_min_return,
        "ref_max_return": data.scoring.ref_max_return,
        "provenance": data.provenance,
        "hardware": describe_hardware(jax.devices()[0].device_kind, mesh.size if mesh else 1, group.count),
        "versions": installed_versions(),
    }


def _train(
    config: Config,
    folder: pathlib.Path,
    spec: Spec,
    mesh: Mesh | None,
    data: Data,
    group: Group,
    *,
    resume: bool,
    progress: bool,
) -> int | None:
    """Trains to the end, or to a signal, whose number is returned."""
    normalizer = make_normalizer(data.episodes)
    states = init_states(jnp.asarray(config.seeds, jnp.int32), spec=spec)
    coefficients = make_coefficients(config)
    session = None
    with contextlib.ExitStack() as stack:
        if group.leads:
            evaluator = make_evaluator(config, spec, normalizer, data.environment, data.episodes.return_range)
            about = _about(config, spec, data)
            folder.mkdir(parents=True, exist_ok=True)
            stack.enter_context(lock_workdir(folder))
            check_workdir(folder, config, resume)  # once more: another process may have been in there meanwhile
            if not resume:  # from here on the folder can be resumed
                write_json(folder / "config.json", to_json(config))
        interruption = stack.enter_context(Interruption())
        group.heed(interruption)
        if group.leads:
            checkpoints = stack.enter_context(
                Checkpoints(
                    folder / "checkpoints",
                    config.train.keep_checkpoints,
                    about,
                    lambda: session.best_step,
                    training_settings,
                )
            )
            session = stack.enter_context(
                Session(config, folder, checkpoints, interruption, evaluator, normalizer, mesh, progress=progress)
            )
            states = _restore(states, normalizer, checkpoints, session, resume)
            if resume:  # only now: a run that the checkpoint refuses keeps its settings
                write_json(folder / "config.json", to_json(config))
        group.lead(lambda: None)  # what follows are collectives, in which nobody waits for long
        states = from_process_0(states)
        log.info("compiling; the first losses come after %d updates of every seed", config.train.log_every)
        hooks = session if group.count == 1 else SharedSession(session, group, mesh, config.train.steps)
        store = replicate(_make_store(config, data, normalizer), mesh)
        schedule = Schedule(
            config.train.steps, config.train.log_every, config.eval.every, config.train.checkpoint_every
        )

        def go_on(states: TrainState) -> None:
            train(
                spread_seeds(states, mesh),
                store,
                replicate(coefficients, mesh),
                spec=spec,
                map_seeds=seed_mapping(config, mesh),
                schedule=schedule,
                hooks=hooks,
            )

        # A signal during an evaluation: its checkpoint is written, and resuming repeats the evaluation.
        with contextlib.suppress(Interrupted), group.explained():
            if config.train.on_divergence == "rollback":
                begin = functools.partial(init_states, jnp.asarray(config.seeds, jnp.int32), spec=spec)
                _with_rollbacks(go_on, states, begin, normalizer, checkpoints, session)
            else:
                go_on(states)
        return None if hooks.finished else hooks.signal


def _with_rollbacks(
    go_on: Callable[[TrainState], None],
    states: TrainState,
    begin: Callable[[], TrainState],
    normalizer: Normalizer,
    checkpoints: Checkpoints,
    session: Session,
) -> None:
    """Trains; after a divergence from the last checkpoint on, with other random numbers, a few times.

    Raises:
        Diverged: once too often.
    """
    for attempt in range(1, ROLLBACKS + 2):
        try:
            return go_on(states)
        except Diverged as error:
            if attempt > ROLLBACKS:
                raise Diverged(f"{error} It was rolled back {ROLLBACKS} times.") from error
            found = checkpoints.latest_step() is not None
            states = checkpoints.restore(begin(), normalizer) if found else begin()
            step = int(states.step[0])
            log.warning("%s Rolling back to update %d, attempt %d of %d", error, step, attempt, ROLLBACKS)
            states = states.replace(
                key=jax.vmap(lambda key, attempt=attempt: jax.random.fold_in(key, attempt))(states.key)
            )
            session.roll_back(step, str(error))


def _restore(
    states: TrainState, normalizer: Normalizer, checkpoints: Checkpoints, session: Session, resume: bool
) -> TrainState:
    """The states to go on from, with the records cut to where they stand."""
    if checkpoints.latest_step() is not None:
        states = checkpoints.restore(states, normalizer)
    elif resume:
        log.warning("no checkpoint was written before the interruption: starting from the first update")
    session.rewind(int(states.step[0]))
    return states


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
        "return_range": list(data.episodes.return_range),
        "provenance": data.provenance,
    }
