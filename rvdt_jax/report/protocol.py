"""The protocol of QT's published scores: the maximum over the evaluations of a training, each of ten episodes.

It is a maximum over noisy evaluations, so it lies above the score of the final checkpoint. The tables show it in a
column of its own, headed ``(max)``, and compute it from the raw returns in ``evaluations.jsonl``.
"""

from __future__ import annotations

import dataclasses
import math

from rvdt_jax.report.records import mean_return

EPISODES = 10


@dataclasses.dataclass(frozen=True)
class Maxima:
    """The scores of one run by this protocol.

    Attributes:
        returns: seed -> the highest mean return; NaN where episodes failed in every evaluation.
        evaluations: how many evaluations each maximum was taken over.
        episodes: how many episodes of each evaluation were averaged: the first ten, or all where there are fewer.
    """

    returns: dict[int, float]
    evaluations: int
    episodes: int


def maxima(evaluations: list[dict], target: str) -> Maxima:
    """The highest evaluation of each seed, the final one included.

    An evaluation in which one of the first ten episodes failed does not count.

    Args:
        evaluations: the records of ``evaluations.jsonl``.
        target: the headline target, as ``results.json`` spells it.
    """
    records = [record for record in evaluations if str(record["target"]) == target]
    means: dict[int, list[float]] = {}
    for record in records:
        means.setdefault(record["seed"], []).append(mean_return({"returns": record["returns"][:EPISODES]}))
    finite = {seed: [mean for mean in values if math.isfinite(mean)] for seed, values in means.items()}
    return Maxima(
        returns={seed: max(values, default=math.nan) for seed, values in finite.items()},
        evaluations=min(map(len, means.values()), default=0),
        episodes=min((len(record["returns"][:EPISODES]) for record in records), default=0),
    )
