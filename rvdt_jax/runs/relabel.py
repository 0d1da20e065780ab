"""Returns-to-go raised to a value that is learned from the data, as in QDT (Yamagata et al. 2023).

The value is the V of this package's IQL, where the paper takes CQL's, learned before the policy with the sizes, batches
and rates of the run's critics. It is discounted by ``loss.gamma``; ``data.relabel`` has the rule.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import pathlib
import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from rvdt_jax.algorithms.base import get_algorithm
from rvdt_jax.config.settings import Config
from rvdt_jax.data.episodes import Episodes
from rvdt_jax.data.rebalance import ExpertSet
from rvdt_jax.data.relabel import raise_returns
from rvdt_jax.data.store import make_normalizer, make_store
from rvdt_jax.errors import UserError
from rvdt_jax.files import atomic_write
from rvdt_jax.runs.preparation import Data, sizes_of
from rvdt_jax.runs.processes import Group
from rvdt_jax.train.driver import init_states, train_chunk
from rvdt_jax.train.parallel import from_process_0

log = logging.getLogger(__name__)
_FILE = "relabelled.npz"
_SEED = 0x9D7  # of the value function: the same data for all seeds of a run
_AT_ONCE = 1000  # updates of a compiled call
_ROWS = 65_536  # observations whose values are computed at once


def relabel(config: Config, data: Data, folder: pathlib.Path, group: Group, resume: bool) -> Data:
    """The data with raised returns-to-go, as ``config.data.relabel`` says, and a provenance that says so.

    Trajectories that are held out get theirs from the same value function, which has not seen them: a policy is then
    measured under the kind of returns that it was trained on.

    A run that is resumed reads what it kept with ``keep_relabelled``.

    Raises:
        UserError: the value function diverged, or what was kept belongs to other data.
    """
    if config.data.relabel == "none":
        return data
    parts = {"raised": data.episodes} | ({} if data.held is None else {"held": data.held})
    raised = {name: np.zeros(part.rewards.size, np.float32) for name, part in parts.items()}

    def lead() -> dict:
        nonlocal raised
        kept = folder / _FILE
        if resume and kept.exists():
            raised, record = _read_kept(kept, parts, data.provenance["content_digest"])
            return record
        value, record = learn_value(config, data.episodes, data.experts)
        raised = {name: raise_returns(part, value(part)).astype(np.float32) for name, part in parts.items()}
        learned = raised["raised"]
        return record | {"share_of_steps": float((learned > 0).mean()), "mean_raise": float(learned.mean())}

    record = group.lead(lead)
    log.info("data.relabel=value raises %.1f %% of the returns-to-go", 100 * record["share_of_steps"])
    raised = {name: np.asarray(values) for name, values in from_process_0(raised).items()}
    episodes, *held = (dataclasses.replace(part, raised=raised[name]) for name, part in parts.items())
    provenance = data.provenance | {"relabel": record}
    return dataclasses.replace(data, episodes=episodes, held=held[0] if held else None, provenance=provenance)


def _read_kept(path: pathlib.Path, parts: dict[str, Episodes], digest: str) -> tuple[dict[str, np.ndarray], dict]:
    """The raised returns-to-go by part, and their record."""
    with np.load(path, allow_pickle=False) as file:
        raised, record = {name: file[name] for name in parts if name in file}, json.loads(str(file["record"]))
        known = str(file["content_digest"]) if "content_digest" in file else digest  # older runs have none
    sizes = {name: values.size for name, values in raised.items()}
    if known != digest or sizes != {name: part.rewards.size for name, part in parts.items()}:
        raise UserError(
            f"{path.parent}: the data have changed since this run relabelled them. Bring the old data back, or start "
            "anew with another --workdir."
        )
    return raised, record


def keep_relabelled(folder: pathlib.Path, data: Data) -> None:
    """Writes the raised returns-to-go, where there are any, into the run directory."""
    if data.episodes.raised is not None:
        held = {} if data.held is None else {"held": data.held.raised}
        with atomic_write(folder / _FILE) as partial:
            known = {"content_digest": np.array(data.provenance["content_digest"])}
            known |= {"record": np.array(json.dumps(data.provenance["relabel"]))}
            np.savez(partial, raised=data.episodes.raised, **known, **held)


def learn_value(
    config: Config, episodes: Episodes, experts: ExpertSet
) -> tuple[Callable[[Episodes], np.ndarray], dict]:
    """What maps episodes to the (N,) values of their observations, in raw reward units; and how it was learned.

    Rewards are not shifted, as for the critics: the value is compared with returns.
    """
    begun, data, scale, algorithm = time.monotonic(), config.data, config.loss.reward_scale, get_algorithm("IQL")
    scales = {"return_scale": 1.0, "reward_scale": scale}
    normalizer = make_normalizer(episodes)
    store = make_store(episodes, experts, normalizer, **scales)
    spec = algorithm.make_spec(config, **sizes_of(episodes))
    settings = dataclasses.replace(config, iql=dataclasses.replace(config.iql, expectile=data.relabel_expectile))
    states, coefficients = init_states(jnp.array([_SEED]), algorithm, spec), algorithm.make_coefficients(settings)
    log.info("data.relabel=value: learning a value function in %d updates", data.relabel_updates)
    for step in range(0, data.relabel_updates, _AT_ONCE):
        how = {"updates": min(_AT_ONCE, data.relabel_updates - step), "map_seeds": "loop"}
        states, metrics = train_chunk(states, store, coefficients, algorithm=algorithm, spec=spec, **how)
        loss = float(metrics["value/loss"][0])  # waits, so that Ctrl-C is heard
    params = {"params": jax.tree.map(lambda leaf: leaf[0], states.learners["value"].params)}
    apply = jax.jit(lambda rows: jax.lax.map(lambda row: spec.value.apply(params, row), rows, batch_size=_ROWS))

    def value(episodes: Episodes) -> np.ndarray:
        values = np.asarray(apply(make_store(episodes, None, normalizer, **scales).observations)) / scale
        if not np.isfinite(values).all():
            raise UserError("config.data.relabel=value: the value function diverged. Lower config.train.learning_rate.")
        return values

    record = {"updates": data.relabel_updates, "expectile": data.relabel_expectile, "gamma": config.loss.gamma}
    return value, record | {"value_loss": loss, "seconds": round(time.monotonic() - begun, 1)}
