"""Our cells of the tables, read from the records of runs."""

from __future__ import annotations

import dataclasses
import math
import pathlib

from rvdt_jax.errors import UserError, differences
from rvdt_jax.report.protocol import maxima
from rvdt_jax.report.records import aggregate, read_json, read_lines
from rvdt_jax.report.summary import data_label, hardware_label
from rvdt_jax.tasks import normalized_score

COMMAND_SUFFIX = ".command"
FAILED_SUFFIX = ".failed.json"

Key = tuple[str, str, str]  # task as rvdt_jax.tasks names it, variant, regime ("" for the whole data set)


@dataclasses.dataclass(frozen=True)
class Cell:
    """What was run for one cell.

    ``scores``, ``mean`` and ``std`` are of the final checkpoint, which is the headline. ``maxima``, ``max_mean`` and
    ``max_std`` follow the protocol of QT's published scores; see ``report.protocol``.

    Attributes:
        key: what the cell is.
        scores: seed -> normalised score of the final checkpoint at the headline target; NaN where it is not finite.
        steps: updates.
        episodes: per seed, of the final checkpoint.
        target: the headline target, as the records spell it.
        data: what the scores rest on.
        recreated: whether that is recreated data.
        hardware, size: where, and how large a model.
        folders: the run directories.
        maxima: seed -> the highest normalised score over the evaluations; {} where no evaluations are on record.
        evaluations, evaluation_episodes: how many evaluations that is the maximum of, and how many episodes of each
            were averaged.
        command: what repeats it; "" where the records do not say.
        failed: why there is no score; "" where there is one.
    """

    key: Key
    scores: dict[int, float]
    steps: int
    episodes: int
    target: str
    data: str
    recreated: bool
    hardware: str
    size: str
    folders: tuple[pathlib.Path, ...]
    maxima: dict[int, float] = dataclasses.field(default_factory=dict)
    evaluations: int = 0
    evaluation_episodes: int = 0
    command: str = ""
    failed: str = ""

    @property
    def mean(self) -> float | None:
        """Over seeds; None if a seed failed: the mean of the others would be biased."""
        return self._over_seeds(self.scores)[0]

    @property
    def std(self) -> float | None:
        """Over seeds (of the sample, n - 1); None for a single seed."""
        return self._over_seeds(self.scores)[1]

    @property
    def max_mean(self) -> float | None:
        """Of ``maxima`` over seeds; None if a seed has none or failed."""
        return self._over_seeds(self.maxima)[0]

    @property
    def max_std(self) -> float | None:
        """Of ``maxima`` over seeds (of the sample, n - 1); None for a single seed."""
        return self._over_seeds(self.maxima)[1]

    def _over_seeds(self, scores: dict[int, float]) -> tuple[float | None, float | None]:
        if self.failed or set(scores) != set(self.scores) or not all(map(math.isfinite, scores.values())):
            return None, None
        result = aggregate([{"episodes": 0, "normalized_score": score} for score in scores.values()])
        return result["normalized_score"], result["normalized_score_std"]


def read_cells(roots: list[pathlib.Path]) -> dict[Key, Cell]:
    """Every finished or failed cell below some folders. Runs of one cell with equal settings pool their seeds.

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
            if not results["task"] or not results["final"]:
                continue  # data of the user's own, or nothing was scored: no cell of any table
            found, own = _cell(path.parent, results, config), _what_must_agree(config, results)
            if found.key in cells:
                found = _pool(cells[found.key], found, differences(settings[found.key], own))
            cells[found.key], settings[found.key] = found, own
        for path in sorted(root.rglob(f"*{FAILED_SUFFIX}")):
            failure = _failure(path)
            if (failure.folders[0] / "results.json").exists():
                continue  # it has succeeded since
            known = cells.get(failure.key)
            # A cell of which one run failed has failed: the mean of the other seeds would flatter.
            cells[failure.key] = failure if known is None else dataclasses.replace(known, failed=failure.failed)
    return cells


def _cell(folder: pathlib.Path, results: dict, config: dict) -> Cell:
    table = results["final"][results["headline_target"]]["seeds"]
    scores = {int(seed): _finite(cell["normalized_score"]) for seed, cell in table.items()}
    bad = [seed for seed, score in scores.items() if math.isnan(score)]
    highest = maxima(read_lines(folder / "evaluations.jsonl"), results["headline_target"])
    references = results["ref_min_return"], results["ref_max_return"]
    returns = {} if None in references else highest.returns
    provenance, command = results["provenance"], folder.with_name(folder.name + COMMAND_SUFFIX)
    return Cell(
        key=(results["task"], results["variant"], _regime(config["data"])),
        scores=scores,
        steps=results["steps"],
        episodes=min(cell["episodes"] for cell in table.values()),
        target=results["headline_target"],
        data=data_label(provenance),
        recreated=bool(provenance.get("recreated")),
        hardware=hardware_label(results),
        size=_size(config),
        folders=(folder,),
        maxima={seed: normalized_score(value, *references) for seed, value in returns.items()},
        evaluations=highest.evaluations,
        evaluation_episodes=highest.episodes,
        command=command.read_text(encoding="utf-8").strip() if command.exists() else "",
        failed=f"no finite score for {'seed' if len(bad) == 1 else 'seeds'} {', '.join(map(str, bad))}" if bad else "",
    )


def _regime(data: dict) -> str:
    """Of the low-data regimes; a share of the data that is none of them is no cell of the whole data's row."""
    fraction = data.get("fraction", 1.0)
    return data.get("regime") or ("" if fraction == 1.0 else f"{fraction:g} of the data")


def _finite(score: float | None) -> float:
    return score if score is not None and math.isfinite(score) else math.nan


def _size(config: dict) -> str:
    model, batch = config["model"], config["train"]["batch_size"]
    layers = f"{model['layers']} layer{'s' if model['layers'] > 1 else ''}"
    return f"width {model['width']}, {layers}, K={model['context_length']}, batch {batch}"


def _what_must_agree(config: dict, results: dict) -> dict:
    """A run's settings but for its seeds, place and hardware, and what it was trained and scored on."""
    settings = {name: value for name, value in config.items() if name not in ("size", "seeds", "workdir", "parallel")}
    content = results["provenance"].get("content_digest")
    return {"config": settings, "data": content, "environment": results.get("environment")}


def _pool(one: Cell, other: Cell, differing: list[str]) -> Cell:
    """The seeds of two runs of one cell together."""
    both = " and ".join(str(folder) for cell in (one, other) for folder in cell.folders)
    if differing:
        words = f"two runs of {' '.join(one.key).strip()} that differ ({'; '.join(differing)})"
        raise UserError(f"{both}: {words}. Name the folder of one of them: --records.")
    shared = set(one.scores) & set(other.scores)
    if shared:
        words = f"both hold seed {min(shared)} of {' '.join(one.key).strip()}"
        raise UserError(f"{both}: {words}. Name the folder of one of them: --records.")
    return dataclasses.replace(
        one,
        scores=one.scores | other.scores,
        episodes=min(one.episodes, other.episodes),
        hardware=" and ".join(dict.fromkeys((one.hardware, other.hardware))),
        folders=one.folders + other.folders,
        maxima=one.maxima | other.maxima,
        evaluations=min(one.evaluations, other.evaluations),
        evaluation_episodes=min(one.evaluation_episodes, other.evaluation_episodes),
        command="\n".join(filter(None, (one.command, other.command))),
        failed="; ".join(filter(None, (one.failed, other.failed))),
    )


def _failure(path: pathlib.Path) -> Cell:
    """What a sweep wrote of a run that ended with an error."""
    record = read_json(path)
    return Cell(
        key=(record["task"], record["variant"], record["regime"] or ""),
        scores={},
        steps=0,
        episodes=0,
        target="",
        data="",
        recreated=False,
        hardware="",
        size="",
        folders=(path.parent / path.name.removesuffix(FAILED_SUFFIX),),
        command=record["command"],
        failed=f"the run ended with status {record['status']}",
    )
