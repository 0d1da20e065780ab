"""The driver of many updates: what it calls between two compiled calls, and when."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rvdt_jax.train import driver
from rvdt_jax.train.build import make_coefficients, make_spec
from rvdt_jax.train.driver import Schedule, init_states


class Recorder:
    """Hooks that note what they are called with.

    Args:
        stop_after: the update after which it asks to stop.
    """

    def __init__(self, stop_after=None):
        self.calls, self.metrics, self.seconds, self._stop_after, self._step = [], {}, [], stop_after, 0

    def compiled(self, seconds):
        self.calls.append(("compiled",))
        self.seconds.append(seconds)

    def log(self, step, metrics):
        self._step = step
        self.calls.append(("log", step))
        self.metrics[step] = jax.tree.map(np.asarray, metrics)

    def save(self, step, states):
        assert (np.asarray(states.step) == step).all()
        self.calls.append(("save", step))

    def evaluate(self, step, states):
        assert (np.asarray(states.step) == step).all()
        self.calls.append(("evaluate", step))

    def should_stop(self):
        return self._stop_after is not None and self._step >= self._stop_after

    def of(self, name):
        return [step for kind, *step in self.calls if kind == name]


@pytest.fixture
def drive(small_config, store):
    """A function that trains and returns the hooks."""

    def run(*, hooks=None, begin=0, steps=6, log_every=2, eval_every=6, checkpoint_every=6):
        config = small_config(variant="DT", seeds=(0, 1))
        spec = make_spec(config, 4, 2, 30)
        states = init_states(jnp.asarray(config.seeds), spec=spec)
        states = states.replace(step=states.step + begin)
        hooks = hooks or Recorder()
        schedule = Schedule(steps, log_every, eval_every, checkpoint_every)
        how = {"spec": spec, "map_seeds": "loop", "schedule": schedule, "hooks": hooks}
        driver.train(states, store, make_coefficients(config), **how)
        return hooks

    return run


def test_what_is_called_and_in_which_order(drive):
    calls = drive(steps=5, eval_every=4, checkpoint_every=2).calls  # a checkpoint precedes the evaluation of its step
    assert [call for call in calls if call[0] != "compiled"] == [
        ("log", 2),
        ("save", 2),
        ("log", 4),
        ("save", 4),
        ("evaluate", 4),
        ("log", 5),
        ("save", 5),
        ("evaluate", 5),
    ]


def test_checkpoints_may_be_rarer_than_evaluations(drive):
    hooks = drive(steps=10, eval_every=2, checkpoint_every=4)
    assert hooks.of("save") == [[4], [8], [10]]
    assert hooks.of("evaluate") == [[2], [4], [6], [8], [10]]


def test_a_stop_ends_with_a_checkpoint_whatever_the_period(drive):
    hooks = drive(hooks=Recorder(stop_after=4), steps=10)
    assert hooks.calls[-2:] == [("log", 4), ("save", 4)]


def test_every_length_of_a_call_is_compiled_once_and_timed_before_it(drive):
    hooks = drive(steps=7)
    assert hooks.calls.index(("compiled",)) == 0
    assert hooks.of("compiled") == [[], []]  # of two updates, and of the one that is left
    assert all(seconds > 0 for seconds in hooks.seconds)
    assert hooks.calls.index(("log", 6)) < len(hooks.calls) - hooks.calls[::-1].index(("compiled",)) - 1


def test_what_was_timed_is_not_compiled_again_by_the_call(drive):
    compiled, counts = [], []

    class Counting(Recorder):
        def compiled(self, seconds):
            counts.append(len(compiled))

        def log(self, step, metrics):
            counts.append(len(compiled))

    def listen(event, seconds, **_):
        if event.endswith("backend_compile_duration"):
            compiled.append(event)

    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        drive(hooks=Counting(), steps=3, log_every=3)  # a length that no other test has compiled
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)
    assert counts[0] == counts[1] > 0
