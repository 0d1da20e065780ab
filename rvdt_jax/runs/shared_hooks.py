"""The hooks of a run that several processes train together: process 0 keeps its session, and the others follow."""

from __future__ import annotations

from collections.abc import Callable

from jax.sharding import Mesh

from rvdt_jax.algorithms.base import Metrics
from rvdt_jax.runs.hooks import Session
from rvdt_jax.runs.processes import Group
from rvdt_jax.runs.signals import Interrupted
from rvdt_jax.train.parallel import collect
from rvdt_jax.types import TrainState


class SharedSession:
    """The driver's hooks in each of several processes: process 0 keeps the session, and the others wait for it.

    Args:
        session: of process 0; None in the others.
        group: the processes.
        mesh: the devices of all of them.
        steps: the last update.
        acting_params: of the algorithm: what of a state acts.

    Attributes:
        finished, signal: as of ``Session``, and the same in all processes.
    """

    def __init__(
        self,
        session: Session | None,
        group: Group,
        mesh: Mesh,
        steps: int,
        acting_params: Callable[[TrainState], dict],
    ):
        self._session, self._group, self._mesh, self._steps = session, group, mesh, steps
        self._acting_params = acting_params
        self.finished, self.signal = False, None

    def compiled(self, seconds: float) -> None:
        """Process 0 keeps the time."""
        if self._session is not None:
            self._session.compiled(seconds)

    def log(self, step: int, metrics: Metrics) -> None:
        """Process 0 records the metrics."""
        if self._session is not None:
            self._session.log(step, metrics)

    def save(self, step: int, states: TrainState) -> None:
        """Process 0 writes what all have."""
        whole = collect(states, self._mesh)
        if self._session is not None:
            self._session.save(step, whole)

    def evaluate(self, step: int, states: TrainState) -> None:
        """Process 0 scores the policies, and the others wait as long as it takes.

        Raises:
            Interrupted: a signal came, to whichever of them.
        """
        if self._group.lead(lambda: self._session.is_due(step)):
            params = collect(self._acting_params(states), self._mesh)
            interrupted, to_save = self._group.lead(lambda: self._session.score(step, params))
            if to_save:
                self.save(step, states)
            if interrupted:
                self.signal = self._group.lead(lambda: self._session.signal)
                raise Interrupted
        self.finished = step == self._steps

    def should_stop(self) -> bool:
        """Whether a signal has come to any of the processes."""
        self.signal = self._group.any_signal()
        return self.signal is not None
