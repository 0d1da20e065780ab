"""Whole episodes of a policy, from many copies of an environment in worker processes."""

from __future__ import annotations

import contextlib
import itertools
import math
from collections.abc import Callable, Iterator
from typing import Protocol

import numpy as np

from rvdt_jax.envs.processes import ProcessVectorEnv, WorkerDied
from rvdt_jax.errors import UserError
from rvdt_jax.tasks import Environment

COPIES = 50  # at most, of the environment; a constant, so that what is collected does not depend on the machine


class Policy(Protocol):
    """What acts in n copies at once."""

    def begin(self, observations: np.ndarray) -> None:
        """New episodes start from (n, S) observations."""

    def act(self, observations: np.ndarray) -> np.ndarray:
        """(n, A) actions in [-1, 1] for (n, S) observations."""


def collect(
    environment: Environment,
    policy: Policy,
    steps: int,
    rng: np.random.Generator,
    progress: Callable[[int], object] = lambda done: None,
) -> Iterator[dict]:
    """Episodes of ``steps`` steps altogether, as ``write_dataset`` takes them; the last one is cut to fit.

    Copies begin their episodes together, and those that have ended wait for the others: all episodes are whole, so that
    short ones are not more frequent than they are.

    Args:
        environment: what of, with the horizon that cuts its episodes.
        policy: acts in all copies.
        steps: how many.
        rng: draws the environments' seeds.
        progress: called after every step of the copies with the number of steps that were new.

    Raises:
        UserError: an environment raised, or a worker process died.
    """
    copies = min(COPIES, math.ceil(steps / environment.horizon))
    left = hidden = steps

    def show(done: int) -> None:
        nonlocal hidden  # the last episodes are run to their ends, and cut
        progress(min(done, hidden))
        hidden -= min(done, hidden)

    with contextlib.closing(ProcessVectorEnv(environment, copies)) as envs:
        while left:
            try:
                episodes = _round(envs, policy, rng, show)
            except WorkerDied as error:
                raise UserError(
                    f"{environment.id}: a worker process was killed or ended, as happens where memory runs out. "
                    "Nothing was written; the same command begins anew."
                ) from error
            for episode in episodes:
                if left:
                    episode = _cut(episode, left)
                    left -= len(episode["rewards"])
                    yield episode


def _round(envs, policy: Policy, rng: np.random.Generator, progress: Callable[[int], object]) -> list[dict]:
    """One whole episode of every copy."""
    observations = envs.reset(rng.integers(2**31, size=envs.num_envs).tolist())
    policy.begin(observations)
    seen, steps, running = [observations], [], np.ones(envs.num_envs, bool)
    lengths = np.zeros(envs.num_envs, int)
    while running.any() and len(steps) < envs.horizon:
        actions = policy.act(observations)
        observations, rewards, terminated, truncated = envs.step(actions)
        seen.append(observations)
        steps.append((actions, rewards, terminated))
        progress(int(running.sum()))
        lengths += running
        running &= ~(terminated | truncated)
    failed = next(filter(None, envs.outcomes().get("failed", [])), None)
    if failed is not None:
        raise UserError(f"an environment failed in the middle of an episode: {failed}. Nothing was written.")
    seen, (actions, rewards, terminated) = np.stack(seen), map(np.stack, zip(*steps, strict=True))
    return [
        {
            "observations": seen[: length + 1, copy],
            "actions": actions[:length, copy].astype(np.float32),
            "rewards": rewards[:length, copy].astype(np.float32),
            "terminations": terminated[:length, copy],
            "truncations": _last(length) & ~terminated[:length, copy],
        }
        for copy, length in enumerate(lengths.tolist())
    ]


def _last(length: int) -> np.ndarray:
    return np.arange(length) == length - 1


def _cut(episode: dict, length: int) -> dict:
    """The first ``length`` steps of an episode, truncated there; the episode itself where it is no longer."""
    if len(episode["rewards"]) <= length:
        return episode
    cut = {name: values[: length + (name == "observations")] for name, values in episode.items()}
    return cut | {"truncations": _last(length)}


def split(columns: dict[str, np.ndarray], terminated: np.ndarray, truncated: np.ndarray) -> Iterator[dict]:
    """Cuts steps that were recorded one after the other into episodes.

    Args:
        columns: ``observations`` and ``next_observations`` (N, S), ``actions`` (N, A), ``rewards`` (N,).
        terminated, truncated: (N,) bool; a last step that is neither counts as truncated.
    """
    ends = np.flatnonzero(terminated | truncated) + 1
    ends = ends if ends.size and ends[-1] == len(terminated) else np.append(ends, len(terminated))
    for start, end in itertools.pairwise([0, *ends.tolist()]):
        last = columns["next_observations"][end - 1 : end]
        yield {
            "observations": np.concatenate([columns["observations"][start:end], last]),
            "actions": columns["actions"][start:end],
            "rewards": columns["rewards"][start:end],
            "terminations": terminated[start:end],
            "truncations": _last(end - start) & ~terminated[start:end],
        }
