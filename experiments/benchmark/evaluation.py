"""Evaluation in environment steps per second: all episodes side by side, against one environment at a time.

Three loops: the way of the public code bases, one environment and at each of its steps one forward pass over 50
candidate conditionings, of which the critic picks, with our own compiled forward pass (``loop``) and with the PyTorch
peer's (``peer_loop``); and one environment with one conditioning (``loop_mean``), which asks of the network what the
``mean`` of all episodes side by side asks, so that this ratio alone says what stepping together is worth.
"""

from __future__ import annotations

from collections.abc import Callable

import jax.numpy as jnp
import numpy as np

from benchmark.timing import ratios, summarise, take_turns
from benchmark.updates import Data
from rvdt_jax.acting.episodes import EVALUATION_STREAM, action_keys
from rvdt_jax.acting.selection import Actor
from rvdt_jax.algorithms.base import get_algorithm
from rvdt_jax.config.settings import Config
from rvdt_jax.data.store import make_normalizer
from rvdt_jax.tasks import Environment
from rvdt_jax.train.driver import init_states

SEEDS, EPISODES, CANDIDATES = (0, 1, 2), 100, 50
TASK = "rvdt/maze2d-umaze-v1"


def measure_evaluation(
    config: Config, data: Data, *, steps: int, loop_steps: int, repeats: int, selections: tuple[str, ...]
) -> dict:
    """Environment steps per second of freshly initialised policies on maze2d-umaze.

    Args:
        config: settings of a variant with a critic.
        data: its statistics normalise the observations.
        steps: horizon of the episodes played side by side, shortened from 300.
        loop_steps: steps of the loop.
        repeats: turns of every contestant.
        selections: of the ``Evaluator``: ``mean`` plays the first target, ``critic`` all targets as candidates.

    Raises:
        ImportError: this machine has no simulator.
    """
    algorithm = get_algorithm(config.variant)
    normalizer, spec = make_normalizer(data.episodes), algorithm.make_spec(config, *data.sizes)
    states = init_states(jnp.asarray(SEEDS, jnp.int32), algorithm, spec)
    params = algorithm.acting_params(states)
    targets = config.eval.targets
    scales = {"return_scale": config.policy.return_scale, "return_range": data.episodes.return_range}

    def actor(selection: str) -> Actor:
        return Actor(spec.policy, spec.critic, spec.context_length, selection, candidates=1)

    contestants, counts = {}, {}
    for selection in selections:
        chosen = targets if selection == "critic" else targets[:1]
        contestants[selection] = _side_by_side(actor(selection), params, normalizer, chosen, scales, steps)
        counts[selection] = len(SEEDS) * EPISODES * steps
    for name, selection, shown in (
        ("loop", "critic", candidates(targets)),
        ("loop_mean", "mean", np.asarray(targets[:1])),
    ):
        contestants[name] = _one_by_one(actor(selection), params, normalizer, shown, scales, loop_steps)
        counts[name] = loop_steps
    peer = _peer_loop(config, data, loop_steps)
    if peer is not None:
        contestants["peer_loop"], counts["peer_loop"] = peer, loop_steps
    seconds = take_turns(contestants, repeats)
    per_step = {name: [value / counts[name] for value in values] for name, values in seconds.items()}
    record = {"task": TASK, "seeds": len(SEEDS), "episodes": EPISODES, "horizon": steps, "candidates": CANDIDATES}
    for name, values in per_step.items():
        record[name] = {"steps_per_second": summarise([1.0 / value for value in values])}
        if name in selections:
            loops = [other for other in ("loop", "loop_mean", "peer_loop") if other in per_step]
            record[name] |= {f"ratio_to_{other}": ratios(values, per_step[other]) for other in loops}
    return record


def _side_by_side(actor: Actor, params, normalizer, targets, scales: dict, steps: int) -> Callable[[], object]:
    from rvdt_jax.evaluation.evaluator import Evaluator  # needs a simulator

    environment = Environment(id=TASK, horizon=steps)
    evaluator = Evaluator(environment, actor, normalizer, seeds=SEEDS, targets=targets, **scales)
    return lambda: evaluator(params, step=0, episodes=EPISODES)


def _one_by_one(actor: Actor, params, normalizer, shown: np.ndarray, scales: dict, steps: int) -> Callable[[], object]:
    """One environment, and at each of its steps one forward pass over the conditionings ``shown``."""
    import jax

    from rvdt_jax.envs.vector import make_vector_env
    from rvdt_jax.evaluation.rollout import rollout

    env = make_vector_env(Environment(id=TASK, horizon=steps), 1)
    first = jax.tree.map(lambda leaf: leaf[:1], params)
    return lambda: rollout(
        env,
        actor,
        first,
        normalizer,
        target_sets=shown[None],
        **scales,
        env_seeds=np.zeros((1, 1), np.int64),
        keys=action_keys(SEEDS[:1], EVALUATION_STREAM, 0),
    )


def candidates(targets: tuple[float, ...]) -> np.ndarray:
    """(50,) raw conditionings, spread evenly from the smallest target to the largest."""
    return np.linspace(min(targets), max(targets), CANDIDATES)


def _peer_loop(config: Config, data: Data, steps: int) -> Callable[[], object] | None:
    """None where PyTorch is not installed."""
    try:
        from benchmark.peer_acting import make_loop
    except ImportError:
        return None
    from rvdt_jax.envs.vector import make_vector_env

    env = make_vector_env(Environment(id=TASK, horizon=steps), 1)
    return make_loop(config, data.sizes, env, candidates(config.eval.targets), steps)
