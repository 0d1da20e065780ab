"""Worker processes: the same numbers as a plain loop, and no process that outlives its purpose, whatever happens.

``PROBE`` is a module of the user's, whose environments show what goes on in their process, and misbehave on request.
"""

import contextlib
import gc
import importlib
import os
import pathlib
import re
import signal
import subprocess
import sys
import time

import gymnasium
import numpy as np
import pytest
from launching import ROOT

from rvdt_jax.envs import processes
from rvdt_jax.envs.adapters import make_env
from rvdt_jax.envs.processes import ProcessVectorEnv
from rvdt_jax.tasks import Environment

PROBE = """
import multiprocessing, os, signal, subprocess, sys, time
import gymnasium
import numpy as np


class Probe(gymnasium.Env):
    observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (5,), np.float64)
    action_space = gymnasium.spaces.Box(-1.0, 1.0, (1,), np.float32)

    def __init__(self, trouble=""):
        self.trouble = trouble
        self.child = None
        if trouble == "program":
            self.child = subprocess.Popen(["sleep", "600"])
        if trouble == "fork":
            self.child = multiprocessing.get_context("fork").Process(target=time.sleep, args=(600,))
            self.child.start()

    def reset(self, *, seed=None, options=None):
        self.seed, self.steps = seed, 0
        if self.trouble == "reset" and seed == 1:
            raise OSError("no start")
        return self.look(), {"episode_task_completions": []}

    def step(self, action):
        self.steps += 1
        if self.trouble == "raise" and self.seed == 1:
            raise ZeroDivisionError("no luck")
        if self.trouble == "exit":
            sys.exit(3)
        if self.trouble == "die":
            os.kill(os.getpid(), signal.SIGSEGV)
        if self.trouble == "sleep":
            os.write(1, b"asleep\\n")
            time.sleep(600)
        done = ["kettle", "microwave"][: self.steps]
        info = {"is_success": np.float32(self.steps == 2 and self.seed != 2), "episode_task_completions": done}
        if self.trouble == "size" and self.seed == 1:
            return self.look()[:3], 1.0, False, False, info
        return self.look(), 1.0, self.steps == 1 + self.seed, False, info

    def look(self):
        threads = os.environ.get("OMP_NUM_THREADS")
        return np.array([os.getpid(), self.seed, self.steps, "jax" in sys.modules, threads == "1"], np.float64)

    def close(self):
        if self.trouble == "linger":
            time.sleep(600)
        if self.child is not None:
            self.child.terminate()
            self.child.join() if self.trouble == "fork" else self.child.wait()


for trouble in ("", "raise", "size", "reset", "exit", "die", "sleep", "linger", "program", "fork"):
    gymnasium.register(
        f"probe/{trouble.title()}Probe-v0", "{module}:Probe", max_episode_steps=4, kwargs={"trouble": trouble}
    )
"""
PATIENCE = 600.0  # seconds for what takes one at most


@pytest.fixture(autouse=True)
def patience(monkeypatch):
    """Workers that would end are never killed because the machine is busy."""
    monkeypatch.setattr(processes, "_GRACE", PATIENCE)


@pytest.fixture
def probe(tmp_path, monkeypatch):
    """A function from a trouble to an Environment that gets into it; its module is only on this process's path."""
    name = f"probe_{tmp_path.name}".replace("-", "_")
    write_probe(tmp_path, name)
    monkeypatch.syspath_prepend(str(tmp_path))
    return lambda trouble="": Environment(f"{name}:probe/{trouble}Probe-v0")


def write_probe(folder: pathlib.Path, name: str) -> None:
    (folder / f"{name}.py").write_text(PROBE.replace("{module}", name))


def is_running(pid: int) -> bool:
    """Whether there is such a process; an orphan that has ended and waits for init to notice counts as ended."""
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1][0] not in "ZX"
    except OSError:
        return False


def opened(*arguments):
    return contextlib.closing(ProcessVectorEnv(*arguments))


def wait_for_the_end_of(pids: list[int]) -> None:
    deadline = time.monotonic() + PATIENCE
    while any(is_running(pid) for pid in pids):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def pids_of(env: ProcessVectorEnv) -> list[int]:
    """The process of each copy of a probe, which is reset for it."""
    return env.reset(range(env.num_envs))[:, 0].astype(int).tolist()


def assert_reaped(pids: list[int]) -> None:
    """They are gone, and no zombies of this process either."""
    for pid in set(pids):
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def step(env: ProcessVectorEnv) -> tuple:
    return env.step(np.zeros((env.num_envs, env.action_size), np.float32))


@pytest.fixture(scope="module")
def hopping():
    """Environment, seeds, actions and a plain loop's results; some copies fall, the others reach the horizon."""
    environment, seeds = Environment("Hopper-v4", horizon=40), [5, 0, 2**32 - 1, 7, 8]
    actions = np.random.default_rng(1).uniform(-1.5, 1.5, (45, 5, 3)).astype(np.float32)
    actions[:, :2] *= 0.1
    copies = [make_env(environment) for _ in seeds]
    rows = [[(env.reset(seed=seed)[0], 0.0, False, False) for env, seed in zip(copies, seeds, strict=True)]]
    for given in actions:  # an ended one stands still
        before = zip(copies, given, rows[-1], strict=True)
        rows.append([(o, 0.0, *ends) if any(ends) else env.step(action)[:4] for env, action, (o, _, *ends) in before])
    expected = [[np.stack(part) for part in zip(*row, strict=True)] for row in rows]
    assert all(ends.any() for ends in expected[-1][2:])
    return environment, seeds, actions, expected


@pytest.mark.parametrize("count", [1, 2, 3])
def test_copies_go_as_in_a_plain_loop_whatever_the_number_of_processes(hopping, count):
    environment, seeds, actions, expected = hopping
    with opened(environment, len(seeds), count) as env:
        assert (env.num_envs, env.observation_size, env.action_size, env.horizon) == (5, 11, 3, 40)
        for _ in range(2):  # a second reset begins anew
            first = env.reset(seeds)
            assert first.dtype == np.float32
            np.testing.assert_array_equal(first, expected[0][0])
            for given, wanted in zip(actions, expected[1:], strict=True):
                results = env.step(given)
                for ours, theirs in zip(results, wanted, strict=True):
                    np.testing.assert_array_equal(ours, theirs)
        assert [part.dtype for part in results] == [np.float32, np.float64, bool, bool]
        assert env.outcomes() == {}


def test_an_ended_copy_is_not_stepped_and_everything_is_reported(probe):
    with opened(probe(), 4, 2) as env:
        for _ in range(2):  # a second reset begins anew
            env.reset([1, 0, 2, 9])
            assert env.outcomes() == {"tasks": [[], [], [], []]}
            results = [step(env) for _ in range(6)]
        outcomes = env.outcomes()
    steps, rewards, terminated, truncated = (np.array(part) for part in zip(*results, strict=True))
    assert steps[:, :, 2].T.tolist() == [[1, 2, 2, 2, 2, 2], [1] * 6, [1, 2, 3, 3, 3, 3], [1, 2, 3, 4, 4, 4]]
    assert rewards.sum(0).tolist() == [2.0, 1.0, 3.0, 4.0]
    assert terminated.sum(0).tolist() == [5, 6, 4, 0]
    assert truncated.sum(0).tolist() == [0, 0, 0, 3]
    both = ["kettle", "microwave"]
    # The last one only in between.
    assert outcomes == {"success": [True, False, False, True], "tasks": [both, ["kettle"], both, both]}


def test_workers_are_light_and_as_many_as_this_process_may_use_cores_but_never_more_than_copies(probe, monkeypatch):
    monkeypatch.setattr(processes, "_cpu_count", lambda: 3)
    with opened(probe(), 7) as env:
        pids = pids_of(env)
    assert [pids.count(pid) for pid in dict.fromkeys(pids)] == [2, 2, 3]
    with opened(probe(), 2, 8) as env:
        observations = env.reset([0, 1])
    assert len({os.getpid(), *observations[:, 0]}) == 3
    assert observations[:, 3:].tolist() == [[0, 1], [0, 1]]  # no JAX, one thread


def test_what_this_process_has_registered_needs_no_module_in_its_name(probe):
    module, env_id = probe().id.split(":")
    importlib.import_module(module)
    with opened(Environment(env_id), 1, 1) as env:
        assert env.observation_size == 5


@pytest.mark.parametrize("environment", [Environment("Hoper-v4"), Environment("CartPole-v1")])
def test_what_cannot_be_made_is_the_same_error_as_without_processes(environment):
    with pytest.raises(ValueError, match=r"^config\.env") as expected:
        make_env(environment)
    with pytest.raises(ValueError, match=r"^config\.env") as error:
        ProcessVectorEnv(environment, 2, 2)
    assert str(error.value) == str(expected.value)


def test_an_environment_that_raises_ends_its_episode_alone(probe):
    with opened(probe("Raise"), 3, 2) as env:
        pids_of(env)  # its seeds are 0, 1, 2, and that of seed 1 raises
        observations, rewards, _, truncated = step(env)
        failed = env.outcomes()["failed"]
        assert [reason is None for reason in failed] == [True, False, True]
        assert re.fullmatch(r"ZeroDivisionError: no luck \(.*probe_.*\.py, line \d+\)", failed[1])
        assert (bool(truncated[1]), rewards.tolist()) == (True, [1.0, 0.0, 1.0])
        assert np.isfinite(observations).all()
        step(env)
        assert env.outcomes()["failed"] == failed

        env.reset([5, 6, 7])  # made anew
        assert "failed" not in env.outcomes()
        assert step(env)[1].tolist() == [1.0] * 3


def test_an_observation_of_another_size_ends_its_episode_alone(probe):
    with opened(probe("Size"), 3, 1) as env:
        pids_of(env)
        assert step(env)[1].tolist() == [1.0, 0.0, 1.0]
        reason = "ValueError: the observation has 3 numbers, its space 5"
        assert [each and each.split(" (")[0] for each in env.outcomes()["failed"]] == [None, reason, None]


def test_an_environment_that_cannot_be_reset_has_failed(probe):
    with opened(probe("Reset"), 2, 1) as env:
        assert np.isfinite(env.reset([0, 1])).all()
        step(env)
        assert [reason and reason.split(" (")[0] for reason in env.outcomes()["failed"]] == [None, "OSError: no start"]
        env.reset([1, 0])
        assert [reason is None for reason in env.outcomes()["failed"]] == [False, True]


@pytest.mark.parametrize(("trouble", "words"), [("Exit", "ended with exit code 3"), ("Die", "was killed by SIGSEGV")])
def test_a_worker_that_ends_in_a_step_is_an_error(probe, trouble, words):
    env = ProcessVectorEnv(probe(trouble), 2, 2)
    pids = pids_of(env)
    with pytest.raises(RuntimeError, match=rf"{trouble}Probe-v0: worker 1 of 2 \(process {pids[0]}\) {words}"):
        step(env)
    assert_reaped(pids)


@pytest.mark.parametrize("use", [step, pids_of])
def test_a_worker_that_is_killed_is_an_error_at_the_next_use(probe, use):
    env = ProcessVectorEnv(probe(), 4, 2)
    pids = pids_of(env)
    os.kill(pids[3], signal.SIGKILL)
    wait_for_the_end_of(pids[3:])
    with pytest.raises(
        RuntimeError, match=r"worker 2 of 2 .* was killed \(SIGKILL\), as happens where memory runs out"
    ):
        use(env)
    assert_reaped(pids)


def test_a_worker_that_cannot_start_is_an_error(probe, monkeypatch):
    monkeypatch.setattr(processes.sys, "executable", "/bin/false")
    with pytest.raises(RuntimeError, match=r"worker 1 of 1 .* ended with exit code 1"):
        ProcessVectorEnv(probe(), 1, 1)


class Stop(BaseException):
    """What a handler of signals raises."""


def test_an_exchange_that_is_broken_off_closes_everything(probe, monkeypatch):
    def stop(number, frame):
        raise Stop

    monkeypatch.setattr(processes, "_GRACE", 0.1)
    env = ProcessVectorEnv(probe("Sleep"), 2, 2)
    pids, previous = pids_of(env), signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, 0.2)
    try:
        with pytest.raises(Stop):
            step(env)
    finally:
        signal.signal(signal.SIGALRM, previous)
    assert_reaped(pids)


def test_what_only_this_process_can_make_is_an_error_with_a_remedy(monkeypatch):
    spec = gymnasium.envs.registration.EnvSpec("probe/Local-v0", entry_point=lambda: 1 / 0)
    monkeypatch.setitem(gymnasium.registry, spec.id, spec)
    with pytest.raises(ValueError, match="one of your own belongs in such a module, not in a script"):
        ProcessVectorEnv(Environment(spec.id), 1, 1)


def test_stop_signals_are_for_the_parent_to_answer(probe):
    with opened(probe(), 2, 2) as env:
        for pid in pids_of(env):
            os.kill(pid, signal.SIGINT)
            os.kill(pid, signal.SIGTERM)
        assert step(env)[0][:, 2].tolist() == [1, 1]


@pytest.mark.parametrize("trouble", ["Program", "Fork"])
def test_an_environment_can_end_what_it_has_started(probe, trouble):
    with opened(probe(trouble), 1, 1) as env:
        (pid,) = pids_of(env)
        children = [int(child) for child in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
        assert [is_running(child) for child in children] == [True]
        (worker,) = env._workers
    assert worker.process.returncode == 0  # it did not have to be killed
    assert not is_running(children[0])


EARLY = """
import os, signal
from rvdt_jax.envs import worker

# Hooks run in the order of their registration: this one ends the fork before the worker's has set its handlers.
os.register_at_fork(after_in_child=lambda: os.kill(os.getpid(), signal.SIGTERM))
worker._ignore_stop_signals()
pid = os.fork()
if pid == 0:
    os._exit(0)
print(os.WTERMSIG(os.waitpid(pid, 0)[1]), signal.pthread_sigmask(signal.SIG_BLOCK, ()))
"""


def test_a_fork_can_be_ended_before_it_has_done_anything():
    ended = subprocess.run([sys.executable, "-c", EARLY], cwd=ROOT, capture_output=True, text=True, check=True)
    assert ended.stdout.split() == [str(int(signal.SIGTERM)), "set()"]


@pytest.mark.parametrize(
    ("trouble", "grace", "status", "closed"),
    [("", PATIENCE, 0, True), ("", PATIENCE, 0, False), ("Linger", 0.1, -signal.SIGKILL, True)],
)
def test_workers_are_asked_to_end_and_killed_if_they_do_not(probe, monkeypatch, trouble, grace, status, closed):
    monkeypatch.setattr(processes, "_GRACE", grace)
    env = ProcessVectorEnv(probe(trouble), 2, 2)
    workers = [worker.process for worker in env._workers]
    pids = pids_of(env)
    if closed:
        env.close()
        env.close()  # does nothing
    del env  # garbage has no workers
    gc.collect()
    assert_reaped(pids)
    assert [worker.returncode for worker in workers] == [status] * 2


def test_a_fork_of_the_parent_does_not_end_its_workers(probe):
    with opened(probe(), 2, 1) as env:
        pids_of(env)
        processes._shut_down(env._workers, os.getpid() + 1)  # what the fork's exit runs
        assert step(env)[0][:, 2].tolist() == [1, 1]


# A shell that puts the tests into the background has them ignore SIGINT, and what they start: here it is to be heard.
SCRIPT = """
import signal

from rvdt_jax.envs.processes import ProcessVectorEnv
from rvdt_jax.tasks import Environment

signal.signal(signal.SIGINT, signal.default_int_handler)
print("begun", flush=True)
env = ProcessVectorEnv(Environment("{env_id}"), 2, 2)
print(*env.reset([0, 1])[:, 0].astype(int), flush=True)
"""


@pytest.fixture
def run_script(tmp_path):
    """A function that starts Python on ``SCRIPT`` and more, beside a module ``probing``, in a session of its own."""
    write_probe(tmp_path, "probing")
    with contextlib.ExitStack() as stack:

        def start(more: str, trouble: str = "", arguments: tuple = ("script.py",)) -> subprocess.Popen:
            (tmp_path / "script.py").write_text(SCRIPT.replace("{env_id}", f"probing:probe/{trouble}Probe-v0") + more)
            pipes = dict.fromkeys(("stdout", "stderr"), subprocess.PIPE)
            options = {"cwd": tmp_path, "env": os.environ | {"PYTHONPATH": str(ROOT)}, "start_new_session": True}
            process = subprocess.Popen([sys.executable, *arguments], text=True, **pipes, **options)
            stack.enter_context(process)
            stack.callback(process.kill)
            return process

        yield start


def workers_of(script: subprocess.Popen) -> list[int]:
    assert script.stdout.readline() == "begun\n"
    return [int(pid) for pid in script.stdout.readline().split()]


@pytest.mark.parametrize("arguments", [("script.py",), ("-c", "exec(open('script.py').read())")])
def test_any_script_will_do_and_leaves_nobody_behind(run_script, arguments):
    each = "for _ in range(3): print(env.step([[0.0], [0.0]])[0][:, 2].tolist())\n"
    script = run_script(each, arguments=arguments)
    output, errors = script.communicate(timeout=PATIENCE)
    assert (script.returncode, errors) == (0, "")
    begun, pids, *steps = output.splitlines()
    assert (begun, steps) == ("begun", ["[1.0, 1.0]", "[1.0, 2.0]", "[1.0, 2.0]"])  # begun but once
    assert len(set(pids.split())) == 2
    assert not any(is_running(int(pid)) for pid in pids.split())


def test_ctrl_c_interrupts_the_script_alone(run_script):
    script = run_script("import time\ntime.sleep(600)\n")
    pids = workers_of(script)
    os.killpg(script.pid, signal.SIGINT)
    _, errors = script.communicate(timeout=PATIENCE)
    assert errors.count("Traceback") == 1
    assert errors.rstrip().endswith("KeyboardInterrupt")
    assert not any(is_running(pid) for pid in pids)


@pytest.mark.parametrize("busy", [False, True])
def test_no_worker_outlives_a_parent_that_is_killed(run_script, busy):
    script = run_script("env.step([[0.0], [0.0]])\n", "Sleep") if busy else run_script("import time; time.sleep(600)\n")
    pids = workers_of(script)
    if busy:
        assert [script.stdout.readline() for _ in pids] == ["asleep\n"] * 2
    assert all(is_running(pid) for pid in pids)
    script.kill()
    script.wait()
    wait_for_the_end_of(pids)
