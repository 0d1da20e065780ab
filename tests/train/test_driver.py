"""The driver of many updates: what it calls between two compiled calls, and when."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rvdt_jax.algorithms.sequence import SEQUENCE, make_coefficients, make_spec
from rvdt_jax.train import driver
from rvdt_jax.train.driver import Schedule, init_states


class Recorder:
    """Hooks that note what they are called with, and ask to stop after the update ``stop_after``."""

    def __init__(self, stop_after=None):
        self.calls, self._step, self._stop_after = [], 0, stop_after

    def compiled(self, seconds):
        assert seconds > 0
        self.calls.append("compiled")

    def log(self, step, metrics):
        self._step = step
        self.calls.append(("log", step))

    def save(self, step, states, name="save"):
        assert (np.asarray(states.step) == step).all()
        self.calls.append((name, step))

    def evaluate(self, step, states):
        self.save(step, states, "evaluate")

    def should_stop(self):
        return self._stop_after is not None and self._step >= self._stop_after

    def of(self, name):
        return [call[1] for call in self.calls if call[0] == name]


@pytest.fixture
def drive(small_config, store, monkeypatch):
    """A function that trains and returns the hooks."""
    chunk = driver.train_chunk

    def run(*, hooks=None, begin=0, steps=6, log_every=2, eval_every=6, checkpoint_every=6):
        config, hooks = small_config(variant="DT", seeds=(0, 1)), hooks or Recorder()

        def noted(*arguments, **options):
            hooks.calls.append("call")
            return chunk(*arguments, **options)

        noted.lower = chunk.lower
        monkeypatch.setattr(driver, "train_chunk", noted)
        spec, schedule = make_spec(config, 4, 2, 30), Schedule(steps, log_every, eval_every, checkpoint_every)
        states = init_states(jnp.asarray(config.seeds), SEQUENCE, spec)
        states = states.replace(step=states.step + begin)
        how = {"algorithm": SEQUENCE, "spec": spec, "map_seeds": "loop", "schedule": schedule, "hooks": hooks}
        driver.train(states, store, make_coefficients(config), **how)
        return hooks

    return run


def test_a_call_is_logged_while_the_next_one_runs_unless_its_states_are_needed(drive):
    hooks = drive(steps=9, eval_every=8, checkpoint_every=4)
    assert hooks.calls == [
        "compiled",  # every length of a call once, before its first call
        *["call", "call", ("log", 2), ("log", 4), ("save", 4)],
        *["call", "call", ("log", 6), ("log", 8), ("save", 8), ("evaluate", 8)],
        *["compiled", "call", ("log", 9), ("save", 9), ("evaluate", 9)],
    ]


@pytest.mark.parametrize(
    ("schedule", "logged", "saved", "evaluated"),
    [
        # Checkpoints may be rarer than evaluations.
        ({"steps": 10, "eval_every": 2, "checkpoint_every": 4}, [2, 4, 6, 8, 10], [4, 8, 10], [2, 4, 6, 8, 10]),
        # A call ends at a multiple of its length wherever it begins.
        ({"begin": 6, "steps": 14, "log_every": 4, "eval_every": 8}, [8, 12, 14], [12, 14], [8, 14]),
    ],
)
def test_what_is_due_when(schedule, logged, saved, evaluated, drive):
    hooks = drive(**schedule)
    assert (hooks.of("log"), hooks.of("save"), hooks.of("evaluate")) == (logged, saved, evaluated)


def test_a_stop_waits_for_the_call_in_flight_alone_and_ends_with_a_checkpoint(drive):
    """It is asked for while the second call runs: no third one begins."""
    hooks = drive(hooks=Recorder(stop_after=2), steps=20, eval_every=20, checkpoint_every=20)
    assert hooks.calls == ["compiled", "call", "call", ("log", 2), ("log", 4), ("save", 4)]


def test_what_was_timed_is_not_compiled_again_by_the_call(drive):
    hooks = Recorder()

    def listen(event, seconds, **_):
        if event.endswith("backend_compile_duration"):
            hooks.calls.append("compiling")

    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        drive(hooks=hooks, steps=3, log_every=3)  # a length that no other test has compiled
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)
    timed = hooks.calls.index("compiled")
    assert "compiling" in hooks.calls[:timed]
    assert "compiling" not in hooks.calls[timed : hooks.calls.index(("log", 3))]
