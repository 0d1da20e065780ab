"""A video of a saved run's policy."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
import pathlib
import warnings

import numpy as np

from rvdt_jax.acting.policy import Policy
from rvdt_jax.acting.saved import policy_of
from rvdt_jax.envs.adapters import make_env
from rvdt_jax.errors import UserError, optional_imports
from rvdt_jax.evaluation.score_run import ScoredRun
from rvdt_jax.evaluation.target import Scoring
from rvdt_jax.files import atomic_write

log = logging.getLogger(__name__)


def record_video(run: ScoredRun, path: pathlib.Path) -> None:
    """Films one episode of the first seed's policy.

    Args:
        run: see ``load_scored``. Its first target is used; with selection ``critic`` all are candidates.
        path: the file to write; see ``check_video``.

    Raises:
        UserError: this machine cannot draw the environment, or cannot write the video.
    """
    import imageio

    seed = run.saved.config.seeds[0]
    # The adapted environment gives flat vectors and takes actions in [-1, 1].
    spaces = {"observation_keys": (), "action_low": (), "action_high": ()}
    policy = policy_of(dataclasses.replace(run.saved, spaces=spaces), seed)
    try:
        with warnings.catch_warnings(), contextlib.closing(make_env(run.scoring.environment, "rgb_array")) as env:
            # The encoder's fork runs another program at once, and touches nothing of JAX.
            warnings.filterwarnings("ignore", r"os\.fork\(\) was called", RuntimeWarning)
            fps = env.metadata.get("render_fps") or 30
            speed = {"duration": 1000 / fps, "loop": 0} if path.suffix == ".gif" else {"fps": fps}
            with atomic_write(path) as partial, imageio.get_writer(partial, **speed) as video:
                episode_return, length = _film(env, policy, seed, video)
    except Exception as error:  # OpenGL and ffmpeg raise exceptions of many kinds
        raise _no_video(path, run.scoring, error) from error
    log.info("%s: one episode of %d steps, return %.1f", path, length, episode_return)


def check_video(run: ScoredRun, path: pathlib.Path) -> None:
    """Refuses a video that cannot be made, before any work is done. It draws one picture to find out.

    Args:
        run: see ``load_scored``.
        path: the file to write, ending in .mp4 or .gif.

    Raises:
        UserError: the file exists, its folder is missing or cannot be written, its format is unknown, the encoder is
            not installed, or this machine cannot draw the environment.
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
    words = f"{scoring.environment.id} cannot be filmed here ({type(error).__name__}: {error})"
    hint = "Without a screen MuJoCo draws with MUJOCO_GL=egl, or osmesa if it is installed."
    return UserError(f"--video={path}: {words}. {hint}")


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
