"""What happens between two compiled calls of a run: records, progress, checkpoints, evaluations."""

from __future__ import annotations

import logging
import pathlib
import time

import numpy as np
from tqdm import tqdm

from rvdt_jax.config import Config
from rvdt_jax.evaluation.evaluator import Evaluator
from rvdt_jax.interruption import Interruption
from rvdt_jax.report.records import append_lines, read_lines, truncate_after
from rvdt_jax.report.tensorboard import make_writer
from rvdt_jax.train.checkpoint import Checkpoints
from rvdt_jax.train.update import Metrics
from rvdt_jax.types import Normalizer, TrainState

log = logging.getLogger(__name__)


class Session:
    """The driver's hooks for one run; see ``train.driver.Hooks``.

    Args:
        config: resolved settings.
        folder: the run directory.
        checkpoints: where states are saved.
        interruption: the signals received.
        evaluator: scores policies; None where there is no simulator, and then nothing is scored.
        normalizer: saved with every state.
        about: the identity of the run, saved with every state.
        progress: show a progress bar.
    """

    def __init__(
        self,
        config: Config,
        folder: pathlib.Path,
        checkpoints: Checkpoints,
        interruption: Interruption,
        evaluator: Evaluator,
        normalizer: Normalizer,
        about: dict,
        progress: bool,
    ):
        self._config, self._folder, self._about = config, folder, about
        self._checkpoints, self._interruption = checkpoints, interruption
        self._evaluator, self._normalizer = evaluator, normalizer
        self._bar = tqdm(
            total=config.train.steps, unit="update", desc=config.variant, disable=not progress, dynamic_ncols=True
        )
        self._writer = make_writer(folder)
        self._clock, self._step = time.perf_counter(), 0  # when and where the last compiled call ended

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *exception) -> None:
        self._bar.close()
        self._writer.close()
        self._evaluator.close()

    def rewind(self, step: int) -> None:
        """Makes the records end where the states stand."""
        for name in ("metrics.jsonl", "timing.jsonl", "evaluations.jsonl"):
            truncate_after(self._folder / name, step)
        self._bar.update(step)
        self._step = step

    def log(self, step: int, metrics: Metrics) -> None:
        """Appends to metrics.jsonl and timing.jsonl, and moves the bar."""
        host = {name: np.asarray(values).tolist() for name, values in metrics.items()}
        records = [
            {"step": step, "seed": seed} | {name: values[row] for name, values in host.items()}
            for row, seed in enumerate(self._config.seeds)
        ]
        append_lines(self._folder / "metrics.jsonl", records)
        now = time.perf_counter()
        updates, self._step = step - self._step, step
        seconds, self._clock = now - self._clock, now
        append_lines(
            self._folder / "timing.jsonl",
            [{"step": step, "seconds": seconds, "updates_per_second": updates / seconds}],
        )
        for record in records:
            self._writer.write(record)
        shown = {name.split("/")[1]: f"{np.mean(values):.4f}" for name, values in host.items() if name in _SHOWN}
        self._bar.set_postfix(shown, refresh=False)
        self._bar.update(updates)

    def save(self, step: int, states: TrainState) -> None:
        """Writes a checkpoint."""
        self._checkpoints.save(step, states, self._normalizer, self._about)

    def evaluate(self, step: int, states: TrainState) -> None:
        """Appends to evaluations.jsonl what the policies of this step are worth."""
        path = self._folder / "evaluations.jsonl"
        if any(record["step"] == step for record in read_lines(path)):
            return  # done before an interruption
        final = step == self._config.train.steps
        episodes = self._config.eval.episodes if final else self._config.eval.curve_episodes
        self._interruption.immediate = True  # the checkpoint of this step is written: stopping loses nothing
        records = self._evaluator({"policy": states.policy, "critic": states.critic}, step=step, episodes=episodes)
        self._interruption.immediate = False
        append_lines(path, [record | {"final": final} for record in records])
        for record in records:
            mean = float(np.mean(record["returns"]))
            self._writer.write({"step": step, "seed": record["seed"], f"evaluation/{record['target']}": mean})
        headline = [np.mean(record["returns"]) for record in records if record["target"] == records[0]["target"]]
        log.info("update %d: mean return %.1f at target %s", step, np.mean(headline), records[0]["target"])
        self._clock = time.perf_counter()  # training speed does not count evaluations

    def should_stop(self) -> bool:
        """Whether a signal has come."""
        return self._interruption.signal is not None


_SHOWN = ("policy/nll", "policy/value", "critic/td_loss")
