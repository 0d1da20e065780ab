"""Milliseconds of ``Policy.act`` for one episode, as a controller calls it: a run's policy, and the same exported."""

from __future__ import annotations

import pathlib
import tempfile
import time

import jax.numpy as jnp

from benchmark.timing import summarise
from benchmark.updates import Data
from rvdt_jax.acting.export import write_export
from rvdt_jax.acting.policy import Policy
from rvdt_jax.acting.saved import SavedRun, policy_of
from rvdt_jax.acting.selection import make_actor
from rvdt_jax.algorithms.base import get_algorithm
from rvdt_jax.config.settings import Config
from rvdt_jax.data.store import make_normalizer
from rvdt_jax.train.driver import init_states

UNTIMED = 30  # calls that fill the window and compile


def measure_acting(config: Config, data: Data, *, calls: int) -> dict:
    """Times single calls of freshly initialised policies, after ``UNTIMED`` others; on JAX's default device.

    Args:
        config: the settings, of one seed.
        data: gives sizes and statistics.
        calls: how many are timed.
    """
    algorithm = get_algorithm(config.variant)
    spec = algorithm.make_spec(config, *data.sizes)
    params = algorithm.acting_params(init_states(jnp.asarray(config.seeds, jnp.int32), algorithm, spec))
    saved = SavedRun(
        folder=pathlib.Path(),
        config=config,
        actor=make_actor(config, spec.policy, spec.critic),
        params=params,
        normalizer=make_normalizer(data.episodes),
        step=0,
        return_range=data.episodes.return_range,
        spaces={"observation_keys": (), "action_low": (), "action_high": ()},
        scoring={},
        provenance={},
    )
    with tempfile.TemporaryDirectory() as folder:
        write_export(saved, pathlib.Path(folder, "policy"))
        policies = {"run": policy_of(saved), "exported": Policy.from_export(pathlib.Path(folder, "policy"))}
    record = {"action_selection": saved.actor.selection}
    for name, policy in policies.items():
        record[name] = {"milliseconds": _summary(_time(policy, data, calls))}
    return record


def _time(policy: Policy, data: Data, calls: int) -> list[float]:
    """Milliseconds of every timed call of one long episode."""
    policy.reset()
    milliseconds = []
    for observation in data.episodes.observations[: UNTIMED + calls]:
        begun = time.perf_counter()
        policy.act(observation, previous_reward=0.0)
        milliseconds.append(1e3 * (time.perf_counter() - begun))
    return milliseconds[UNTIMED:]


def _summary(values: list[float]) -> dict:
    return {name: value for name, value in summarise(values).items() if name != "all"}
