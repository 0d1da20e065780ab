"""Training of a run: its states and checkpoints, its hooks between the compiled calls, and what ends it."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import logging
import pathlib
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from rvdt_jax.algorithms.base import Algorithm, Spec
from rvdt_jax.algorithms.variants import get_variant
from rvdt_jax.config.serialization import to_json, training_settings
from rvdt_jax.config.settings import Config
from rvdt_jax.data.store import make_normalizer, make_store
from rvdt_jax.errors import UserError
from rvdt_jax.evaluation.target import spaces_of
from rvdt_jax.report.records import write_json
from rvdt_jax.runs.holdout import make_holdout
from rvdt_jax.runs.hooks import Diverged, Session
from rvdt_jax.runs.preparation import Data, make_evaluator, sizes_of
from rvdt_jax.runs.processes import Group
from rvdt_jax.runs.relabel import keep_relabelled
from rvdt_jax.runs.resuming import begin_again
from rvdt_jax.runs.shared_hooks import SharedSession
from rvdt_jax.runs.signals import Interrupted, Interruption
from rvdt_jax.runs.warm_start import begin_from, keep_source, source_of
from rvdt_jax.runs.workdir import check_workdir, lock_workdir
from rvdt_jax.train.checkpoint import Checkpoints
from rvdt_jax.train.driver import Schedule, init_states, train
from rvdt_jax.train.parallel import from_process_0, replicate, seed_mapping, spread_seeds
from rvdt_jax.types import Normalizer, TrainState

log = logging.getLogger(__name__)
ROLLBACKS = 3  # as often a run is taken back to one checkpoint, with config.train.on_divergence=rollback


def fresh_states(config: Config, algorithm: Algorithm, spec: Spec) -> Callable[[], TrainState]:
    """What makes the states of all seeds before the first update."""
    return functools.partial(init_states, jnp.asarray(config.seeds, jnp.int32), algorithm, spec)


def train_run(
    config: Config,
    folder: pathlib.Path,
    algorithm: Algorithm,
    spec: Spec,
    mesh: Mesh | None,
    data: Data,
    group: Group,
    resume: bool,
    progress: bool,
) -> int | None:
    """Trains to the end, or to a signal, whose number is returned."""
    normalizer = make_normalizer(data.episodes)
    begin = fresh_states(config, algorithm, spec)
    states, session, checkpoints = begin(), None, None
    with contextlib.ExitStack() as stack:
        interruption = Interruption()

        def lead() -> None:
            nonlocal begin, states, session, checkpoints
            evaluator = make_evaluator(config, spec, normalizer, data)
            holdout = make_holdout(config, algorithm, spec, normalizer, data.held)
            warm, source = begin_from(begin, config, folder, resume), None
            if warm is not None:
                (states, source), begin = warm(), lambda: warm(source["step"])[0]  # a rollback may begin again
            _enter(stack, folder, config, resume)
            keep_source(folder, source)
            keep_relabelled(folder, data)
            stack.enter_context(interruption)
            saving = folder / "checkpoints", config.train.keep_checkpoints, _about(config, data, folder)
            checkpoints = stack.enter_context(Checkpoints(*saving, lambda: session.best_step, training_settings))
            how = checkpoints, normalizer, interruption, evaluator, holdout, progress
            session = stack.enter_context(Session(config, folder, *how))
            if resume:
                states = _restore(states, normalizer, checkpoints, folder, config)
            session.rewind(int(states.step[0]))

        group.attempt(lead if group.leads else lambda: stack.enter_context(interruption))
        states = from_process_0(states)
        _warn_of_no_rate(config)
        log.info("compiling; the first losses come after %d updates of every seed", config.train.log_every)
        hooks = SharedSession(session, group, interruption, mesh, config.train.steps, algorithm.acting_params)
        go_on = _make_trainer(config, algorithm, spec, mesh, data, normalizer, hooks)
        # A signal during an evaluation: its checkpoint is written, and resuming repeats the evaluation.
        with contextlib.suppress(Interrupted):
            if config.train.on_divergence == "rollback":
                _with_rollbacks(go_on, states, begin, normalizer, checkpoints, session)
            else:
                go_on(states)
        return None if hooks.finished else hooks.signal


def _warn_of_no_rate(config: Config) -> None:
    """In a run that is made longer by its steps alone the policy learns nothing in the rest."""
    end = config.train.lr_decay_steps
    if config.train.steps > end and get_variant(config.variant).does_read("train.lr_decay_steps"):
        log.warning(
            "the policy's learning rate is 0 from update %d on: to train longer, raise config.train.lr_decay_steps", end
        )


def _enter(stack: contextlib.ExitStack, folder: pathlib.Path, config: Config, resume: bool) -> None:
    """Makes and locks the run directory; from here on a new run can be resumed."""
    folder.mkdir(parents=True, exist_ok=True)
    stack.enter_context(lock_workdir(folder))
    check_workdir(folder, config, resume)  # once more: another process may have been in there meanwhile
    if not resume:
        write_json(folder / "config.json", to_json(config))


def _make_trainer(
    config: Config, algorithm: Algorithm, spec: Spec, mesh: Mesh | None, data: Data, normalizer: Normalizer, hooks
) -> Callable[[TrainState], None]:
    """What trains from given states to the end, with store and coefficients on all devices."""
    scales = {"reward_scale": config.loss.reward_scale, "reward_shift": config.loss.reward_shift}
    store = make_store(data.episodes, data.experts, normalizer, return_scale=config.policy.return_scale, **scales)
    store, coefficients = replicate(store, mesh), replicate(algorithm.make_coefficients(config), mesh)
    schedule = Schedule(config.train.steps, config.train.log_every, config.eval.every, config.train.checkpoint_every)
    how = {"algorithm": algorithm, "spec": spec, "map_seeds": seed_mapping(config, mesh)}

    def go_on(states: TrainState) -> None:
        train(spread_seeds(states, mesh), store, coefficients, **how, schedule=schedule, hooks=hooks)

    return go_on


def _with_rollbacks(
    go_on: Callable[[TrainState], None],
    states: TrainState,
    begin: Callable[[], TrainState],
    normalizer: Normalizer,
    checkpoints: Checkpoints,
    session: Session,
) -> None:
    """Trains; after a divergence from the last checkpoint on, with other random numbers, a few times.

    Attempts are counted for each checkpoint, and their random numbers follow from its key and that count alone: a run
    that is killed and resumed goes the same way as one that is not.

    Raises:
        Diverged: once too often from one checkpoint.
    """
    attempts: dict[int, int] = {}
    while True:
        try:
            return go_on(states)
        except Diverged as error:
            found = checkpoints.latest_step() is not None
            states = checkpoints.restore(begin(), normalizer) if found else begin()
            step = int(states.step[0])
            attempts[step] = attempt = attempts.get(step, 0) + 1
            if attempt > ROLLBACKS:
                raise Diverged(f"{error} It was rolled back {ROLLBACKS} times to update {step}.") from error
            log.warning("%s Rolling back to update %d, attempt %d of %d", error, step, attempt, ROLLBACKS)
            states = states.replace(key=jax.vmap(jax.random.fold_in, in_axes=(0, None))(states.key, attempt))
            session.roll_back(step, str(error))


def _restore(
    states: TrainState, normalizer: Normalizer, checkpoints: Checkpoints, folder: pathlib.Path, config: Config
) -> TrainState:
    """The states that a run is resumed from; ``config.json`` then says what is in effect."""
    if checkpoints.latest_step() is not None:
        states = checkpoints.restore(states, normalizer)
    else:
        log.warning("no checkpoint was written before the interruption: starting from the first update")
    step = int(states.step[0])
    if step > config.train.steps:
        raise UserError(
            f"{folder}: has been trained for {step} updates, but config.train.steps is {config.train.steps}. Set it to "
            f"{step} or more; nothing was touched."
        )
    begin_again(folder, config, step)
    return states


def _about(config: Config, data: Data, folder: pathlib.Path) -> dict:
    """What a checkpoint says of itself: what must be the same to continue it, and what it takes to act with it."""
    sizes, settings = sizes_of(data.episodes), to_json(config)
    identity = {"config": training_settings(settings), "sizes": sizes}
    return {
        "identity": identity | {"content_digest": data.provenance["content_digest"]},
        "config": settings,
        "sizes": sizes,
        "spaces": spaces_of(data.episodes, data.provenance) | {"action_shape": data.episodes.action_shape},
        "scoring": dataclasses.asdict(data.scoring),
        "return_range": list(data.episodes.return_range),
        "provenance": data.provenance | source_of(folder),
    }
