"""Scoring a saved run again, with other episodes or targets, or on another machine than trained it; films; paths."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import logging
import os
import pathlib
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING

import jax
import numpy as np

from rvdt_jax.config_checks import check_targets
from rvdt_jax.config_json import to_json
from rvdt_jax.envs.adapters import make_env
from rvdt_jax.envs.maze2d import GOAL_RADIUS, ORIGIN, get_maze_task
from rvdt_jax.envs.vector import is_light
from rvdt_jax.errors import UserError
from rvdt_jax.evaluation.evaluator import Evaluator
from rvdt_jax.evaluation.recording import Recording
from rvdt_jax.evaluation.rollout import VectorEnv
from rvdt_jax.policy_io import Policy, SavedRun, load_run
from rvdt_jax.report.records import extrapolation, write_json
from rvdt_jax.report.results import assemble_results
from rvdt_jax.report.summary import data_label
from rvdt_jax.scoring import Scoring, scoring_from_json
from rvdt_jax.tasks import normalized_score
from rvdt_jax.versions import describe_hardware, installed_versions

if TYPE_CHECKING:
    from rvdt_jax.report.paths import Paths

log = logging.getLogger(__name__)


def score_run(
    folder: pathlib.Path,
    *,
    step: int | None = None,
    episodes: int | None = None,
    targets: tuple[float, ...] | None = None,
    selection: str | None = None,
    processes: int | None = None,
    parallel_episodes: int | None = None,
) -> tuple[dict, pathlib.Path]:
    """Plays a run's checkpoint, and writes ``scores-<update>.json`` beside its records; no file is ever replaced.

    The starts are those of the run's own evaluations: with its own numbers of episodes and targets, its own scores.

    Args:
        folder: the run directory.
        step: which checkpoint; None takes the newest.
        episodes: per seed and target; None: as the run's final evaluation.
        targets: raw target returns, the first is the headline; None: the run's.
        selection: how actions are chosen, as ``eval.action_selection``; None: the run's.
        processes, parallel_episodes: as in ``config.eval``; None: the run's settings.

    Returns:
        The scores, laid out as ``results.json`` with the raw ``evaluations`` besides, and the file.

    Raises:
        UserError: no such run or checkpoint, a bad value, the run has no environment to be scored in, or its folder
            cannot be written.
    """
    saved, scoring = _load(folder, step, targets, selection)
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


def record_video(
    folder: pathlib.Path,
    path: pathlib.Path,
    *,
    step: int | None = None,
    targets: tuple[float, ...] | None = None,
    selection: str | None = None,
) -> None:
    """Films one episode of the first seed's policy.

    Args:
        folder: the run directory.
        path: the file to write; see ``check_video``.
        step: which checkpoint; None takes the newest.
        targets: raw target returns, of which the first is aimed at, or all are candidates where the critic selects;
            None: the run's.
        selection: as for ``score_run``.

    Raises:
        UserError: as ``score_run``; or no picture can be drawn, or no video written, on this machine.
    """
    import imageio

    saved, scoring = _load(folder, step, targets, selection)
    policy, partial = _film_policy(saved), path.with_name(f".{path.stem}.partial{path.suffix}")
    try:
        with contextlib.closing(make_env(scoring.environment, render_mode="rgb_array")) as env, _without_fork_warning():
            fps = env.metadata.get("render_fps") or 30
            speed = {"duration": 1000 / fps, "loop": 0} if path.suffix == ".gif" else {"fps": fps}
            with imageio.get_writer(partial, **speed) as video:
                episode_return, length = _film(env, policy, saved.config.seeds[0], video)
        os.replace(partial, path)
    except Exception as error:  # OpenGL and ffmpeg raise whatever they like
        raise _no_video(path, scoring, error) from error
    finally:
        partial.unlink(missing_ok=True)
    log.info("%s: one episode of %d steps, return %.1f", path, length, episode_return)


def check_video(path: pathlib.Path, folder: pathlib.Path, *, step: int | None = None) -> None:
    """Refuses a video that could not be made, before any work is done: one picture is drawn.

    Args:
        path: the file to write, ending in .mp4 or .gif.
        folder: the run directory.
        step: which checkpoint.

    Raises:
        UserError: the file exists, its folder does not or cannot be written, its format is unknown, the encoder is
            not installed, or the environment cannot be drawn on this machine.
    """
    parent = path.absolute().parent
    if path.exists():
        raise UserError(f"--video={path}: the file exists. Choose another name; nothing was touched.")
    if not parent.is_dir() or not os.access(parent, os.W_OK):
        raise UserError(f"--video={path}: {parent} is no folder that can be written. Make it, or choose another.")
    if path.suffix not in (".mp4", ".gif"):
        raise UserError(f"--video={path}: choose a name that ends in .mp4 or .gif.")
    try:
        import imageio  # noqa: F401

        if path.suffix == ".mp4":
            import imageio_ffmpeg  # noqa: F401
    except ImportError as error:
        raise UserError(f"--video={path}: {error.name} is not installed: pip install 'rvdt-jax[video]'.") from error
    _, scoring = _load(folder, step)
    try:
        with contextlib.closing(make_env(scoring.environment, render_mode="rgb_array")) as env:
            env.reset(seed=0)
            if env.render() is None:
                raise ValueError("it draws nothing")
    except Exception as error:
        raise _no_video(path, scoring, error) from error


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

    saved, scoring = _load(folder, step)
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


def _no_video(path: pathlib.Path, scoring: Scoring, error: Exception) -> UserError:
    return UserError(
        f"--video={path}: {scoring.environment.id} cannot be filmed here ({type(error).__name__}: {error}). Without a "
        "screen MuJoCo draws with MUJOCO_GL=egl, or osmesa where it is installed."
    )


def _load(
    folder: pathlib.Path, step: int | None, targets: tuple[float, ...] | None = None, selection: str | None = None
) -> tuple[SavedRun, Scoring]:
    """The run, with ``targets`` and ``selection`` in place of its own."""
    saved = load_run(folder, step=step, selection=selection)
    scoring = scoring_from_json(saved.scoring)
    if scoring.environment is None:
        raise UserError(f"{folder}: was trained on data that name no environment, and without config.env.")
    if targets is not None:
        if not saved.actor.policy.condition_on_return:
            raise UserError(f"--targets: {saved.config.variant} sees no target return. Leave it unset.")
        scored = dataclasses.replace(saved.config.eval, targets=check_targets(targets, "--targets"))
        saved = dataclasses.replace(saved, config=dataclasses.replace(saved.config, eval=scored))
    return saved, scoring


def _film_policy(saved: SavedRun) -> Policy:
    """The first seed's policy for an adapted environment, which gives flat vectors and takes actions in [-1, 1]."""
    spaces = {"observation_keys": (), "action_low": (), "action_high": ()}
    return Policy(dataclasses.replace(saved, spaces=spaces), saved.config.seeds[0])


@contextlib.contextmanager
def _without_fork_warning() -> Iterator[None]:
    """JAX warns of forks; the encoder's ends at once in another program, and touches nothing of JAX's."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"os\.fork\(\) was called", RuntimeWarning)
        yield


def _film(env, policy: Policy, seed: int, video) -> tuple[float, int]:
    """Plays one episode, a frame a step; returns its raw return and length."""
    observation, _ = env.reset(seed=seed)
    policy.reset()
    reward, total, length, done = 0.0, 0.0, 0, False
    while not done:
        video.append_data(np.asarray(env.render()))
        observation, reward, terminated, truncated, _ = env.step(policy.act(observation, previous_reward=reward))
        total, length, done = total + reward, length + 1, terminated or truncated
    video.append_data(np.asarray(env.render()))
    return total, length


def _reserve(folder: pathlib.Path, step: int) -> pathlib.Path:
    """A new, empty ``scores-<step>.json``, or with a number where that is taken."""
    for number in itertools.count(1):
        path = folder / (f"scores-{step}.json" if number == 1 else f"scores-{step}-{number}.json")
        with contextlib.suppress(FileExistsError), path.open("x"):
            return path
