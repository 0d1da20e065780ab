"""What happens between two compiled calls of a run: records, progress, checkpoints, evaluations."""

from __future__ import annotations

import collections
import logging
import math
import pathlib
import time
from typing import TYPE_CHECKING

import jax
import numpy as np
from tqdm import tqdm

from rvdt_jax.algorithms.base import POLICY_UPDATED, SKIPPED, Metrics
from rvdt_jax.config.settings import Config
from rvdt_jax.errors import UserError
from rvdt_jax.report import records as on_disk
from rvdt_jax.report.records import append_lines, best_step, extrapolation, keep_lines, mean_return, read_lines
from rvdt_jax.report.tensorboard import Writer
from rvdt_jax.runs.signals import Interrupted, Interruption
from rvdt_jax.train.checkpoint import Checkpoints
from rvdt_jax.types import Normalizer, TrainState

if TYPE_CHECKING:  # a run on a machine without a simulator does not load it
    from rvdt_jax.evaluation.evaluator import Evaluator
    from rvdt_jax.runs.holdout import Holdout

log = logging.getLogger(__name__)


class Diverged(UserError):
    """A loss, a gradient or a parameter is not finite."""


class Session:
    """What process 0 does between two compiled calls; without an ``evaluator`` nothing is scored."""

    def __init__(
        self,
        config: Config,
        folder: pathlib.Path,
        checkpoints: Checkpoints,
        normalizer: Normalizer,
        interruption: Interruption,
        evaluator: Evaluator | None,
        holdout: Holdout | None,
        progress: bool,
    ):
        self._config, self._folder, self._checkpoints, self._normalizer = config, folder, checkpoints, normalizer
        self._interruption, self._evaluator, self._holdout = interruption, evaluator, holdout
        self._bar = tqdm(
            total=config.train.steps, unit="update", desc=config.variant, disable=not progress, dynamic_ncols=True
        )
        self._writer = Writer(folder / "tensorboard")
        self._evaluations: list[dict] = []
        self._measured: set[int] = set()  # updates whose policies were measured on held-out trajectories
        self._clock, self._step = time.perf_counter(), 0  # when and where the last compiled call ended
        self._compilation: dict[str, float] = {}  # what timing.jsonl has yet to say of it
        self._saved: int | None = None  # the update of the newest checkpoint
        self._has_estimated = False  # whether the log says how long training takes

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *exception) -> None:
        self._bar.close()
        self._writer.close()
        if self._evaluator is not None:
            self._evaluator.close()

    def rewind(self, step: int) -> None:
        """Makes the records end where the states stand."""
        for name in ("metrics.jsonl", "timing.jsonl", "evaluations.jsonl", "holdout.jsonl"):
            keep_lines(self._folder / name, lambda record: record["step"] <= step)
        evaluations = self._folder / "evaluations.jsonl"
        if self._evaluator is not None:
            _drop_incomplete(evaluations, len(self._config.seeds) * len(self._evaluator.target_names))
        _drop_incomplete(self._folder / "holdout.jsonl", len(self._config.seeds))
        self._measured = {record["step"] for record in read_lines(self._folder / "holdout.jsonl")}
        on_disk.change_lines(evaluations, self._as_of_now)
        self._evaluations = _in_short(read_lines(evaluations))
        self._bar.initial = self._bar.n = self._step = self._saved = step
        self._bar.refresh()

    def _as_of_now(self, record: dict) -> dict | None:
        """An evaluation on record, where ``train.steps`` or ``eval.episodes`` may have changed since.

        What was the last update may be one on the way now, and the last update is scored with all episodes.
        """
        if record["step"] != self._config.train.steps:
            return record | {"final": False}
        is_final = record["final"] and len(record["returns"]) == self._config.eval.episodes
        return record if is_final or self._evaluator is None else None

    def roll_back(self, step: int, reason: str) -> None:
        """Makes the records end at the checkpoint that training goes on from, and keeps the reason on record."""
        append_lines(self._folder / "divergences.jsonl", [{"rolled_back_to": step, "reason": reason}])
        self.rewind(step)

    def compiled(self, seconds: float) -> None:
        """Keeps the time for the next line of timing.jsonl, beside that of the call itself."""
        self._compilation, self._clock = {"compile_seconds": seconds}, time.perf_counter()

    def log(self, step: int, metrics: Metrics) -> None:
        """Appends to metrics.jsonl and timing.jsonl, and moves the bar.

        Raises:
            Diverged: a metric is not finite. No checkpoint of such a state is written: the last one is sound.
        """
        host = {name: np.asarray(values).tolist() for name, values in metrics.items()}
        self._check_finite(step, host)
        records = [{"step": step, "seed": seed} | _of_seed(host, row) for row, seed in enumerate(self._config.seeds)]
        append_lines(self._folder / "metrics.jsonl", records)
        now = time.perf_counter()
        updates, self._step = step - self._step, step
        seconds, self._clock = now - self._clock, now
        self._estimate(self._config.train.steps - step, seconds / updates)
        timing = {"step": step, "seconds": seconds, "updates_per_second": updates / seconds}
        append_lines(self._folder / "timing.jsonl", [timing | self._compilation])
        self._compilation = {}
        for record in records:
            self._writer.write(record)
        shown = {name.split("/")[1]: f"{np.mean(values):.4f}" for name, values in host.items() if name in _SHOWN}
        self._bar.set_postfix(shown, refresh=False)
        self._bar.update(updates)

    def _estimate(self, updates: int, seconds: float) -> None:
        """Says once, after the first call, how long a CPU takes for so many updates, if that is hours."""
        hours = updates * seconds / 3600
        if not self._has_estimated and jax.default_backend() == "cpu" and hours > _LONG_HOURS:
            hint = "" if self._config.size == "small" else "; config.size=small (--config=FILE:small) is made for a CPU"
            log.warning("%s updates at %.2g s: %.0f hours on this CPU%s", f"{updates:,}", seconds, hours, hint)
        self._has_estimated = True

    def _check_finite(self, step: int, metrics: dict[str, list[float]]) -> None:
        for name, values in metrics.items():
            for seed, value in zip(self._config.seeds, values, strict=True):
                if name == SKIPPED and value == 1.0:
                    what = f"every update of seed {seed} was not finite"
                elif not math.isfinite(value):
                    what = f"{name} of seed {seed} became {value}"
                else:
                    continue
                last = self._checkpoints.latest_step()
                left = (
                    "no checkpoint was written" if last is None else f"the last checkpoint, of update {last}, is sound"
                )
                raise Diverged(
                    f"training has diverged: {what} between updates {self._step} and {step}; {left}. Lower "
                    "config.train.learning_rate or config.loss.eta, and start anew in another --workdir."
                )
        skipped = sum(metrics.get(SKIPPED, []))
        if skipped:
            count = round(skipped * (step - self._step))
            log.warning("updates %d to %d: %d updates were not finite, and were skipped", self._step, step, count)

    def save(self, step: int, states: TrainState) -> None:
        """Writes a checkpoint."""
        self._checkpoints.save(step, states, self._normalizer)
        self._saved = step

    def is_due(self, step: int) -> bool:
        """Whether the policies of this step are still to be scored, or measured on held-out trajectories."""
        return self._is_unscored(step) or self._is_unmeasured(step)

    def _is_unscored(self, step: int) -> bool:
        return self._evaluator is not None and all(record["step"] != step for record in self._evaluations)

    def _is_unmeasured(self, step: int) -> bool:
        return self._holdout is not None and step not in self._measured

    @property
    def best_step(self) -> int | None:
        """The update whose evaluation was best so far; see ``report.records.best_step``."""
        return best_step(self._evaluations)

    def score(self, step: int, params: dict) -> tuple[bool, bool]:
        """Appends to evaluations.jsonl and holdout.jsonl what policies are worth; leaves of ``params`` have an axis R.

        Returns:
            Whether a signal came, so that nothing was appended; and whether the checkpoint of this step is still to be
            written: to go on from, or as the best one so far.
        """
        if self._is_unmeasured(step):
            self._measure(step, params)
        if not self._is_unscored(step):
            return False, False
        final = step == self._config.train.steps
        episodes = self._config.eval.episodes if final else self._config.eval.curve_episodes
        try:
            with self._interruption.at_once():
                records = self._evaluator(params, step=step, episodes=episodes)
        except Interrupted:
            return True, self._saved != step
        self._record(step, final, records)
        return False, self._saved != step and self.best_step == step

    def _measure(self, step: int, params: dict) -> None:
        """Puts on record how far the policies are from held-out trajectories."""
        records = self._holdout(params["policy"], step)
        append_lines(self._folder / "holdout.jsonl", records)
        self._measured.add(step)
        for record in records:
            measures = {f"holdout/{name}": record[name] for name in on_disk.HELD_OUT if name in record}
            self._writer.write({"step": step, "seed": record["seed"]} | measures)
        log.info("update %d: held out: %s", step, on_disk.describe_holdout(on_disk.summarise_holdout(records)))
        self._clock = time.perf_counter()

    def _record(self, step: int, final: bool, records: list[dict]) -> None:
        """Puts an evaluation on record, and what is to be noted of it into the log."""
        append_lines(self._folder / "evaluations.jsonl", [record | {"final": final} for record in records])
        self._evaluations += _in_short(records)
        for record in records:
            worth = {f"evaluation/{record['target']}": mean_return(record)}
            self._writer.write({"step": step, "seed": record["seed"]} | worth)
            if final and extrapolation(record):
                log.warning("update %d: %s", step, extrapolation(record))
            reasons = [reason for reason in record.get("failed", ()) if reason]
            if reasons:
                what = f"{len(reasons)} of {len(record['returns'])} episodes of seed {record['seed']}"
                log.warning("update %d: %s at target %s failed: %s", step, what, record["target"], reasons[0])
        headline = [mean_return(record) for record in records if record["target"] == records[0]["target"]]
        log.info("update %d: mean return %.1f at target %s", step, np.mean(headline), records[0]["target"])
        self._clock = time.perf_counter()  # training speed does not count evaluations


def _of_seed(metrics: dict[str, list[float]], row: int) -> dict[str, float]:
    """One seed's metrics; those of the policy only if an update moved it."""
    values = {name: values[row] for name, values in metrics.items()}
    if values.pop(POLICY_UPDATED, 1.0) > 0.0:
        return values
    return {name: value for name, value in values.items() if not name.startswith("policy/")}


def _drop_incomplete(path: pathlib.Path, expected: int) -> None:
    """Drops the records of updates that have another number of them: cut short in the writing, they are made again."""
    counts = collections.Counter(record["step"] for record in read_lines(path))
    keep_lines(path, lambda record: counts[record["step"]] == expected)


def _in_short(records: list[dict]) -> list[dict]:
    """Evaluations without their single episodes, of which a long run has millions."""
    kept = ("step", "seed", "target")
    means = [mean_return(record) for record in records]
    return [
        {name: record[name] for name in kept} | {"returns": [None if math.isnan(mean) else mean]}
        for record, mean in zip(records, means, strict=True)
    ]


_LONG_HOURS = 3
_SHOWN = ("policy/nll", "policy/value", "critic/td_loss")
