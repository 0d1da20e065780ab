"""Rollouts: every episode of every seed and target steps together, one compiled policy call per time step."""

from __future__ import annotations

import dataclasses
from typing import Protocol

import chex
import numpy as np

from rvdt_jax.acting.episodes import Acting
from rvdt_jax.acting.selection import Actor, make_player
from rvdt_jax.errors import UserError
from rvdt_jax.types import Array, Normalizer, Params

_NOT_FINITE = "an observation or a reward was not finite"
_UNREPORTED = {"success": False, "tasks": []}  # the outcomes of an environment that reports none


class VectorEnv(Protocol):
    """Many copies of one environment, stepped together; shapes and meaning as in ``envs.vector``."""

    num_envs: int
    observation_size: int
    action_size: int
    horizon: int

    def reset(self, seeds) -> np.ndarray: ...

    def step(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]: ...

    def outcomes(self) -> dict[str, list]: ...


@dataclasses.dataclass(frozen=True)
class Rollouts:
    """The raw outcome of an evaluation, of R seeds, G targets (or target sets) and E episodes.

    Attributes:
        returns: (R, G, E) float64 raw episode returns; NaN if an episode failed.
        lengths: (R, G, E) int64 steps.
        outside: (R, G, E) int64 steps whose return-to-go was outside the data's range (of the first target, if several
            are candidates).
        outcomes: (R, G, E) arrays by name: ``success`` (bool), ``tasks`` (lists of completed sub-tasks), and if any
            episode failed ``failed`` (the reason, or None). An episode fails if the environment raises, or if an
            observation or a reward is not finite.
    """

    returns: np.ndarray
    lengths: np.ndarray
    outside: np.ndarray
    outcomes: dict[str, np.ndarray]

    def outcome(self, name: str) -> np.ndarray:
        """(R, G, E) of that name, with the value of an environment that reports nothing if it is missing."""
        if name in self.outcomes:
            return self.outcomes[name]
        return _as_objects([_UNREPORTED.get(name)] * self.returns.size).reshape(self.returns.shape)


def rollout(
    env: VectorEnv,
    actor: Actor,
    params: Params,
    normalizer: Normalizer,
    *,
    target_sets: np.ndarray,
    return_scale: float,
    return_range: tuple[float, float],
    env_seeds: np.ndarray,
    keys: Array,
) -> Rollouts:
    """Runs E episodes of every seed at every target, all side by side.

    The conditioning is consistent, f(s) = f(s') + r: the target is lowered by each reward received.

    Args:
        env: R * G * E copies of the environment.
        actor: the static part of acting.
        params: see ``choose_actions``.
        normalizer: the training data's statistics.
        target_sets: (G, C) raw target returns; C > 1 for selection ``critic`` only.
        return_scale: targets are divided by it, as the returns-to-go were.
        return_range: the smallest and the largest return-to-go of the data, raw.
        env_seeds: (R, E) ints; the same starts serve every target.
        keys: (R,) PRNG keys of this evaluation.

    Raises:
        UserError: the policy's actions are not finite.
    """
    (seeds, episodes), sets = env_seeds.shape, len(target_sets)
    chex.assert_equal(env.num_envs, seeds * sets * episodes)
    targets = np.tile(np.repeat(target_sets.T, episodes, axis=1), (seeds, 1, 1))  # (R, C, G * E)
    player = make_player(actor, params, normalizer, return_scale=return_scale, return_range=return_range)
    acting = Acting(player, keys=keys, targets=targets)
    starts = np.tile(env_seeds[:, None], (1, sets, 1)).ravel().tolist()
    arrays, bad = _play(env, acting, starts, (seeds, sets * episodes))
    reports = env.outcomes()
    reasons = reports.get("failed", [None] * env.num_envs)
    reasons = [reason or (_NOT_FINITE if wrong else None) for reason, wrong in zip(reasons, bad.ravel(), strict=True)]
    if any(reasons):
        reports["failed"] = reasons
        arrays["returns"][np.array([reason is not None for reason in reasons]).reshape(bad.shape)] = np.nan
    shape = seeds, sets, episodes
    outcomes = {name: _as_objects(values).reshape(shape) for name, values in reports.items()}
    return Rollouts(**{name: array.reshape(shape) for name, array in arrays.items()}, outcomes=outcomes)


def _play(
    env: VectorEnv, acting: Acting, starts: list[int], shape: tuple[int, int]
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Plays one episode per copy; (R, F) returns, lengths and steps outside the range, and whether numbers were bad."""
    returns, lengths, outside = np.zeros(shape), np.zeros(shape, np.int64), np.zeros(shape, np.int64)
    alive, bad, earned = np.ones(shape, bool), np.zeros(shape, bool), None
    observations = _finite(env.reset(starts), np.zeros(env.num_envs), alive, bad)
    for step in range(env.horizon):
        actions = acting.act(observations.reshape(*shape, -1), earned)
        if not np.isfinite(actions).all():
            raise UserError(
                f"the policy's actions at time step {step} are not finite: training has diverged. Lower "
                "config.train.learning_rate or config.loss.eta, and start anew in another --workdir."
            )
        outside += alive & acting.is_outside
        observations, rewards, terminated, truncated = env.step(actions.reshape(env.num_envs, -1))
        lengths += alive
        observations = _finite(observations, rewards, alive, bad)
        earned = np.where(alive, rewards.reshape(shape), 0.0)
        returns += earned
        alive &= ~(terminated | truncated).reshape(shape)
        if not alive.any():
            break
    return {"returns": returns, "lengths": lengths, "outside": outside}, bad


def _finite(observations: np.ndarray, rewards: np.ndarray, alive: np.ndarray, bad: np.ndarray) -> np.ndarray:
    """Replaces bad observations by zeros. Episodes with a number that is not finite end, and are marked as bad."""
    wrong = ~(np.isfinite(observations).all(1) & np.isfinite(rewards))
    bad |= alive & wrong.reshape(alive.shape)
    alive &= ~bad
    return np.where(wrong[:, None], 0.0, observations) if wrong.any() else observations


def _as_objects(values: list) -> np.ndarray:
    """A one-dimensional array of Python objects, lists among them."""
    array = np.empty(len(values), object)
    array[:] = values
    return array
