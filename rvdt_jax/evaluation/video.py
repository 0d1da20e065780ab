"""A video of a saved run's policy."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
import pathlib
import warnings
from collections.abc import Iterator

import numpy as np

from rvdt_jax.acting.policy import Policy, SavedRun
from rvdt_jax.envs.adapters import make_env
from rvdt_jax.errors import UserError, optional_imports
from rvdt_jax.evaluation.score_run import ScoredRun
from rvdt_jax.evaluation.target import Scoring
from rvdt_jax.files import atomic_write

log = logging.getLogger(__name__)


def record_video(run: ScoredRun, path: pathlib.Path) -> None:
    """Films one episode of the first seed's policy.

    Args:
        run: see ``load_scored``; of its targets the first is aimed at, or all are candidates where the critic selects.
        path: the file to write; see ``check_video``.

    Raises:
        UserError: no picture can be drawn, or no video written, on this machine.
    """
    import imageio

    saved, scoring = run.saved, run.scoring
    policy = _film_policy(saved)
    try:
        with contextlib.closing(make_env(scoring.environment, render_mode="rgb_array")) as env, _without_fork_warning():
            fps = env.metadata.get("render_fps") or 30
            speed = {"duration": 1000 / fps, "loop": 0} if path.suffix == ".gif" else {"fps": fps}
            with atomic_write(path) as partial, imageio.get_writer(partial, **speed) as video:
                episode_return, length = _film(env, policy, saved.config.seeds[0], video)
    except Exception as error:  # OpenGL and ffmpeg raise whatever they like
        raise _no_video(path, scoring, error) from error
    log.info("%s: one episode of %d steps, return %.1f", path, length, episode_return)


def check_video(run: ScoredRun, path: pathlib.Path) -> None:
    """Refuses a video that could not be made, before any work is done: one picture is drawn.

    Args:
        run: see ``load_scored``.
        path: the file to write, ending in .mp4 or .gif.

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
    with optional_imports(f"--video={path}"):
        import imageio  # noqa: F401

        if path.suffix == ".mp4":
            import imageio_ffmpeg  # noqa: F401
    try:
        with contextlib.closing(make_env(run.scoring.environment, render_mode="rgb_array")) as env:
            env.reset(seed=0)
            if env.render() is None:
                raise ValueError("it draws nothing")
    except Exception as error:
        raise _no_video(path, run.scoring, error) from error


def _no_video(path: pathlib.Path, scoring: Scoring, error: Exception) -> UserError:
    return UserError(
        f"--video={path}: {scoring.environment.id} cannot be filmed here ({type(error).__name__}: {error}). Without a "
        "screen MuJoCo draws with MUJOCO_GL=egl, or osmesa where it is installed."
    )


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
