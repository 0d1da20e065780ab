"""Faults that strike once: disks, files, clocks, environments, and a second process."""

from __future__ import annotations

import contextlib
import os
import pathlib
import random
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Iterator

from faults.harness import RUN, Broken, Place, check_equal, check_whole, expect, finish
from rvdt_jax.report.records import read_json, read_lines


class NotTried(Exception):
    """This machine does not let the fault be made; says why."""


@contextlib.contextmanager
def small_disk(folder: pathlib.Path, size: str, options: str = "") -> Iterator[None]:
    """A file system of its own in a folder.

    Raises:
        NotTried: only root may mount one.
    """
    folder.mkdir(parents=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}{options}", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True, check=False).returncode:
        raise NotTried("mounting a small disk takes root")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def full_disk(folder: pathlib.Path, reference: Place, kilobytes: int) -> None:
    """The disk of the run directory is full: the run ends, says so, and goes on when there is room."""
    place = Place(folder, reference.compiled)
    with small_disk(place.run, f"{kilobytes}k"):
        status, said = place.train()
        expect(status, 2, said)
        errors = [
            line for line in said.splitlines() if line.startswith("error: ") and "No space left on device" in line
        ]
        if len(errors) != 1:
            raise Broken(f"it does not say that the disk is full: {said.strip()[-400:]}")
        check_whole(place)
        subprocess.run(["mount", "-o", "remount,size=100m", str(place.run)], check=True)
        status, said = place.train()
        expect(status, 0, said)
        check_equal(place, reference)


def read_only_disk(folder: pathlib.Path, reference: Place) -> None:
    """A run directory that cannot be written is refused before any work is done."""
    place = Place(folder, reference.compiled)
    with small_disk(folder / "disk", "1m", ",ro"):
        status, said = finish(place.start("run.py", *RUN, f"--workdir={folder}/disk/run"))
        expect(status, 2, said)
        if "cannot be made or written" not in said or place.datasets.exists():
            raise Broken(f"it was not refused at once: {said.strip()[-400:]}")


def truncated_checkpoint(folder: pathlib.Path, reference: Place, part: str) -> None:
    """Behind a damaged checkpoint the one before is taken, and that is said."""
    place = Place(folder, reference.compiled)
    stop = {"signal": signal.SIGTERM, "target": "rvdt_jax.runs.hooks:Session.save", "call": 6, "delay": 0.0}
    status, said = place.train(fault=stop)
    expect(status, 128 + signal.SIGTERM, said)
    newest = max((path for path in (place.run / "checkpoints").iterdir()), key=lambda path: int(path.name))
    files = [path for path in newest.rglob(part) if path.is_file() and path.stat().st_size]
    if not files:
        raise Broken(f"the harness found no {part} in {newest}")
    for path in files:
        os.truncate(path, path.stat().st_size // 2)
    status, said = place.train()
    expect(status, 0, said)
    damaged = place.run / f"damaged-checkpoint-{newest.name}"
    if f"checkpoint of update {newest.name} cannot be read" not in said or not damaged.is_dir():
        raise Broken(f"it does not say what it did: {said.strip()[-400:]}")
    check_equal(place, reference)


def corrupted_cache(folder: pathlib.Path, reference: Place, rng: random.Random) -> None:
    """A cache that is damaged anywhere is rebuilt, and that is said."""
    place = Place(folder, reference.compiled)
    shutil.copytree(reference.datasets, place.datasets)
    shutil.copytree(reference.folder / "cache", folder / "cache")
    (cache,) = (folder / "cache").glob("[!.]*.npz")
    content = bytearray(cache.read_bytes())
    where = rng.randrange(200, len(content) - 200)
    content[where : where + 64] = bytes(byte ^ 0xFF for byte in content[where : where + 64])
    cache.write_bytes(content if rng.random() < 0.5 else content[:where])
    status, said = place.train()
    expect(status, 0, said)
    if "rebuilding the cache" not in said:
        raise Broken(f"the damage was not noticed: {said.strip()[-400:]}")
    check_equal(place, reference)


def jumping_clock(folder: pathlib.Path, reference: Place, seed: int) -> str:
    """Nothing that is written depends on what time it is. Orbax's deadlines do: a jump in a write may end the run.

    Returns:
        How often it did.
    """
    place = Place(folder, reference.compiled)
    for ended in range(20):
        status, said = place.train(fault={"clock": 100 * seed + ended})
        check_whole(place)
        if status == 0:
            check_equal(place, reference)
            return f"the run was ended {ended} times, by a jump while a checkpoint was written, and went on"
        expect(status, 2, said)
        if "a checkpoint could not be written" not in said or "timed out" not in said:
            raise Broken(f"it ended with {said.strip()[-400:]}")
    raise Broken("it never came to its end")


def two_recreate(folder: pathlib.Path, reference: Place) -> None:
    """Of two that collect one data set at once, one writes it whole, and the other says that it is there."""
    place = Place(folder, reference.compiled)
    both = [place.start("recreate.py", "--task=maze2d-umaze-v1") for _ in range(2)]
    ended = [finish(process) for process in both]
    if sorted(status for status, _ in ended) not in ([0, 0], [0, 2]):
        raise Broken(f"they ended with {ended}")
    for status, said in ended:
        if status == 2 and "already exists" not in said:
            raise Broken(f"it does not say why it stopped: {said.strip()[-400:]}")
    status, said = place.train()
    expect(status, 0, said)
    check_equal(place, reference)


def two_runs(folder: pathlib.Path, reference: Place) -> None:
    """A second process on one run directory is refused, and told who is there."""
    place = Place(folder, reference.compiled)
    first = place.start("run.py", *RUN, f"--workdir={place.run}")
    try:
        deadline = time.monotonic() + 1800
        while not (place.run / "config.json").exists():
            if time.monotonic() > deadline:
                raise Broken("the first run does not begin")
            time.sleep(0.01)
        status, said = place.train()
    finally:
        ended = finish(first)
    expect(status, 2, said)
    if f"process {first.pid} on" not in said:
        raise Broken(f"it does not say who is there: {said.strip()[-400:]}")
    expect(ended[0], 0, ended[1])
    check_equal(place, reference)


ENVIRONMENT = '''
import os
import signal

import gymnasium
import numpy as np

from rvdt_jax.envs.maze2d import Maze2dEnv


class Faulty(Maze2dEnv):
    """umaze, in which every third episode meets a fault in its fifth step."""

    def __init__(self, fault):
        super().__init__("maze2d-umaze-v1")
        self._fault = fault

    def reset(self, *, seed=None, options=None):
        self._struck, self._steps = seed % 3 == 0, 0
        return super().reset(seed=seed, options=options)

    def step(self, action):
        observation, reward, *flags = super().step(action)
        self._steps += 1
        if self._struck and self._steps == 5:
            if self._fault == "raise":
                raise RuntimeError("the simulator has come apart")
            if self._fault == "nan":
                observation = observation * np.nan
            if self._fault == "die" and not os.path.exists("died"):
                open("died", "w").close()
                os.kill(os.getpid(), signal.SIGKILL)
        return observation, reward, *flags


for fault in ("raise", "nan", "die", "none"):
    name = f"faulty/{fault.title()}-v0"
    if name not in gymnasium.registry:
        gymnasium.register(name, f"{__name__}:Faulty", max_episode_steps=300, kwargs={"fault": fault})
'''


def faulty_environment(folder: pathlib.Path, reference: Place, fault: str) -> None:
    """An episode in which the environment raises, or gives NaN, has failed, and training goes on.

    Where its process dies, it is started again, and every episode is played.
    """
    place = Place(folder, reference.compiled)
    status, said = _train_in(place, fault)
    expect(status, 0, said)
    if (place.run / "metrics.jsonl").read_bytes() != (reference.run / "metrics.jsonl").read_bytes():
        raise Broken("training was touched")
    evaluations = read_lines(place.run / "evaluations.jsonl")
    failed = [reason for record in evaluations for reason in record.get("failed", ()) if reason]
    missing = sum(record["returns"].count(None) for record in evaluations)
    if fault == "die":
        if "Starting the simulators anew" not in said or failed or missing:
            raise Broken(f"it was not started again: {failed}, {said.strip()[-400:]}")
        whole = Place(folder / "whole", reference.compiled)
        status, said = _train_in(whole, "none")
        expect(status, 0, said)
        if evaluations != read_lines(whole.run / "evaluations.jsonl"):
            raise Broken("the evaluation that was repeated is another than one in which nothing happened")
        return
    reason = "come apart" if fault == "raise" else "not finite"
    if not failed or len(failed) != missing or not all(reason in each for each in failed):
        raise Broken(f"what failed is not on record: {failed}")
    final = read_json(place.run / "results.json")["final"]["50.0"]["aggregate"]
    if final["return"] is not None or not final["failed_episodes"]:
        raise Broken(f"there is a score: {final}")


def _train_in(place: Place, fault: str) -> tuple[int, str]:
    site = place.folder / "site"
    site.mkdir(parents=True)
    (site / "faulty.py").write_text(ENVIRONMENT)
    scored_in = f"--config.env=faulty:faulty/{fault.title()}-v0"
    return place.train(scored_in, "--config.eval.processes=2", path=str(site))


def flat_memory(folder: pathlib.Path, reference: Place, steps: int) -> str:
    """A long run takes no more memory at its end than when everything had happened once.

    Returns:
        What was measured.
    """
    place = Place(folder, reference.compiled)
    flags = [f"--config.train.steps={steps}", "--config.train.log_every=50", f"--config.eval.every={steps // 20}"]
    flags += [f"--config.train.checkpoint_every={steps // 20}"]
    process = place.start("run.py", *RUN, *flags, f"--workdir={place.run}")
    ended: list[tuple[int, str]] = []
    waiting = threading.Thread(target=lambda: ended.append(finish(process)))
    waiting.start()
    seen: dict[int, int] = {}
    while process.poll() is None:
        step = len(read_lines(place.run / "metrics.jsonl")) * 50
        with contextlib.suppress(OSError, IndexError):
            status = pathlib.Path(f"/proc/{process.pid}/status").read_text()
            seen[step] = int(status.partition("VmRSS:")[2].split()[0])
        time.sleep(0.5)
    waiting.join()
    expect(ended[0][0], 0, ended[0][1])
    early = [kilobytes for step, kilobytes in seen.items() if 0.1 * steps <= step <= 0.2 * steps]
    late = [kilobytes for step, kilobytes in seen.items() if 0.9 * steps <= step < steps]
    if not early or not late:
        raise Broken(f"the run was not seen often enough: {seen}")
    growth = max(late) / max(early) - 1
    words = f"{max(early) / 1024:.0f} to {max(late) / 1024:.0f} MiB over {steps:,} updates, {100 * growth:+.1f} %"
    if growth >= 0.05:
        raise Broken(words)
    return words
