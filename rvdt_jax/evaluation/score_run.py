"""Scoring a saved run again, with other episodes or targets, or on another machine than trained it; and its paths."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import logging
import os
import pathlib
from typing import TYPE_CHECKING

import jax
import numpy as np

from rvdt_jax.acting.policy import SavedRun, load_run
from rvdt_jax.config.checks import check_targets
from rvdt_jax.config.serialization import to_json
from rvdt_jax.envs.maze2d import GOAL_RADIUS, ORIGIN, get_maze_task
from rvdt_jax.envs.vector import is_light
from rvdt_jax.errors import UserError
from rvdt_jax.evaluation.evaluator import Evaluator
from rvdt_jax.evaluation.recording import Recording
from rvdt_jax.evaluation.rollout import VectorEnv
from rvdt_jax.evaluation.target import Scoring, scoring_from_json
from rvdt_jax.report.provenance import describe_hardware, installed_versions
from rvdt_jax.report.records import extrapolation, write_json
from rvdt_jax.report.results import assemble_results
from rvdt_jax.report.summary import data_label
from rvdt_jax.tasks import normalized_score

if TYPE_CHECKING:
    from rvdt_jax.report.paths import Paths

log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class ScoredRun:
    """A run's checkpoint, loaded once to be scored and filmed.

    Attributes:
        folder: the run directory.
        saved: what the checkpoint holds.
        scoring: what scores it; its environment is not None.
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
        step: which checkpoint; None takes the newest.
        targets: raw target returns, the first is the headline; None: the run's.
        selection: how actions are chosen, as ``eval.action_selection``; None: the run's.

    Raises:
        UserError: no such run or checkpoint, a bad value, or the run has no environment to be scored in.
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
    """Plays a run's checkpoint, and writes ``scores-<update>.json`` beside its records; no file is ever replaced.

    The starts are those of the run's own evaluations: with its own numbers of episodes and targets, its own scores.

    Args:
        run: see ``load_scored``.
        episodes: per seed and target; None: as the run's final evaluation.
        processes, parallel_episodes: as in ``config.eval``; None: the run's settings.

    Returns:
        The scores, laid out as ``results.json`` with the raw ``evaluations`` besides, and the file.

    Raises:
        UserError: a bad value, or the run's folder cannot be written.
    """
    saved, scoring, folder = run.saved, run.scoring, run.folder
    settings = saved.config.eval
    if not os.access(folder, os.W_OK):
        raise UserError(f"{folder}: cannot be written, but the scores go there. Correct its permissions.")
    episodes = settings.episodes if episodes is None else episodes
    if episodes < 1:
        raise UserError(f"--episodes={episodes}: play at least one.")
    evaluator = _make_evaluator(
        saved,
        scoring,
        processes=settings.processes if processes is None else processes,
        parallel_episodes=settings.parallel_episodes if parallel_episodes is None else parallel_episodes,
    )
    with contextlib.closing(evaluator):
        records = evaluator(saved.params, step=saved.step, episodes=episodes)
    for record in records:
        if extrapolation(record):
            log.warning("%s", extrapolation(record))
    scores = _summary(saved, scoring, [record | {"final": True} for record in records])
    path = _reserve(folder, saved.step)
    write_json(path, scores)
    return scores, path


def _summary(saved: SavedRun, scoring: Scoring, records: list[dict]) -> dict:
    """The content of ``scores-<update>.json``: of one checkpoint there is a final score, and no best one."""
    facts = {
        "environment": scoring.environment.id,
        "ref_min_return": scoring.ref_min_return,
        "ref_max_return": scoring.ref_max_return,
        "provenance": saved.provenance,
        "hardware": describe_hardware(jax.devices()[0].device_kind),
        "versions": installed_versions(),
    }
    results = assemble_results(to_json(saved.config), saved.step, records, facts)
    del results["best"]
    return results | {"evaluations": records}


def record_paths(folder: pathlib.Path, *, episodes: int, seed: int | None = None, step: int | None = None) -> Paths:
    """Plays the policy of one seed in its maze with the evaluator, and keeps where the ball went.

    Args:
        folder: the run directory.
        episodes: how many; their starts depend on the seed alone, and are those of the run's own evaluations.
        seed: which training seed's policy; None takes the first.
        step: which checkpoint; None takes the newest.

    Raises:
        UserError: no such run, checkpoint or seed; or it is not scored in a maze2d task.
    """
    from rvdt_jax.report.paths import Paths

    run = load_scored(folder, step=step)
    saved, scoring = run.saved, run.scoring
    environment, seeds = scoring.environment, saved.config.seeds
    if not is_light(environment):
        raise UserError(f"{folder}: is scored in {environment.id}, but paths are drawn in maze2d's mazes only.")
    seed = seeds[0] if seed is None else seed
    if seed not in seeds:
        raise UserError(f"{folder}: has no seed {seed}; trained were {', '.join(map(str, seeds))}.")
    observations, returns = _play_recorded(saved, scoring, seed, episodes)
    name, references = environment.id.rpartition("/")[2], (scoring.ref_min_return, scoring.ref_max_return)
    maze = get_maze_task(name).maze
    return Paths(
        variant=saved.config.variant,
        task=name,
        data=data_label(saved.provenance),
        seed=seed,
        step=saved.step,
        rows=maze.rows,
        goal=tuple(coordinate + ORIGIN for coordinate in maze.goal),
        goal_radius=GOAL_RADIUS,
        positions=observations[..., :2] + ORIGIN,
        returns=returns,
        scores=None if None in references else normalized_score(returns, *references),
    )


def _play_recorded(saved: SavedRun, scoring: Scoring, seed: int, episodes: int) -> tuple[np.ndarray, np.ndarray]:
    """(E, T + 1, S) observations and (E,) raw returns of one seed's policy at the headline target."""
    recordings: list[Recording] = []

    def record(env: VectorEnv) -> VectorEnv:
        recordings.append(Recording(env))
        return recordings[-1]

    row = saved.config.seeds.index(seed)
    params = jax.tree.map(lambda leaf: leaf[row : row + 1], saved.params)
    with contextlib.closing(_make_evaluator(saved, scoring, seeds=(seed,), wrap=record)) as evaluator:
        headline, *_ = evaluator(params, step=saved.step, episodes=episodes)
    observations = np.stack(recordings[-1].observations, axis=1)
    return observations[:episodes], np.array(headline["returns"])  # the headline target's copies come first


def _make_evaluator(saved: SavedRun, scoring: Scoring, *, seeds: tuple[int, ...] | None = None, **how) -> Evaluator:
    """The evaluator of a run's settings, of all its seeds or some; ``how`` are further arguments of ``Evaluator``."""
    config = saved.config
    return Evaluator(
        scoring.environment,
        saved.actor,
        saved.normalizer,
        seeds=config.seeds if seeds is None else seeds,
        targets=config.eval.targets,
        return_scale=config.policy.return_scale,
        return_range=saved.return_range,
        **how,
    )


def _reserve(folder: pathlib.Path, step: int) -> pathlib.Path:
    """A new, empty ``scores-<step>.json``, or with a number where that is taken."""
    for number in itertools.count(1):
        path = folder / (f"scores-{step}.json" if number == 1 else f"scores-{step}-{number}.json")
        with contextlib.suppress(FileExistsError), path.open("x"):
            return path
