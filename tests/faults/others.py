"""Faults that strike once: disks, files, clocks, environments, and a second process."""

from __future__ import annotations

import contextlib
import os
import pathlib
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from concurrent import futures

from faults.harness import RUN, Broken, Place, check_end, check_equal, check_whole, expect, finish, require
from rvdt_jax.report.records import read_json, read_lines


class NotTried(Exception):
    """This machine does not let the fault be made; says why."""


@contextlib.contextmanager
def small_disk(folder: pathlib.Path, size: str, options: str = "") -> Iterator[None]:
    """A file system of its own in a folder, which only root may mount."""
    folder.mkdir(parents=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}{options}", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True, check=False).returncode:
        raise NotTried("mounting a small disk takes root")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def full_disk(place: Place, reference: Place, kilobytes: int) -> None:
    """The disk of the run directory is full: the run ends, says so, and goes on when there is room."""
    with small_disk(place.run, f"{kilobytes}k"):
        said = place.train(wanted=2)
        errors = [line for line in said.splitlines() if line.startswith("error: ")]
        require(len(errors) == 1 and "No space left" in errors[0], "it does not say that the disk is full", said)
        check_whole(place)
        subprocess.run(["mount", "-o", "remount,size=100m", str(place.run)], check=True)
        check_end(place, reference)


def read_only_disk(place: Place, reference: Place) -> None:
    """A run directory that cannot be written is refused before any work is done."""
    with small_disk(place.folder / "disk", "1m", ",ro"):
        said = expect(2, *finish(place.start("run.py", *RUN, f"--workdir={place.folder}/disk/run")))
        require("cannot be made or written" in said, "it does not say that it cannot write", said)
        require(not (place.folder / "minari").exists(), "it was not refused at once", said)


def truncated_checkpoint(place: Place, reference: Place, part: str) -> None:
    """Behind a damaged checkpoint the one before is taken, and that is said."""
    stop = {"signal": signal.SIGTERM, "target": "rvdt_jax.runs.hooks:Session.save", "call": 6, "delay": 0.0}
    place.train(fault=stop, wanted=128 + signal.SIGTERM)
    newest = max((place.run / "checkpoints").iterdir(), key=lambda path: int(path.name))
    files = [path for path in newest.rglob(part) if path.is_file() and path.stat().st_size]
    require(files, f"the harness found no {part} in {newest}")
    for path in files:
        os.truncate(path, path.stat().st_size // 2)
    check_end(place, reference, said=f"checkpoint of update {newest.name} cannot be read")
    require((place.run / f"damaged-checkpoint-{newest.name}").is_dir(), "the damaged checkpoint is gone")


def corrupted_cache(place: Place, reference: Place, rng: random.Random) -> None:
    """A cache that is damaged anywhere is rebuilt, and that is said."""
    for name in ("minari", "cache"):
        shutil.copytree(reference.folder / name, place.folder / name)
    (cache,) = (place.folder / "cache").glob("[!.]*.npz")
    content = bytearray(cache.read_bytes())
    where = rng.randrange(200, len(content) - 200)
    content[where : where + 64] = bytes(byte ^ 0xFF for byte in content[where : where + 64])
    cache.write_bytes(content if rng.random() < 0.5 else content[:where])
    check_end(place, reference, said="rebuilding the cache")


def jumping_clock(place: Place, reference: Place, seed: int) -> str:
    """Nothing that is written depends on what time it is. Orbax's deadlines do: a jump in a write may end the run."""
    for ended in range(20):
        status, said = place.try_to_train(fault={"clock": 100 * seed + ended})
        check_whole(place)
        if status == 0:
            check_equal(place, reference)
            return f"the run was ended {ended} times, by a jump while a checkpoint was written, and went on"
        expect(2, status, said)
        require("a checkpoint could not be written" in said and "timed out" in said, "it ended otherwise", said)
    raise Broken("it never came to its end")


def two_recreate(place: Place, reference: Place) -> None:
    """Of two that collect one data set at once, one writes it whole, and the other says that it is there."""
    ended = [finish(process) for process in [place.start("recreate.py", "--task=maze2d-umaze-v1") for _ in range(2)]]
    require(sorted(status for status, _ in ended) in ([0, 0], [0, 2]), f"they ended with {ended}")
    for status, said in ended:
        require(status == 0 or "already exists" in said, "it does not say why it stopped", said)
    check_end(place, reference)


def two_runs(place: Place, reference: Place) -> None:
    """A second process on one run directory is refused, and told who is there."""
    first = place.start("run.py", *RUN, f"--workdir={place.run}")
    try:
        while not (place.run / "config.json").exists():
            require(first.poll() is None, "the first run does not begin")
            time.sleep(0.01)
        said = place.train(wanted=2)
    finally:
        ended = finish(first)
    require(f"process {first.pid} on" in said, "it does not say who is there", said)
    expect(0, *ended)
    check_equal(place, reference)


def faulty_environment(place: Place, reference: Place, fault: str) -> None:
    """An episode in which the environment raises, or gives NaN, has failed; a process that dies is started again."""
    said = _train_in(place, fault)
    metrics = [(each.run / "metrics.jsonl").read_bytes() for each in (place, reference)]
    require(metrics[0] == metrics[1], "training was touched")
    evaluations = read_lines(place.run / "evaluations.jsonl")
    failed = [reason for record in evaluations for reason in record.get("failed", ()) if reason]
    missing = sum(record["returns"].count(None) for record in evaluations)
    if fault == "die":
        again = "Starting the simulators anew" in said and not failed and not missing
        require(again, f"it was not started again, {failed}", said)
        whole = Place(place.folder / "whole", place.compiled)
        _train_in(whole, "none")
        same = evaluations == read_lines(whole.run / "evaluations.jsonl")
        require(same, "the evaluation that was repeated is another than one in which nothing happened")
    else:
        reason = "come apart" if fault == "raise" else "not finite"
        recorded = failed and len(failed) == missing and all(reason in each for each in failed)
        require(recorded, f"what failed is not on record: {failed}")
        final = read_json(place.run / "results.json")["final"]["50.0"]["aggregate"]
        require(final["return"] is None and final["failed_episodes"], f"there is a score: {final}")


def _train_in(place: Place, fault: str) -> str:
    return place.train(f"--config.env=faulty:faulty/{fault.title()}-v0", "--config.eval.processes=2")


def flat_memory(place: Place, reference: Place, steps: int) -> str:
    """A long run takes no more memory at its end than when everything had happened once."""
    flags = [f"--config.train.steps={steps}", "--config.train.log_every=50", f"--config.eval.every={steps // 20}"]
    flags += [f"--config.train.checkpoint_every={steps // 20}"]
    process = place.start("run.py", *RUN, *flags, f"--workdir={place.run}")
    ended, seen = futures.ThreadPoolExecutor(1).submit(finish, process), {}
    while process.poll() is None:
        step = len(read_lines(place.run / "metrics.jsonl")) * 50
        with contextlib.suppress(OSError, IndexError):
            status = pathlib.Path(f"/proc/{process.pid}/status").read_text()
            seen[step] = int(status.partition("VmRSS:")[2].split()[0])
        time.sleep(0.5)
    expect(0, *ended.result())
    early = [kilobytes for step, kilobytes in seen.items() if 0.1 * steps <= step <= 0.2 * steps]
    late = [kilobytes for step, kilobytes in seen.items() if 0.9 * steps <= step < steps]
    require(early and late, f"the run was not seen often enough: {seen}")
    growth = max(late) / max(early) - 1
    words = f"{max(early) / 1024:.0f} to {max(late) / 1024:.0f} MiB over {steps:,} updates, {100 * growth:+.1f} %"
    require(growth < 0.05, words)
    return words
