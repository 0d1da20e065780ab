"""An estimate of what a saved run's policies earn, from its data alone; see ``train.fqe``.

The value that is estimated is that of acting under a *target* return, as the policy is used. At every logged step its
action is the one that it would choose had the episode begun with the target: the return-to-go is the target minus the
rewards that came before, and the window holds the logged past. Q sees this return-to-go beside the observation, because
the policy's action depends on it. The data's own returns-to-go would evaluate the policy that imitates them instead.
"""

from __future__ import annotations

import logging
import pathlib

import jax
import jax.numpy as jnp
import numpy as np

from rvdt_jax.acting.logged import outputs_on_data
from rvdt_jax.acting.saved import SavedRun, load_run
from rvdt_jax.algorithms.base import Coefficients, make_critic
from rvdt_jax.config.settings import Config
from rvdt_jax.data.contract import check_episodes
from rvdt_jax.data.episodes import Episodes
from rvdt_jax.data.store import make_store
from rvdt_jax.errors import UserError
from rvdt_jax.files import check_writable, reserve
from rvdt_jax.report.provenance import describe_hardware, installed_versions, source_commit
from rvdt_jax.report.records import write_json
from rvdt_jax.runs.load import load_episodes
from rvdt_jax.runs.preparation import hold_out, take_share
from rvdt_jax.train.fqe import Transitions, fit_q, polyak_rate
from rvdt_jax.types import Array, Store

log = logging.getLogger(__name__)
_STREAM = 0xF0E  # separates these random numbers from those of training with the same seed


def evaluate_fqe(
    folder: pathlib.Path,
    *,
    step: int | None = None,
    targets: tuple[float, ...] | None = None,
    updates: int | None = None,
    episodes: Episodes | None = None,
) -> tuple[dict, pathlib.Path]:
    """Estimates the discounted return of every seed's mean action at every target; no simulator is needed.

    Args:
        folder: the run directory.
        step: the checkpoint's update; None takes the newest.
        targets: raw target returns; None takes the run's.
        updates: of each Q function; None: as many as the run's ``train.steps``.
        episodes: the data, where the run was given them by ``fit``; None: loaded as the run's settings say.

    Returns:
        The record, and its file ``fqe-<update>.json`` in the run directory; no file is ever replaced.

    Raises:
        UserError: there is no such run or checkpoint, a value is bad, or the data are not those of the run.
    """
    saved = load_run(folder, step=step, targets=targets)
    config, folder = saved.config, saved.folder
    check_writable(folder)
    updates = config.train.steps if updates is None else updates
    if updates < 1:
        raise UserError(f"--fqe_updates={updates}: make at least one.")
    episodes = _data_of(saved, folder, episodes)
    gamma = config.loss.gamma
    coefficients = Coefficients(
        *map(jnp.float32, (config.train.critic_learning_rate, updates, config.train.grad_clip_norm))
    )
    how = {"gamma": gamma, "updates": updates, "polyak_rate": polyak_rate(gamma, updates)}
    scales = {"return_scale": config.policy.return_scale, "reward_scale": _reward_scale(config)}
    estimates, logged = [], make_store(episodes, None, saved.normalizer, **scales)
    for target in config.eval.targets if saved.actor.policy.condition_on_return else ("none",):
        store = logged if target == "none" else _asked_for(logged, target / config.policy.return_scale)
        for row, seed in enumerate(config.seeds):
            estimate = _estimate(saved, store, episodes.starts, row, coefficients, **how)
            estimates.append({"seed": seed, "target": target} | estimate)
            log.info("seed %d, target %s: discounted return %.4g", seed, target, estimate["estimate"])
    record = {"task": config.task, "variant": config.variant, "step": saved.step, "action": "mean"} | how
    record |= {"initial_states": episodes.lengths.size, "data_discounted_return": _discounted(episodes, gamma)}
    record |= {"estimates": estimates, "provenance": saved.provenance, "versions": installed_versions()}
    record |= {"commit": source_commit(), "hardware": describe_hardware(jax.devices()[0].device_kind)}
    path = reserve(folder, f"fqe-{saved.step}")
    write_json(path, record)
    return record, path


def _data_of(saved: SavedRun, folder: pathlib.Path, episodes: Episodes | None) -> Episodes:
    """What the run learned from, without the trajectories that it held out."""
    config, provenance = saved.config, {}
    if episodes is None:
        if config.data.source == "memory":
            raise UserError(
                f"{folder}: was trained on episodes given to rvdt_jax.fit, which are not on file. Hand them to "
                "rvdt_jax.runs.fqe.evaluate_fqe(folder, episodes=...)."
            )
        episodes, provenance = load_episodes(config, progress=False)
    else:
        episodes = check_episodes(episodes)  # as ``fit`` converted them
    episodes, _, provenance = hold_out(config, episodes, provenance)
    episodes, _ = take_share(config, episodes, provenance)
    if episodes.digest() != saved.provenance["content_digest"]:
        raise UserError(f"{folder}: was trained on other data than {episodes.name} holds now. Bring those back.")
    if (~episodes.terminated & (episodes.lengths == 1)).all():
        raise UserError(
            f"{folder}: every episode of {episodes.name} is cut off after one step: there is no transition."
        )
    return episodes


def _reward_scale(config: Config) -> float:
    return config.loss.reward_scale or 1.0  # Q learns at the critic's scale, and without its shift


def _asked_for(store: Store, target: float) -> Store:
    """The data with the returns-to-go of episodes that began with the (scaled) target."""
    first = store.returns_to_go[jnp.arange(store.timesteps.size) - store.timesteps]
    return store.replace(returns_to_go=store.returns_to_go + target - first)


def _estimate(
    saved: SavedRun, store: Store, starts: np.ndarray, row: int, coefficients: Coefficients, **how
) -> dict[str, float | list[float]]:
    """The estimate of one seed, and of each Q alone: their difference is a part of the error.

    ``store`` has the returns-to-go that are asked for; ``starts`` are the first steps of its episodes.
    """
    config, scale = saved.config, _reward_scale(saved.config)
    params = jax.tree.map(lambda leaf: leaf[row : row + 1], saved.params["policy"])
    policy = saved.actor.policy
    actions = outputs_on_data(params, store, policy=policy, context_length=saved.actor.context_length).mean[0]
    data = _transitions(store, actions, policy.condition_on_return)
    key = jax.random.fold_in(jax.random.key(config.seeds[row]), _STREAM)
    rates = jnp.float32(how["gamma"]), jnp.float32(how["polyak_rate"])
    critic = make_critic(config.model)
    sizes = {"batch_size": config.train.batch_size, "updates": how["updates"]}
    fitted, error = fit_q(key, data, *rates, coefficients, critic=critic, **sizes)
    values = critic.apply({"params": fitted}, data.states[starts], actions[starts]) / scale
    each = values.mean(1).tolist()
    return {"estimate": float(np.mean(each)), "of_each_q": each, "td_error": float(error) / scale**2}


def _transitions(store: Store, actions: Array, condition_on_return: bool) -> Transitions:
    states, last = store.observations, store.last_steps == jnp.arange(store.last_steps.size)
    if condition_on_return:
        states = jnp.concatenate([states, store.returns_to_go[:, None]], axis=1)
    steps = jnp.asarray(np.flatnonzero(~last | store.terminals), jnp.int32)
    return Transitions(states, store.actions, actions, store.rewards, store.terminals, steps)


def _discounted(episodes: Episodes, gamma: float) -> float:
    """The mean discounted return of the logged episodes, which a recording's end cuts short."""
    steps = np.arange(episodes.rewards.size) - np.repeat(episodes.starts, episodes.lengths)
    return float(np.add.reduceat(gamma**steps * episodes.rewards, episodes.starts).mean())


def print_fqe(record: dict, path: pathlib.Path) -> None:
    """Prints the estimates, one line each."""
    print(
        f"\nFitted Q evaluation after {record['step']} updates: discounted return, gamma {record['gamma']:g}, from the"
    )
    print(
        f"{record['initial_states']} initial states of the data, whose own is {record['data_discounted_return']:.4g}:"
    )
    for each in record["estimates"]:
        spread = abs(each["of_each_q"][0] - each["of_each_q"][1]) / 2
        print(
            f"  seed {each['seed']}, target {each['target']}: {each['estimate']:.4g} (+- {spread:.2g} between two Qs)"
        )
    print(f"Record: {path}")
