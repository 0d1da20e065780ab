"""Recipes, and collecting whole episodes of a policy from many copies of an environment in worker processes."""

from __future__ import annotations

import contextlib
import dataclasses
import math
from collections.abc import Callable, Iterator

import numpy as np

from rvdt_jax.envs.processes import ProcessVectorEnv, WorkerDied
from rvdt_jax.errors import UserError
from rvdt_jax.tasks import Environment

COPIES = 50  # at most, of the environment; a constant, so that what is collected does not depend on the machine


@dataclasses.dataclass(frozen=True)
class Recipe:
    """A published recipe for one task, ready to be run.

    Attributes:
        observation_size, action_size: S and A.
        algorithm: what acts, in a few words.
        description: a sentence on how the data are collected.
        steps: how many.
        seed: fixes every draw.
        facts: further metadata, JSON values by name.
        collect: gives the episodes as ``write_dataset`` takes them; calls its argument with the number of new steps.
    """

    observation_size: int
    action_size: int
    algorithm: str
    description: str
    steps: int
    seed: int
    facts: dict
    collect: Callable[[Callable[[int], object]], Iterator[dict]]


Act = Callable[[np.ndarray], np.ndarray]  # (n, S) observations -> (n, A) actions in [-1, 1], for n copies


def collect(
    environment: Environment,
    begin: Callable[[np.ndarray], Act],
    steps: int,
    rng: np.random.Generator,
    progress: Callable[[int], object] = lambda done: None,
) -> Iterator[dict]:
    """Episodes of ``steps`` steps altogether, as ``write_dataset`` takes them; the last one is cut to fit.

    Copies begin their episodes together, and those that have ended wait for the others. So all episodes are whole, and
    short ones are not over-represented.

    Args:
        environment: where, with the horizon that cuts its episodes.
        begin: gives the policy of new episodes for their (n, S) first observations.
        steps: how many.
        rng: draws the environments' seeds.
        progress: called after every step of the copies with the number of new steps.

    Raises:
        UserError: an environment raised, or a worker process died.
    """
    copies = min(COPIES, math.ceil(steps / environment.horizon))
    left = unseen = steps

    def show(done: int) -> None:
        nonlocal unseen  # the last episodes are run to their ends, and cut
        progress(min(done, unseen))
        unseen -= min(done, unseen)

    with contextlib.closing(ProcessVectorEnv(environment, copies)) as envs:
        while left:
            try:
                episodes = _round(envs, begin, rng, show)
            except WorkerDied as error:
                raise UserError(
                    f"{environment.id}: a worker process was killed or ended, for instance for lack of memory. "
                    "Nothing was written; run the same command again."
                ) from error
            for episode in episodes:
                if left:
                    episode = _cut(episode, left)
                    left -= len(episode["rewards"])
                    yield episode


def _round(envs, begin, rng: np.random.Generator, progress: Callable[[int], object]) -> list[dict]:
    """One whole episode of every copy."""
    observations = envs.reset(rng.integers(2**31, size=envs.num_envs).tolist())
    act = begin(observations)
    seen, steps, running = [observations], [], np.ones(envs.num_envs, bool)
    lengths = np.zeros(envs.num_envs, int)
    while running.any() and len(steps) < envs.horizon:
        actions = act(observations)
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
            "truncations": (np.arange(length) == length - 1) & ~terminated[:length, copy],
        }
        for copy, length in enumerate(lengths.tolist())
    ]


def _cut(episode: dict, length: int) -> dict:
    """The first ``length`` steps of an episode, truncated there; the episode itself if it is not longer."""
    if len(episode["rewards"]) <= length:
        return episode
    cut = {name: values[: length + (name == "observations")] for name, values in episode.items()}
    return cut | {"truncations": np.arange(length) == length - 1}
