"""Scoring a saved run again, with other episodes or targets, or on another machine than the one that trained it."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import pathlib

import jax

from rvdt_jax.acting.saved import SavedRun, load_run
from rvdt_jax.config.serialization import to_json
from rvdt_jax.envs.vector import try_environment
from rvdt_jax.errors import UserError
from rvdt_jax.evaluation.evaluator import Evaluator
from rvdt_jax.evaluation.target import Scoring, horizon_of, scoring_from_json
from rvdt_jax.files import check_writable, reserve
from rvdt_jax.report.provenance import describe_hardware, installed_versions, source_commit
from rvdt_jax.report.records import extrapolation, write_json
from rvdt_jax.report.results import assemble_results
from rvdt_jax.tasks import Environment, get_task

log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class ScoredRun:
    """A run's checkpoint, loaded once to be scored and filmed.

    Attributes:
        folder: the run directory.
        saved: the content of the checkpoint.
        scoring: the evaluation environment, which is not None, and the reference returns.
    """

    folder: pathlib.Path
    saved: SavedRun
    scoring: Scoring


def load_scored(
    folder: pathlib.Path,
    *,
    step: int | None = None,
    targets: tuple[float, ...] | None = None,
    selection: str | None = None,
    env: str | None = None,
    horizon: int | None = None,
) -> ScoredRun:
    """Loads a run's checkpoint, to be scored in the environment that it names, or in another.

    Args:
        folder: the run directory.
        step: the checkpoint's update; None takes the newest.
        targets: raw target returns, the first is the headline; None takes the run's.
        selection: as ``eval.action_selection``; None takes the run's.
        env: Gymnasium id of an environment; None takes the run's. Another than the run's has no reference returns,
            unless the run has a task.
        horizon: steps after which an episode is cut; None: as in the run's settings, or else in its task, or else as
            registered.

    Raises:
        UserError: there is no such run or checkpoint, a value is bad, the run has no evaluation environment, or the one
            that is named has other observations or actions.
    """
    saved = load_run(folder, step=step, selection=selection, targets=targets)
    scoring = scoring_from_json(saved.scoring)
    if env is not None:
        scoring = _score_in(env, saved, scoring)
    if scoring.environment is None:
        raise UserError(
            f"{folder}: was trained on data that name no environment, and without config.env. Name one with --env=ID, "
            "a Gymnasium id (module:id if importing a module registers it); --fqe needs none."
        )
    if horizon is not None:
        if horizon < 1:
            raise UserError(f"--horizon={horizon}: give at least one step.")
        scoring = dataclasses.replace(scoring, environment=dataclasses.replace(scoring.environment, horizon=horizon))
    if env is not None:
        _check_sizes(saved, scoring.environment, folder)
    return ScoredRun(saved.folder, saved, scoring)


def _score_in(env: str, saved: SavedRun, scoring: Scoring) -> Scoring:
    """As ``config.env`` would have been: with the run's observation entries and action bounds."""
    if scoring.environment is not None and scoring.environment.id == env:
        return scoring
    names = ("observation_keys", "observation_offset", "action_low", "action_high")
    spaces = {name: tuple(saved.spaces.get(name, ())) for name in names}  # older runs have no offset
    task = get_task(saved.config.task) if saved.config.task else None
    environment = Environment(env, horizon=horizon_of(saved.config, task), **spaces)
    references = (scoring.ref_min_return, scoring.ref_max_return) if task else (None, None)
    return Scoring(environment, *references)


def _check_sizes(saved: SavedRun, environment: Environment, folder: pathlib.Path) -> None:
    policy, found = saved.actor.policy, try_environment(environment)
    expected = policy.observation_size, policy.action_size
    if found != expected:
        raise UserError(
            f"--env={environment.id}: its observations and actions have sizes {found}, but those that {folder} was "
            f"trained on have {expected}. Name another environment."
        )


def score_run(
    run: ScoredRun,
    *,
    episodes: int | None = None,
    processes: int | None = None,
    parallel_episodes: int | None = None,
) -> tuple[dict, pathlib.Path]:
    """Evaluates a run's checkpoint and writes ``scores-<update>.json`` beside its records; no file is ever replaced.

    The starts are those of the run's own evaluations: equal numbers of episodes and targets give equal scores.

    Args:
        run: see ``load_scored``.
        episodes: per seed and target; None: as in the run's final evaluation.
        processes, parallel_episodes: as in ``config.eval``; None: the run's settings.

    Returns:
        The scores, laid out as ``results.json`` with the raw ``evaluations`` in addition, and the file.

    Raises:
        UserError: a value is bad, or the run's folder cannot be written.
    """
    saved, settings = run.saved, run.saved.config.eval
    check_writable(run.folder)
    episodes = settings.episodes if episodes is None else episodes
    if episodes < 1:
        raise UserError(f"--episodes={episodes}: play at least one.")
    processes = settings.processes if processes is None else processes
    parallel = settings.parallel_episodes if parallel_episodes is None else parallel_episodes
    with contextlib.closing(make_evaluator(run, processes=processes, parallel_episodes=parallel)) as evaluator:
        records = evaluator(saved.params, step=saved.step, episodes=episodes)
    for warning in filter(None, map(extrapolation, records)):
        log.warning("%s", warning)
    scores = _summary(run, [record | {"final": True} for record in records])
    path = reserve(run.folder, f"scores-{saved.step}")
    write_json(path, scores)
    return scores, path


def make_evaluator(run: ScoredRun, *, seeds: tuple[int, ...] | None = None, **how) -> Evaluator:
    """The evaluator with a run's settings, of all its seeds or some; ``how`` are further arguments of ``Evaluator``."""
    saved, config = run.saved, run.saved.config
    return Evaluator(
        run.scoring.environment,
        saved.actor,
        saved.normalizer,
        seeds=config.seeds if seeds is None else seeds,
        targets=config.eval.targets,
        return_scale=config.policy.return_scale,
        return_range=saved.return_range,
        **how,
    )


def _summary(run: ScoredRun, records: list[dict]) -> dict:
    """The content of ``scores-<update>.json``; one checkpoint has a final score, but no best one."""
    facts = {
        "environment": run.scoring.environment.id,
        "ref_min_return": run.scoring.ref_min_return,
        "ref_max_return": run.scoring.ref_max_return,
        "provenance": run.saved.provenance,
        "hardware": describe_hardware(jax.devices()[0].device_kind),
        "versions": installed_versions(),
        "commit": source_commit(),
    }
    results = assemble_results(to_json(run.saved.config), run.saved.step, records, facts)
    del results["best"]
    return results | {"evaluations": records}
