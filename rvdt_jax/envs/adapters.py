"""Adapts any Gymnasium environment to a policy: flat float32 observations, and actions in [-1, 1]."""

from __future__ import annotations

import dataclasses
import json
import math
import pathlib
import warnings

import gymnasium
import numpy as np
from gymnasium.envs.registration import EnvSpec

from rvdt_jax.data.spaces import flatten_observations, observation_shapes, one_step, unscale_actions
from rvdt_jax.errors import UserError, one_line
from rvdt_jax.tasks import Environment


def make_env(environment: Environment, render_mode: str | None = None) -> FlatEnv:
    """Makes an environment and adapts it; see ``FlatEnv``. The caller closes it.

    Raises:
        UserError: it cannot be made, has no time limit, or has spaces that no policy can handle.
    """
    env = _make(environment, render_mode)
    try:
        return FlatEnv(env, environment)
    except UserError:
        env.close()
        raise


class FlatEnv(gymnasium.Wrapper):
    """An environment with observations (S,) float32 and actions (A,) in [-1, 1], which are clipped to that.

    Args:
        env: with Box actions, and Box observations or dicts of them; Boxes of any shape are flattened row by row.
        environment: which entries of dicts are seen, and which values the actions -1 and 1 stand for. The values are
            clipped to the bounds of ``env``.

    Attributes:
        horizon: steps after which an episode is cut.

    Raises:
        UserError: ``env`` has no horizon, or other spaces.
    """

    def __init__(self, env: gymnasium.Env, environment: Environment):
        super().__init__(env)
        self.horizon = env.spec.max_episode_steps if environment.horizon is None else environment.horizon
        if self.horizon is None:
            raise UserError(
                f"config.env: {environment.id} has no time limit, so that an episode might never end. Set "
                "config.eval.horizon (evaluate.py: --horizon)."
            )
        self._keys, self._offset = environment.observation_keys, environment.observation_offset
        try:
            shapes = observation_shapes(env.observation_space, self._keys).values()
        except UserError as error:
            raise UserError(f"config.env: {environment.id}: {error}") from error
        self._bounds = _action_bounds(env.action_space, environment)
        action_shape = (int(np.prod(env.action_space.shape)),)
        self.observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (sum(map(math.prod, shapes)),), np.float32)
        self.action_space = gymnasium.spaces.Box(-1.0, 1.0, action_shape, np.float32)

    def reset(self, *, seed: int | None = None, options: dict | None = None):
        """As ``gymnasium.Env.reset``.

        Raises:
            ValueError: the observation is not of its space's size.
        """
        observation, info = self.env.reset(seed=seed, options=options)
        return self._flatten(observation), info

    def step(self, action):
        """As ``gymnasium.Env.step``; a reward or a flag may be an array of one element.

        Raises:
            TypeError, ValueError: they are something else, or the observation is not of its space's size.
        """
        observation, reward, terminated, truncated, info = self.env.step(self._unscale(action))
        return self._flatten(observation), float(np.asarray(reward).item()), bool(terminated), bool(truncated), info

    def _flatten(self, observation) -> np.ndarray:
        flat = flatten_observations(one_step(observation), self._keys, self._offset)[0]
        if flat.shape != self.observation_space.shape:
            raise ValueError(f"the observation has {flat.size} numbers, its space {self.observation_space.shape[0]}")
        return flat

    def _unscale(self, action) -> np.ndarray:
        values, space = np.clip(np.asarray(action, np.float32), -1.0, 1.0), self.env.action_space
        if self._bounds:  # without bounds nothing is computed, so that nothing is rounded
            values = unscale_actions(values, *self._bounds)
        return np.clip(values.reshape(space.shape), space.low, space.high).astype(space.dtype)


def _action_bounds(space: gymnasium.Space, environment: Environment) -> list[np.ndarray]:
    """The values (A,) float32 that -1 and 1 stand for; an empty list if they are -1 and 1."""
    if not isinstance(space, gymnasium.spaces.Box) or not np.issubdtype(space.dtype, np.floating):
        raise UserError(
            f"config.env: actions of {environment.id} are {space}; a policy gives only Box actions of real numbers. "
            "Name another environment."
        )
    bounds = [np.array(bound, np.float32) for bound in (environment.action_low, environment.action_high)]
    size = int(np.prod(space.shape))
    _compare_bounds(space, bounds, environment)
    if not any(bound.size for bound in bounds):
        return []
    if any(bound.size != size for bound in bounds):
        raise UserError(
            f"config.env: actions of {environment.id} have {size} numbers, but those of the data have "
            f"{bounds[0].size}. Choose config.env or the data to fit the other."
        )
    return bounds


def _compare_bounds(space: gymnasium.spaces.Box, bounds: list[np.ndarray], environment: Environment) -> None:
    """Warns if the data's actions have other bounds than the environment's, which is rarely right."""
    for name, unit, data, own in zip(("low", "high"), (-1.0, 1.0), bounds, (space.low, space.high), strict=True):
        own = own.ravel()
        stands_for = data if data.size else np.full(own.size, unit, np.float32)
        if stands_for.size == own.size and not np.allclose(stands_for, own, rtol=1e-3) and np.isfinite(own).all():
            warnings.warn(
                f"actions of {environment.id} are bounded by {name}={own}, those of the data by {stands_for}: if they "
                "are on another scale, give the data their bounds (action_low and action_high of rvdt_jax.Episodes, or "
                "the action space of the Minari data set).",
                stacklevel=2,
            )


def _make(environment: Environment, render_mode: str | None) -> gymnasium.Env:
    options = {} if render_mode is None else {"render_mode": render_mode}  # not every environment knows the argument
    try:
        with warnings.catch_warnings():
            # D4RL's files are scored in -v4 environments on purpose.
            warnings.filterwarnings("ignore", ".*is out of date", DeprecationWarning)
            env = gymnasium.make(
                environment.id if environment.spec is None else _read_spec(environment.spec),
                max_episode_steps=environment.horizon,
                disable_env_checker=True,
                **options,
            )
    except Exception as error:  # its module and its constructor may raise anything
        raise UserError(
            f"config.env: no environment {environment.id!r} can be made ({_reason(error)}). {_remedy(error)}"
        ) from error
    # Gymnasium-Robotics' mazes leave this file behind; nobody reads it once the model is compiled.
    leftover = getattr(env.unwrapped, "tmp_xml_file_path", None)
    if leftover is not None:
        pathlib.Path(leftover).unlink(missing_ok=True)
    return env


def _read_spec(text: str) -> EnvSpec:
    """The EnvSpec of its JSON. Fields of Gymnasium before 1.0 are dropped, as Minari does."""
    values = json.loads(text)
    known = {field.name for field in dataclasses.fields(EnvSpec)}
    kept = {"additional_wrappers": []} | {name: value for name, value in values.items() if name in known}
    return EnvSpec.from_json(json.dumps(kept))


def _reason(error: Exception) -> str:
    """The error in one line, without its full stop, and with its type if it is not Gymnasium's."""
    text = one_line(error).rstrip(".")
    return text if isinstance(error, gymnasium.error.Error) else f"{type(error).__name__}: {text}"


def _remedy(error: Exception) -> str:
    if isinstance(error, ImportError | gymnasium.error.DependencyNotInstalled):
        return "Install what it needs, or set config.env=none to train without scores."
    if isinstance(error, gymnasium.error.Error):
        return (
            "Name one that Gymnasium knows; one that importing a module registers is named module:id, and one of your "
            "own belongs in such a module, not in a script. config.env=none trains without scores."
        )
    return "Name another with config.env, or set config.env=none to train without scores."
