"""Scoring a saved run again, with other episodes or targets, or on another machine than the one that trained it."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import logging
import os
import pathlib

import jax

from rvdt_jax.acting.saved import SavedRun, load_run
from rvdt_jax.config.checks import check_targets
from rvdt_jax.config.serialization import to_json
from rvdt_jax.errors import UserError
from rvdt_jax.evaluation.evaluator import Evaluator
from rvdt_jax.evaluation.target import Scoring, scoring_from_json
from rvdt_jax.report.provenance import describe_hardware, installed_versions
from rvdt_jax.report.records import extrapolation, write_json
from rvdt_jax.report.results import assemble_results

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
) -> ScoredRun:
    """Loads a run's checkpoint, to be scored in the environment that it names.

    Args:
        folder: the run directory.
        step: the checkpoint's update; None takes the newest.
        targets: raw target returns, the first is the headline; None takes the run's.
        selection: as ``eval.action_selection``; None takes the run's.

    Raises:
        UserError: there is no such run or checkpoint, a value is bad, or the run has no evaluation environment.
    """
    saved = load_run(folder, step=step, selection=selection)
    scoring = scoring_from_json(saved.scoring)
    if scoring.environment is None:
        raise UserError(f"{folder}: was trained on data that name no environment, and without config.env.")
    if targets is not None:
        if not saved.actor.policy.condition_on_return:
            raise UserError(f"--targets: {saved.config.variant} sees no target return. Leave it unset.")
        scored = dataclasses.replace(saved.config.eval, targets=check_targets(targets, "--targets"))
        saved = dataclasses.replace(saved, config=dataclasses.replace(saved.config, eval=scored))
    return ScoredRun(pathlib.Path(folder), saved, scoring)


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
    if not os.access(run.folder, os.W_OK):
        raise UserError(f"{run.folder}: cannot be written, but the scores go there. Correct its permissions.")
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
    path = _reserve(run.folder, saved.step)
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
    }
    results = assemble_results(to_json(run.saved.config), run.saved.step, records, facts)
    del results["best"]
    return results | {"evaluations": records}


def _reserve(folder: pathlib.Path, step: int) -> pathlib.Path:
    """A new, empty ``scores-<step>.json``, with a number if that exists."""
    for number in itertools.count(1):
        path = folder / (f"scores-{step}.json" if number == 1 else f"scores-{step}-{number}.json")
        with contextlib.suppress(FileExistsError), path.open("x"):
            return path
