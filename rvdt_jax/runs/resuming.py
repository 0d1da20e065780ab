"""A run that goes on: what it keeps of its settings, what may change, and which records are set aside for that."""

from __future__ import annotations

import itertools
import logging
import os
import pathlib
import shutil

from rvdt_jax.algorithms.variants import get_variant
from rvdt_jax.config.checks import check_config
from rvdt_jax.config.serialization import changes, keep, to_json
from rvdt_jax.config.settings import Config
from rvdt_jax.report.records import append_lines, read_json, read_lines, write_json

log = logging.getLogger(__name__)


def keep_settings(config: Config, values: dict, unset: tuple[str, ...]) -> Config:
    """The settings to go on with: fields left unset are those of the run.

    Also where the data alone could tell: meanwhile there may be another data set that would come first. ``values`` are
    those of the run's ``config.json``; for ``unset`` see ``config.settings.left_open``.
    """
    names = {*unset, *(("eval.targets",) if config.eval.targets is None else ())}
    if config.data.minari_id is None and config.data.source != "file":
        names.add("data.minari_id")
    config = keep(config, values, names)
    check_config(config)
    return config


def begin_again(folder: pathlib.Path, config: Config, step: int) -> None:
    """Has ``config.json`` say what is in effect from update ``step`` on, and keeps on record what changed."""
    changed = changes(config, read_json(folder / "config.json"))
    if changed:
        aside = _set_aside(folder, config, changed)
        append_lines(folder / "changes.jsonl", [{"step": step, "changed": changed, "set_aside": aside}])
        for name, (before, now) in changed.items():
            log.info("config.%s was %r until update %d, and is %r from now on", name, before, step, now)
        for name in aside:
            log.warning("%s: earlier records, which are not comparable with what is to come", folder / name)
    write_json(folder / "config.json", to_json(config))


def _set_aside(folder: pathlib.Path, config: Config, changed: dict[str, list]) -> list[str]:
    """Moves records away that the changes outdate, under names with a number; returns these names."""
    evaluations, results = folder / "evaluations.jsonl", folder / "results.json"
    numbered = ((folder / f"evaluations-{n}.jsonl", folder / f"results-{n}.json") for n in itertools.count(1))
    old_evaluations, old_results = next(pair for pair in numbered if not any(path.exists() for path in pair))
    means = {  # changes by which a return means something else than before
        "eval.horizon": True,
        "eval.action_selection": True,
        "env": config.env != "none",
        "eval.targets": config.policy.condition_on_return,
        "eval.candidates": config.eval.action_selection in ("critic", "best_of") or get_variant(config.variant).chooses,
    }
    scored_otherwise, aside = any(means.get(name) for name in changed), []
    if scored_otherwise and read_lines(evaluations):
        os.replace(evaluations, old_evaluations)
        aside.append(old_evaluations.name)
    elif "eval.episodes" in changed and any(record["final"] for record in read_lines(evaluations)):
        shutil.copyfile(evaluations, old_evaluations)  # its final evaluation is made again, the others stay
        aside.append(old_evaluations.name)
    if results.exists() and (scored_otherwise or {"train.steps", "eval.episodes"} & changed.keys()):
        os.replace(results, old_results)
        aside.append(old_results.name)
    return aside
