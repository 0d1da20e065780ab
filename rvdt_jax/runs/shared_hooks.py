"""The hooks of a run, in each of its processes: process 0 keeps the session, and the others follow."""

from __future__ import annotations

from collections.abc import Callable

from jax.sharding import Mesh

from rvdt_jax.algorithms.base import Metrics
from rvdt_jax.runs.hooks import Session
from rvdt_jax.runs.processes import Group
from rvdt_jax.runs.signals import Interrupted, Interruption
from rvdt_jax.train.parallel import collect
from rvdt_jax.types import TrainState


class SharedSession:
    """The driver's hooks, see ``train.driver.Hooks``; only process 0 has a session.

    Attributes:
        finished: whether the last evaluation is on record.
        signal: the number of the signal that stopped the run, or None.
    """

    def __init__(
        self,
        session: Session | None,
        group: Group,
        interruption: Interruption,
        mesh: Mesh | None,
        steps: int,
        acting_params: Callable[[TrainState], dict],
    ):
        self._session, self._group, self._interruption = session, group, interruption
        self._mesh, self._steps, self._acting_params = mesh, steps, acting_params
        self._failure: Exception | None = None
        self.finished, self.signal = False, None

    def compiled(self, seconds: float) -> None:
        """Process 0 keeps the time."""
        if self._session is not None:
            self._session.compiled(seconds)

    def log(self, step: int, metrics: Metrics) -> None:
        """Process 0 records the metrics. Its failure waits for ``should_stop``, as another call is running now."""
        if self._session is not None and self._failure is None:
            try:
                self._session.log(step, metrics)
            except Exception as error:
                if self._group.count == 1:
                    raise
                self._failure = error

    def save(self, step: int, states: TrainState) -> None:
        """Process 0 writes the checkpoint."""
        whole = collect(states, self._mesh) if self._group.count > 1 else states
        self._group.attempt(lambda: self._session and self._session.save(step, whole))

    def evaluate(self, step: int, states: TrainState) -> None:
        """Process 0 scores the policies unless that was done before an interruption, and the others wait.

        Raises:
            Interrupted: process 0 received a signal; the checkpoint of this step is written.
        """
        if self._group.lead(lambda: self._session.is_due(step)):
            params = collect(self._acting_params(states), self._mesh)
            interrupted, to_save = self._group.lead(lambda: self._session.score(step, params))
            if to_save:
                self.save(step, states)
            if interrupted:
                self.should_stop()
                raise Interrupted
        self.finished = step == self._steps

    def should_stop(self) -> bool:
        """Whether a signal has come to any process. Raises, in all of them, what ``log`` has raised."""
        self.signal = self._group.any_signal(self._interruption.signal, self._failure)
        return self.signal is not None
