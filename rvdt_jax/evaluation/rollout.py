"""Rollouts: every episode of every seed and target steps together, one compiled policy call per time step."""

from __future__ import annotations

import dataclasses
from typing import Protocol

import chex
import numpy as np

from rvdt_jax.acting.episodes import Acting
from rvdt_jax.acting.selection import Actor
from rvdt_jax.errors import UserError
from rvdt_jax.types import Array, Normalizer, Params

_NOT_FINITE = "an observation or a reward was not finite"


class VectorEnv(Protocol):
    """Many copies of one environment, stepped together; see ``envs.vector``."""

    num_envs: int
    observation_size: int
    action_size: int
    horizon: int

    def reset(self, seeds) -> np.ndarray:
        """(num_envs, S) first observations."""

    def step(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Observations (num_envs, S), rewards, terminated and truncated, each (num_envs,)."""

    def outcomes(self) -> dict[str, list]:
        """What else the environments report of their episodes, by name: one value per copy."""


@dataclasses.dataclass(frozen=True)
class Rollouts:
    """The raw outcome of an evaluation.

    Attributes:
        returns: (R, G, E) float64 raw episode returns of R seeds, G targets (or target sets), E episodes; NaN where an
            episode failed.
        lengths: (R, G, E) int64 steps.
        outside: (R, G, E) int64 steps that were conditioned on a return-to-go outside the data's range (of the first
            target, where several are candidates).
        outcomes: what else is known of the episodes, (R, G, E) arrays by name: ``success`` (bool), ``tasks`` (lists of
            the names of completed sub-tasks), and where any failed ``failed`` (why; None where it did not): the
            environment raised, or gave an observation or a reward that is not finite.
    """

    returns: np.ndarray
    lengths: np.ndarray
    outside: np.ndarray
    outcomes: dict[str, np.ndarray]

    def outcome(self, name: str) -> np.ndarray:
        """(R, G, E) of that name; where nothing was reported, what an environment means that reports nothing."""
        if name in self.outcomes:
            return self.outcomes[name]
        blank = np.empty(self.returns.shape, object)
        for place in np.ndindex(blank.shape):
            blank[place] = {"success": False, "tasks": []}.get(name)
        return blank


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
        UserError: the policy's actions are not finite; no score is made of them.
    """
    (seeds, episodes), sets = env_seeds.shape, len(target_sets)
    flat = sets * episodes  # F
    chex.assert_equal(env.num_envs, seeds * flat)
    acting = Acting(
        actor,
        params,
        normalizer,
        return_scale=return_scale,
        return_range=return_range,
        keys=keys,
        targets=np.tile(np.repeat(target_sets.T, episodes, axis=1), (seeds, 1, 1)),  # (R, C, F)
    )
    returns, lengths = np.zeros((seeds, flat)), np.zeros((seeds, flat), np.int64)
    outside, earned = np.zeros((seeds, flat), np.int64), None
    alive, bad = np.ones((seeds, flat), bool), np.zeros((seeds, flat), bool)
    observations = env.reset(np.tile(env_seeds[:, None], (1, sets, 1)).ravel().tolist())
    observations = _finite(observations, np.zeros(env.num_envs), alive, bad)
    for step in range(env.horizon):
        actions = acting.act(observations.reshape(seeds, flat, -1), earned)
        if not np.isfinite(actions).all():
            raise UserError(
                f"the policy's actions at time step {step} are not finite: training has diverged. Lower "
                "config.train.learning_rate or config.loss.eta, and start anew in another --workdir."
            )
        outside += alive & acting.is_outside
        observations, rewards, terminated, truncated = env.step(actions.reshape(env.num_envs, -1))
        lengths += alive
        observations = _finite(observations, rewards, alive, bad)
        earned = np.where(alive, rewards.reshape(seeds, flat), 0.0)
        returns += earned
        alive &= ~(terminated | truncated).reshape(seeds, flat)
        if not alive.any():
            break
    reports = env.outcomes()
    reasons = reports.get("failed", [None] * env.num_envs)
    reasons = [reason or (_NOT_FINITE if wrong else None) for reason, wrong in zip(reasons, bad.ravel(), strict=True)]
    if any(reasons):
        reports["failed"] = reasons
        returns[np.array([reason is not None for reason in reasons]).reshape(seeds, flat)] = np.nan
    shape = (seeds, sets, episodes)
    outcomes = {name: _as_objects(values).reshape(shape) for name, values in reports.items()}
    arrays = {"returns": returns, "lengths": lengths, "outside": outside}
    return Rollouts(**{name: array.reshape(shape) for name, array in arrays.items()}, outcomes=outcomes)


def _finite(observations: np.ndarray, rewards: np.ndarray, alive: np.ndarray, bad: np.ndarray) -> np.ndarray:
    """Ends the episodes in which a number is not finite, and notes them as bad; the observations, with zeros there."""
    wrong = ~(np.isfinite(observations).all(1) & np.isfinite(rewards))
    bad |= alive & wrong.reshape(alive.shape)
    alive &= ~bad
    return np.where(wrong[:, None], 0.0, observations) if wrong.any() else observations


def _as_objects(values: list) -> np.ndarray:
    """A one-dimensional array of Python objects, lists among them."""
    array = np.empty(len(values), object)
    array[:] = values
    return array
