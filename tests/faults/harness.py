"""One small run in a place of its own, started again and again, and compared with one that nothing happened to."""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import subprocess
import sys

import numpy as np
from compilation import ONE_DEVICE
from launching import ROOT, TINY, flags_of

from rvdt_jax.data.cache import read_cache
from rvdt_jax.report.records import read_json, read_lines

VICTIM = pathlib.Path(__file__).with_name("victim.py")
RECORDS = ("metrics.jsonl", "evaluations.jsonl")
SETTINGS = TINY | {"seeds": "0,1", "train.steps": 40, "train.checkpoint_every": 4, "train.keep_checkpoints": 2}
SETTINGS |= {"eval.every": 8, "eval.episodes": 3, "eval.curve_episodes": 2, "eval.horizon": 40, "eval.targets": "50,"}
RUN = ["--config=configs/maze2d.py", *flags_of(SETTINGS)]


class Broken(AssertionError):
    """A promise was not kept."""


@dataclasses.dataclass(frozen=True)
class Place:
    """Where a user has data sets, caches and a run."""

    folder: pathlib.Path  # of everything
    compiled: pathlib.Path  # JAX's compilation cache, shared by all places to save time

    @property
    def run(self) -> pathlib.Path:
        """The run directory."""
        return self.folder / "run"

    def start(self, script: str, *flags: str, fault: dict | None = None) -> subprocess.Popen:
        """Starts a launcher, with a fault in it."""
        environment = os.environ | ONE_DEVICE | {"MINARI_DATASETS_PATH": f"{self.folder}/minari"}
        environment |= {"RVDT_JAX_CACHE": f"{self.folder}/cache", "JAX_COMPILATION_CACHE_DIR": str(self.compiled)}
        environment |= {"PYTHONPATH": f"{ROOT}:{VICTIM.parent}"}
        self.folder.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, str(VICTIM), json.dumps(fault or {}), str(ROOT / "experiments" / script), *flags]
        how = {"cwd": self.folder, "env": environment, "stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
        return subprocess.Popen(command, text=True, **how)

    def try_to_train(self, *flags: str, fault: dict | None = None) -> tuple[int, str]:
        """Trains, going on where there is something to go on from; the exit status and what was said."""
        resume = ["--resume"] if (self.run / "config.json").exists() else []
        return finish(self.start("run.py", *RUN, f"--workdir={self.run}", *flags, *resume, fault=fault))

    def train(self, *flags: str, wanted: int = 0, fault: dict | None = None) -> str:
        """The same where it must end with that status; what was said."""
        return expect(wanted, *self.try_to_train(*flags, fault=fault))


def finish(process: subprocess.Popen) -> tuple[int, str]:
    """Waits; the exit status and what was said on stderr."""
    try:
        _, said = process.communicate(timeout=1800)
    except subprocess.TimeoutExpired:
        process.kill()
        raise Broken("it hangs: no end after half an hour") from None
    return process.returncode, said


def expect(wanted: int, status: int, said: str) -> str:
    """The process ended as it should; what was said."""
    require(status == wanted, f"status {status}, not {wanted}", said)
    return said


def require(kept: bool, words: str, said: str = "") -> None:
    """Raises ``Broken`` with these words, and the last ones of the process, unless the promise was kept."""
    if not kept:
        raise Broken(f"{words}: {said.strip()[-400:]}" if said else words)


def check_end(place: Place, reference: Place, said: str = "") -> None:
    """The run goes on to the end that it would have had; ``said`` is what it must say on the way."""
    words = place.train()
    require(said in words, f"it does not say {said!r}", words)
    check_equal(place, reference)


def check_whole(place: Place) -> None:
    """No record is lost in between or there twice, and what can be read is whole."""
    for name in RECORDS:
        keys = [(line["step"], line["seed"]) for line in read_lines(place.run / name)]
        require(keys == sorted(set(keys)), f"{name} has records twice or out of order: {keys}")
        every = 2 if name == "metrics.jsonl" else 8
        steps = sorted({step for step, _ in keys})
        require(steps == list(range(every, every * len(steps) + 1, every)), f"{name} has a gap: {steps}")
    for path in place.run.glob("[!.]*.json"):
        read_json(path)
    for path in place.folder.glob("cache/[!.]*.npz"):
        read_cache(path)


def leftovers(place: Place) -> list[str]:
    """What dead processes left behind that nobody will need."""
    found = [*place.folder.glob("cache/.*.partial.*"), *place.folder.glob("minari/.incomplete-*"), place.run / ".lock"]
    found += [*place.run.glob(".*.partial.*"), *place.run.glob("checkpoints/*tmp*")]
    return [str(path.relative_to(place.folder)) for path in found if path.exists()]


def check_equal(place: Place, reference: Place) -> None:
    """The run came to the same end, to the last bit, as the one that nothing happened to."""
    for name in RECORDS:
        require((place.run / name).read_bytes() == (reference.run / name).read_bytes(), f"{name} differs")
    results = [read_json(each.run / "results.json") for each in (place, reference)]
    for name in ("final", "best"):
        require(results[0][name] == results[1][name], f"results.json: {name} differs")
    for one, other in zip(*(last_checkpoint(each.run) for each in (place, reference)), strict=True):
        same = np.array_equal(one, other, equal_nan=True)
        require(same, "parameters, optimiser or keys of the last checkpoint differ")
    kept = [sorted(path.name for path in each.run.glob("checkpoints/*")) for each in (place, reference)]
    require(kept[0] == kept[1], f"other checkpoints are kept: {kept}")
    require(not leftovers(place), f"left behind: {', '.join(leftovers(place))}")


def last_checkpoint(folder: pathlib.Path) -> list[np.ndarray]:
    """Every array of a run's last checkpoint: parameters, optimisers' states, keys, steps, statistics."""
    import jax

    from rvdt_jax.acting.checkpoints import read_checkpoint

    return [np.asarray(leaf) for leaf in jax.tree.leaves(read_checkpoint(folder)[-1])]
