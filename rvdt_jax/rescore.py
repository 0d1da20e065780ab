"""Scoring a saved run again, with other episodes or targets, or on another machine than trained it; and a video."""

from __future__ import annotations

import dataclasses
import logging
import os
import pathlib

import jax
import numpy as np

from rvdt_jax.config_checks import check_targets
from rvdt_jax.envs.adapters import make_env
from rvdt_jax.evaluation.evaluator import Evaluator
from rvdt_jax.policy_io import Policy, SavedRun, load_run
from rvdt_jax.report.records import summarise, write_json
from rvdt_jax.scoring import Scoring, scoring_from_json
from rvdt_jax.versions import installed_versions

log = logging.getLogger(__name__)


def score_run(
    folder: pathlib.Path,
    *,
    step: int | None = None,
    episodes: int | None = None,
    targets: tuple[float, ...] | None = None,
    processes: int | None = None,
) -> tuple[dict, pathlib.Path]:
    """Plays a run's checkpoint, and writes ``scores-<update>.json`` beside its records; no file is ever replaced.

    The starts are those of the run's own evaluations: with its own numbers of episodes and targets, its own scores.

    Args:
        folder: the run directory.
        step: which checkpoint; None takes the newest.
        episodes: per seed and target; None: as the run's final evaluation.
        targets: raw target returns, the first is the headline; None: the run's.
        processes: for simulators; None: the run's setting.

    Returns:
        The scores, laid out as ``results.json`` with the raw ``evaluations`` besides, and the file.

    Raises:
        ValueError: no such run or checkpoint, a bad value, or the run has no environment to be scored in.
    """
    saved, scoring = _load(folder, step)
    settings = saved.config.eval
    episodes = settings.episodes if episodes is None else episodes
    if episodes < 1:
        raise ValueError(f"--episodes={episodes}: play at least one.")
    targets = settings.targets if targets is None else check_targets(targets, "--targets")
    evaluator = Evaluator(
        scoring.environment,
        saved.actor,
        saved.normalizer,
        seeds=saved.config.seeds,
        targets=targets,
        return_scale=saved.config.policy.return_scale,
        processes=settings.processes if processes is None else processes,
        parallel_episodes=settings.parallel_episodes,
    )
    try:
        records = evaluator(saved.params, step=saved.step, episodes=episodes)
    finally:
        evaluator.close()
    records = [record | {"final": True} for record in records]
    tables = summarise(records, scoring.ref_min_return, scoring.ref_max_return)
    scores = {
        "task": saved.config.task,
        "variant": saved.config.variant,
        "seeds": list(saved.config.seeds),
        "steps": saved.step,
        "headline_target": str(records[0]["target"]),
        "final": tables["final"],
        "environment": scoring.environment.id,
        "ref_min_return": scoring.ref_min_return,
        "ref_max_return": scoring.ref_max_return,
        "provenance": saved.provenance,
        "hardware": f"1 x {jax.devices()[0].device_kind}",
        "versions": installed_versions(),
        "evaluations": records,
    }
    path = _free_path(folder, saved.step)
    write_json(path, scores)
    return scores, path


def record_video(folder: pathlib.Path, path: pathlib.Path, *, step: int | None = None, target: float | None = None):
    """Films one episode of the first seed's policy.

    Args:
        folder: the run directory.
        path: the file to write; its ending, such as .mp4 or .gif, says the format. It must not exist.
        step: which checkpoint; None takes the newest.
        target: the target return; None: the run's first.

    Raises:
        ValueError: as ``score_run``; the file exists; or no video can be written or drawn on this machine.
    """
    import imageio

    saved, scoring = _load(folder, step)
    # The adapted environment gives flat vectors and takes actions in [-1, 1]: the policy's own spaces are not needed.
    adapted = dataclasses.replace(saved, spaces={"observation_keys": (), "action_low": (), "action_high": ()})
    policy = Policy(_first_seed(adapted), saved.config.seeds[0])
    env = make_env(scoring.environment, render_mode="rgb_array")
    fps = env.metadata.get("render_fps", 30)
    speed = {"duration": 1000 / fps, "loop": 0} if path.suffix == ".gif" else {"fps": fps}
    partial = path.with_name(f".{path.stem}.partial{path.suffix}")
    try:
        with imageio.get_writer(partial, **speed) as video:
            episode_return, length = _film(env, policy, target, saved.config.seeds[0], video)
        os.replace(partial, path)
    except Exception as error:  # OpenGL and ffmpeg raise whatever they like
        raise ValueError(
            f"--video={path}: {scoring.environment.id} cannot be filmed here ({type(error).__name__}: {error}). "
            "Without a screen MuJoCo draws with MUJOCO_GL=egl, or osmesa where it is installed."
        ) from error
    finally:
        partial.unlink(missing_ok=True)
        env.close()
    log.info("%s: one episode of %d steps, return %.1f", path, length, episode_return)


def check_video(path: pathlib.Path) -> None:
    """Refuses a video that could not be written, before any work is done.

    Raises:
        ValueError: it exists, its folder does not, its format is unknown, or the encoder is not installed.
    """
    if path.exists():
        raise ValueError(f"--video={path}: the file exists. Choose another name; nothing was touched.")
    if not path.absolute().parent.is_dir():
        raise ValueError(f"--video={path}: there is no folder {path.absolute().parent}. Make it, or choose another.")
    if path.suffix not in (".mp4", ".gif"):
        raise ValueError(f"--video={path}: choose a name that ends in .mp4 or .gif.")
    try:
        import imageio  # noqa: F401

        if path.suffix == ".mp4":
            import imageio_ffmpeg  # noqa: F401
    except ImportError as error:
        raise ValueError(f"--video={path}: {error.name} is not installed: pip install 'rvdt-jax[video]'.") from error


def _load(folder: pathlib.Path, step: int | None) -> tuple[SavedRun, Scoring]:
    saved = load_run(folder, step=step)
    scoring = scoring_from_json(saved.scoring)
    if scoring.environment is None:
        raise ValueError(f"{folder}: was trained without an environment to score it in (config.env).")
    return saved, scoring


def _first_seed(saved: SavedRun) -> SavedRun:
    return dataclasses.replace(saved, params=jax.tree.map(lambda leaf: leaf[:1], saved.params))


def _film(env, policy: Policy, target: float | None, seed: int, video) -> tuple[float, int]:
    """Plays one episode, a frame a step; returns its raw return and length."""
    observation, _ = env.reset(seed=seed)
    policy.reset(target)
    reward, total, length, done = 0.0, 0.0, 0, False
    while not done:
        video.append_data(np.asarray(env.render()))
        observation, reward, terminated, truncated, _ = env.step(policy.act(observation, previous_reward=reward))
        total, length, done = total + reward, length + 1, terminated or truncated
    video.append_data(np.asarray(env.render()))
    return total, length


def _free_path(folder: pathlib.Path, step: int) -> pathlib.Path:
    """``scores-<step>.json``, or with a number where that is taken."""
    number, path = 1, folder / f"scores-{step}.json"
    while path.exists():
        number += 1
        path = folder / f"scores-{step}-{number}.json"
    return path
