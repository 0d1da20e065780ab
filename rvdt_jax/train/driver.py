"""Many updates of many seeds as one compiled call: ``lax.scan`` over updates, mapped over seeds, state donated."""

from __future__ import annotations

import dataclasses
import functools
import time
from typing import Protocol

import jax
from jax.sharding import NamedSharding, PartitionSpec

from rvdt_jax.algorithms.base import Algorithm, Coefficients, Metrics, Spec, mean_metrics, skip_nonfinite
from rvdt_jax.types import Store, TrainState


@functools.partial(jax.jit, static_argnames=("algorithm", "spec"))
def init_states(seeds: jax.Array, algorithm: Algorithm, spec: Spec) -> TrainState:
    """The states of (R,) int32 seeds, stacked on a leading axis R."""
    return jax.vmap(lambda seed: algorithm.init(jax.random.key(seed), spec))(seeds)


@functools.partial(jax.jit, static_argnames=("algorithm", "spec", "updates", "map_seeds"), donate_argnames=("states",))
def train_chunk(
    states: TrainState,
    store: Store,
    coefficients: Coefficients,
    *,
    algorithm: Algorithm,
    spec: Spec,
    updates: int,
    map_seeds: str,
) -> tuple[TrainState, Metrics]:
    """Advances every seed by ``updates`` updates.

    Args:
        states: stacked on a leading axis R, which several devices may share; donated.
        store, coefficients: shared by all seeds; traced.
        algorithm, spec, updates: whose update it is, its structure, and how many; static.
        map_seeds: ``vmap`` steps all seeds at once, for accelerators; ``loop`` steps them one behind the other,
            which is faster where one seed fills the cores. The results are the same to rounding.

    Returns:
        The new states, and (R,) means of every metric over the updates.
    """

    def train_seed(state: TrainState) -> tuple[TrainState, Metrics]:
        def body(carry: TrainState, _) -> tuple[TrainState, Metrics]:
            state, metrics = algorithm.update(carry, store, coefficients, spec)
            return skip_nonfinite(carry, state, metrics) if spec.skip_nonfinite else (state, metrics)

        state, metrics = jax.lax.scan(body, state, length=updates)
        return state, mean_metrics(metrics)

    mesh = None if spec.batch_sharding is None else spec.batch_sharding.mesh
    if map_seeds == "vmap":
        states, metrics = jax.vmap(train_seed, spmd_axis_name=None if mesh is None else "seed")(states)
    else:
        states, metrics = jax.lax.map(train_seed, states)
    if mesh is None:
        return states, metrics
    states = jax.lax.with_sharding_constraint(states, NamedSharding(mesh, PartitionSpec("seed")))
    return states, jax.lax.with_sharding_constraint(metrics, NamedSharding(mesh, PartitionSpec()))


@dataclasses.dataclass(frozen=True)
class Schedule:
    """When things happen, in updates."""

    steps: int  # the last update
    log_every: int  # updates per compiled call and per line of metrics
    eval_every: int  # a multiple of ``log_every``, as is the next
    checkpoint_every: int

    def updates_after(self, step: int) -> int:
        """The length of the next compiled call: to the next multiple of ``log_every``, or to the end."""
        return min(self.log_every - step % self.log_every, self.steps - step)

    def evaluates(self, step: int) -> bool:
        """Whether the policies are scored after this update."""
        return step == self.steps or step % self.eval_every == 0

    def saves(self, step: int) -> bool:
        """Whether a checkpoint is written after this update; one that is also scored is written first."""
        return step == self.steps or step % self.checkpoint_every == 0

    def pauses(self, step: int) -> bool:
        """Whether the states of this update are needed, so that no further call may take them over."""
        return self.evaluates(step) or self.saves(step)


class Hooks(Protocol):
    """What the driver calls between two compiled calls; it knows nothing else of the world.

    Only ``log`` is called while another call may be running.
    """

    def compiled(self, seconds: float) -> None:
        """Receives how long it took to compile the next call; it begins now."""

    def log(self, step: int, metrics: Metrics) -> None:
        """Receives the (R,) mean metrics of the updates since the last call."""

    def save(self, step: int, states: TrainState) -> None:
        """Writes a checkpoint."""

    def evaluate(self, step: int, states: TrainState) -> None:
        """Scores the policies, unless that was done before the run was interrupted.

        Writes the checkpoint of this step if it is to be kept as the best one, or if a signal ends the evaluation.
        """

    def should_stop(self) -> bool:
        """Whether the run was asked to stop."""


def train(
    states: TrainState,
    store: Store,
    coefficients: Coefficients,
    *,
    algorithm: Algorithm,
    spec: Spec,
    map_seeds: str,
    schedule: Schedule,
    hooks: Hooks,
) -> TrainState:
    """Trains from the update of ``states`` to ``schedule.steps``.

    Stops early, with a checkpoint, when ``hooks.should_stop()``.
    """
    step = int(states.step.addressable_data(0)[0])  # all seeds stand at the same update
    static = {"algorithm": algorithm, "spec": spec, "map_seeds": map_seeds}
    calls = _Calls(store, coefficients, static, schedule, hooks)
    while True:
        if step > 0 and schedule.evaluates(step):
            hooks.evaluate(step, states)
        if step >= schedule.steps:
            return states
        states, step = _advance(calls, states, step)
        stopping = hooks.should_stop()
        if stopping or schedule.saves(step):
            hooks.save(step, states)
        if stopping:
            return states


@dataclasses.dataclass
class _Calls:
    """The compiled calls of one training."""

    store: Store
    coefficients: Coefficients
    static: dict  # what else ``train_chunk`` takes
    schedule: Schedule
    hooks: Hooks
    compiled: set[int] = dataclasses.field(default_factory=set)  # lengths

    def begin(self, states: TrainState, step: int) -> tuple[TrainState, Metrics, int]:
        """Begins the call after ``step`` updates, and waits for nothing but its compilation.

        Returns the donated states' successors, the metrics, and the update that they are of.
        """
        updates, arguments = self.schedule.updates_after(step), (states, self.store, self.coefficients)
        static = self.static | {"updates": updates}
        if updates not in self.compiled:
            begun = time.perf_counter()
            train_chunk.lower(*arguments, **static).compile()  # the call finds what this leaves
            self.hooks.compiled(time.perf_counter() - begun)
            self.compiled.add(updates)
        states, metrics = train_chunk(*arguments, **static)
        return states, metrics, step + updates


def _advance(calls: _Calls, states: TrainState, step: int) -> tuple[TrainState, int]:
    """Trains to the next update after which something is due, or to a stop.

    A call is logged while the next one runs. The hooks receive its metrics before anything is saved.
    """
    states, metrics, step = calls.begin(states, step)
    while not calls.schedule.pauses(step) and calls.schedule.updates_after(step) in calls.compiled:
        jax.block_until_ready(metrics)  # a stop waits for one call, not for two; nor are two queued faster on a CPU
        if calls.hooks.should_stop():
            break
        following = calls.begin(states, step)
        calls.hooks.log(step, metrics)
        states, metrics, step = following
    calls.hooks.log(step, metrics)
    return states, step
