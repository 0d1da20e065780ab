"""Our cells of the tables, read from the records of runs."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import pathlib
from collections.abc import Callable, Iterator

import numpy as np

from rvdt_jax.algorithms.variants import VARIANTS
from rvdt_jax.errors import UserError, differences
from rvdt_jax.report.published import maxima
from rvdt_jax.report.records import read_json, read_lines
from rvdt_jax.report.results import data_label, hardware_label
from rvdt_jax.tasks import normalized_score

COMMAND_SUFFIX = ".command"
FAILED_SUFFIX = ".failed.json"

Key = tuple[str, str, str]  # task as rvdt_jax.tasks names it, variant, regime ("" for the whole data set)


@dataclasses.dataclass(frozen=True)
class Cell:
    """The runs of one cell.

    Attributes:
        failed: why there is no score; "" if there is one.
        command: the command that repeats it; "" if the records do not hold it.
        folders: the run directories.
        scores: seed -> normalised score of the final checkpoint at the headline target; NaN if it is not finite.
        steps, episodes: updates, and episodes per seed of the final checkpoint.
        target: the headline target, as the records spell it.
        data, hardware, size: data set, hardware and model in words.
        commit: of the code that ran; "" if the records do not hold it.
        maxima: seed -> maximum by QT's protocol (``report.published``); {} if no evaluations are on record.
        evaluations, evaluation_episodes: how many evaluations each maximum is taken over, of how many episodes each.
    """

    key: Key
    failed: str
    command: str
    folders: tuple[pathlib.Path, ...]
    scores: dict[int, float] = dataclasses.field(default_factory=dict)
    steps: int = 0
    episodes: int = 0
    target: str = ""
    data: str = ""
    recreated: bool = False
    hardware: str = ""
    commit: str = ""
    size: str = ""
    maxima: dict[int, float] = dataclasses.field(default_factory=dict)
    evaluations: int = 0
    evaluation_episodes: int = 0

    @property
    def mean(self) -> float | None:
        """The headline: mean score of the final checkpoints; None if a seed failed."""
        return self.score()[0]

    def score(self, maximum: bool = False) -> tuple[float | None, float | None]:
        """Mean and standard deviation (of the sample, n - 1) over seeds: of the final checkpoint, or of ``maxima``.

        The mean is None if a seed has no score or failed: the mean of the others would be biased. The deviation is
        None for a single seed, too.
        """
        scores = self.maxima if maximum else self.scores
        values = list(scores.values())
        if self.failed or set(scores) != set(self.scores) or not np.isfinite(values).all():
            return None, None
        return float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else None


def read_cells(
    roots: list[pathlib.Path], comparable: Callable[[dict], dict] = lambda settings: settings
) -> dict[Key, Cell]:
    """Every finished or failed cell below some folders. Runs of one cell with equal settings pool their seeds.

    Args:
        roots: the folders.
        comparable: brings the content of a ``config.json``, which an older version may have written, to today's form;
            ``config.serialization.used_settings``.

    Raises:
        UserError: a folder is missing, a record is damaged, or two runs of one cell share a seed or differ in their
            settings; the message names them.
    """
    cells: dict[Key, Cell] = {}
    settings: dict[Key, dict] = {}
    for root in roots:
        if not root.is_dir():
            raise UserError(f"--records: there is no folder {root}.")
        for path in sorted(root.rglob("results.json")):
            results, config = read_json(path), read_json(path.parent / "config.json")
            with _damage_named(path):
                if not results["task"] or not results["final"]:
                    continue  # the user's own data, or nothing was scored: no cell of any table
                found, own = _cell(path.parent, results, config), _what_must_agree(comparable(config), results)
            if found.key in cells:
                found = _pool(cells[found.key], found, differences(settings[found.key], own))
            cells[found.key], settings[found.key] = found, own
    for root in roots:
        for path in sorted(root.rglob(f"*{FAILED_SUFFIX}")):
            with _damage_named(path):
                failure = _failure(path)
            if (failure.folders[0] / "results.json").exists():
                continue  # it has succeeded since
            known = cells.get(failure.key)
            # A cell of which one run failed has failed: the mean of the other seeds would be biased.
            cells[failure.key] = failure if known is None else dataclasses.replace(known, failed=failure.failed)
    return cells


@contextlib.contextmanager
def _damage_named(path: pathlib.Path) -> Iterator[None]:
    """Has what a record lacks, or holds instead, end in an error that names its file."""
    try:
        yield
    except UserError:  # a ValueError itself, and names its file
        raise
    except (KeyError, TypeError, AttributeError, IndexError, ValueError) as error:
        raise UserError(
            f"{path}: this record, or one beside it, is damaged ({type(error).__name__}: {error}). Take its folder "
            "away, or run its command again."
        ) from error


def _cell(folder: pathlib.Path, results: dict, config: dict) -> Cell:
    table = results["final"][results["headline_target"]]["seeds"]
    scores = {int(seed): _finite(cell["normalized_score"]) for seed, cell in table.items()}
    bad = [str(seed) for seed, score in scores.items() if math.isnan(score)]
    highest = maxima(read_lines(folder / "evaluations.jsonl"), results["headline_target"])
    references = results["ref_min_return"], results["ref_max_return"]
    returns = {} if None in references else highest.returns
    provenance, command = results["provenance"], folder.with_name(folder.name + COMMAND_SUFFIX)
    return Cell(
        key=(results["task"], results["variant"], _regime(config)),
        failed=f"no finite score for seed{'s' if len(bad) > 1 else ''} {', '.join(bad)}" if bad else "",
        command=command.read_text(encoding="utf-8").strip() if command.exists() else "",
        folders=(folder,),
        scores=scores,
        steps=results["steps"],
        episodes=min(cell["episodes"] for cell in table.values()),
        target=results["headline_target"],
        data=data_label(provenance),
        recreated=bool(provenance.get("recreated")),
        hardware=hardware_label(results),
        commit=results.get("commit") or "",
        size=_size(config),
        maxima={seed: normalized_score(value, *references) for seed, value in returns.items()},
        evaluations=highest.evaluations,
        evaluation_episodes=highest.episodes,
    )


def _regime(config: dict) -> str:
    """The low-data regime, and in words what else is not the row's: another share of the data, environment or horizon.

    A run with such words fills no published row.
    """
    data, env, horizon = config["data"], config.get("env"), config["eval"].get("horizon")
    fraction, holdout = data.get("fraction", 1.0), data.get("holdout")
    share = data.get("regime") or ("" if fraction == 1.0 else f"{fraction:g} of the data")
    parts = [
        share,
        f"{holdout:g} held out" if holdout else "",
        f"in {env}" if env not in (None, "", "none") else "",
        f"horizon {horizon}" if horizon else "",
    ]
    return ", ".join(filter(None, parts))


def _finite(score: float | None) -> float:
    return score if score is not None and math.isfinite(score) else math.nan


def _size(config: dict) -> str:
    model, batch = config["model"], config["train"]["batch_size"]
    variant = VARIANTS.get(config["variant"])
    if variant is not None and not variant.does_read("model.width"):
        return f"MLPs of {model['critic_layers']} x {model['critic_width']}, batch {batch}"
    layers = f"{model['layers']} layer{'s' if model['layers'] > 1 else ''}"
    return f"width {model['width']}, {layers}, K={model['context_length']}, batch {batch}"


def _what_must_agree(config: dict, results: dict) -> dict:
    """A run's settings except seeds, place and hardware, and what it was trained and scored on.

    Runs of one low-data regime may have subsets of their own of one data set.
    """
    settings = {name: value for name, value in config.items() if name not in ("size", "seeds", "workdir", "parallel")}
    low_data = settings["data"].get("regime") is not None
    if low_data:
        settings["data"] = {name: value for name, value in settings["data"].items() if name != "subset_seed"}
    provenance = results["provenance"]
    content = provenance.get("content_digest")
    if low_data:
        content = [provenance.get("dataset_id"), provenance.get("subset", {}).get("of")]
    return {"config": settings, "data": content, "environment": results.get("environment")}


def _pool(one: Cell, other: Cell, differing: list[str]) -> Cell:
    """The seeds of two runs of one cell together."""
    both, name = " and ".join(str(each) for each in one.folders + other.folders), " ".join(one.key).strip()
    if differing:
        words = f"two runs of {name} that differ ({'; '.join(differing)})"
        raise UserError(f"{both}: {words}. Name the folder of one of them: --records.")
    if shared := set(one.scores) & set(other.scores):
        raise UserError(f"{both}: both hold seed {min(shared)} of {name}. Name the folder of one of them: --records.")
    return dataclasses.replace(
        one,
        failed="; ".join(filter(None, (one.failed, other.failed))),
        command="\n".join(filter(None, (one.command, other.command))),
        folders=one.folders + other.folders,
        scores=one.scores | other.scores,
        episodes=min(one.episodes, other.episodes),
        hardware=" and ".join(dict.fromkeys((one.hardware, other.hardware))),
        commit=" and ".join(dict.fromkeys(filter(None, (one.commit, other.commit)))),
        maxima=one.maxima | other.maxima,
        evaluations=min(one.evaluations, other.evaluations),
        evaluation_episodes=min(one.evaluation_episodes, other.evaluation_episodes),
    )


def _failure(path: pathlib.Path) -> Cell:
    """The cell of a run that ended with an error, from the record that the sweep wrote."""
    record = read_json(path)
    return Cell(
        key=(record["task"], record["variant"], record["regime"] or ""),
        failed=f"the run ended with status {record['status']}",
        command=record["command"],
        folders=(path.parent / path.name.removesuffix(FAILED_SUFFIX),),
    )
