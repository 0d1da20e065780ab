"""Statistics over the tasks of a table, by rliable (Agarwal et al. 2021): few runs, so intervals rather than points."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
from collections.abc import Callable, Sequence

import numpy as np

from rvdt_jax.errors import optional_imports
from rvdt_jax.report.render import markdown_table
from rvdt_jax.report.tables import Row, Table

RESAMPLES = 2000
CONFIDENCE = 0.95
CLAIM = ("DT", "QT", "RVDT")  # each below the next
_FEWEST_RUNS = 2  # a bootstrap over one run has no spread


def usable_rows(table: Table, variant: str) -> list[Row]:
    """The rows whose cell of this variant has a score and at least two runs."""
    cells = [(row, table.cell(row, variant)) for row in table.rows]
    return [row for row, cell in cells if cell and not cell.failed and len(cell.scores) >= _FEWEST_RUNS]


def score_matrix(table: Table, variant: str, rows: Sequence[Row]) -> np.ndarray:
    """(runs, tasks) normalised scores of final checkpoints; of every cell as many runs as the shortest has."""
    scores = [list(table.cell(row, variant).scores.values()) for row in rows]
    return np.array([values[: min(map(len, scores))] for values in scores]).T


def probability_of_improvement(ours: np.ndarray, theirs: np.ndarray) -> float:
    """The probability that a run of one beats a run of the other, ties counting half, averaged over the tasks.

    Equal to rliable's, which runs a Mann-Whitney test for each task and resample and takes a hundred times as long.

    Args:
        ours, theirs: (runs, tasks) scores; the numbers of runs may differ.
    """
    ours, theirs = ours[:, None], theirs[None]
    return float(np.mean((ours > theirs) + 0.5 * (ours == theirs)))


def aggregates(table: Table, resamples: int = RESAMPLES) -> str:
    """Markdown: interquartile mean per variant, and probabilities of improvement per pair, with intervals.

    Final checkpoints only. Each variant counts over the tasks that it was run on, each pair over the tasks of both; two
    variants may have different numbers of runs.

    Raises:
        UserError: rliable is not installed.
    """
    with optional_imports("--aggregate"):
        from rliable import metrics
    rows = {variant: found for variant in table.variants if (found := usable_rows(table, variant))}
    if not rows:
        return f"{table.title}: no cell has a score of two runs; nothing to aggregate.\n"
    alone = {variant: score_matrix(table, variant, found) for variant, found in rows.items()}
    pairs = {}
    for x, y in itertools.combinations(rows, 2):
        shared = [row for row in rows[x] if row in rows[y]]
        if shared:
            pairs[f"{y} > {x}"] = tuple(score_matrix(table, variant, shared) for variant in (y, x))
    means = _estimates(alone, metrics.aggregate_iqm, resamples, digits=1)
    improvements = _estimates(pairs, probability_of_improvement, resamples, digits=2)
    interval = f"{100 * CONFIDENCE:.0f} % intervals by stratified bootstrap, {resamples} resamples"
    lines = [[name, *_counts(alone[name]), text] for name, text in means.items()]
    parts = [
        f"{table.title}: final checkpoints; {interval}",
        markdown_table(("variant", "tasks", "runs", "interquartile mean"), lines),
        *_remarks(table, rows),
    ]
    if improvements:
        lines = [[name, *_counts(*pairs[name]), text] for name, text in improvements.items()]
        parts.append(markdown_table(("", "tasks", "runs", "probability of improvement"), lines))
    return "\n\n".join(parts) + "\n"


@dataclasses.dataclass(frozen=True)
class Claim:
    """What one table says of RVDT above QT above DT.

    Attributes:
        rows: those that all of the three that were run share.
        runs: variant -> number of runs of a task.
        texts: variant -> interquartile mean, ``QT > DT`` and ``RVDT > QT`` -> probability, each with its interval;
            without those that cannot be told.
    """

    rows: list[Row]
    runs: dict[str, int]
    texts: dict[str, str]


PAIRS = {f"{better} > {worse}": (better, worse) for worse, better in itertools.pairwise(CLAIM)}


def claim_of(table: Table, resamples: int = RESAMPLES) -> Claim:
    """What a table says of RVDT above QT above DT, over the rows that those of the three share.

    Raises:
        UserError: rliable is not installed.
    """
    with optional_imports("the statistics"):
        from rliable import metrics
    found = {variant: rows for variant in CLAIM if (rows := usable_rows(table, variant))}
    shared = [row for row in table.rows if found and all(row in rows for rows in found.values())]
    scores = {variant: score_matrix(table, variant, shared) for variant in found} if shared else {}
    pairs = {name: (scores[x], scores[y]) for name, (x, y) in PAIRS.items() if {x, y} <= set(scores)}
    texts = _estimates(scores, metrics.aggregate_iqm, resamples, digits=1)
    texts |= _estimates(pairs, probability_of_improvement, resamples, digits=2)
    return Claim(shared, {variant: matrix.shape[0] for variant, matrix in scores.items()}, texts)


def claims(tables: Sequence[Table], resamples: int = RESAMPLES) -> str:
    """Markdown: a line a table on the claim RVDT above QT above DT; see ``claim_of``."""
    lines = []
    for table in tables:
        claim = claim_of(table, resamples)
        runs = ", ".join(f"{variant} {number}" for variant, number in claim.runs.items())
        texts = [claim.texts.get(name, "") for name in (*CLAIM, *PAIRS)]
        lines.append([table.title, str(len(claim.rows)), runs, *texts])
    return markdown_table(("", "tasks", "runs a task", *CLAIM, *PAIRS), lines)


def _estimates(matrices: dict, metric: Callable, resamples: int, digits: int) -> dict[str, str]:
    """Name -> ``point [low, high]``, which does not depend on what else is estimated."""
    from rliable import library

    texts = {}
    for name, matrix in matrices.items():
        with _same_random_numbers():
            points, intervals = library.get_interval_estimates(
                {name: matrix},
                lambda *arrays: np.array([metric(*arrays)]),
                reps=resamples,
                confidence_interval_size=CONFIDENCE,
            )
        numbers = (points[name][0], *intervals[name][:, 0])
        texts[name] = "{:.{d}f} [{:.{d}f}, {:.{d}f}]".format(*numbers, d=digits)
    return texts


def _counts(*matrices: np.ndarray) -> tuple[str, str]:
    """The number of tasks, and of runs: one number, or one for each of two variants."""
    return str(matrices[0].shape[1]), " and ".join(str(matrix.shape[0]) for matrix in matrices)


def _remarks(table: Table, rows: dict[str, list[Row]]) -> list[str]:
    """A paragraph about missing cells; [] if none is missing."""
    left_out = [f"{row.label} {variant}" for row, variant, cell in table.cells() if row not in rows.get(variant, ())]
    texts = [f"Left out, because a run failed or there is only one: {', '.join(left_out)}."] if left_out else []
    if len({tuple(row.label for row in found) for found in rows.values()}) > 1:
        texts.append("Interquartile means over different tasks cannot be compared.")
    return [" ".join(texts)] if texts else []


@contextlib.contextmanager
def _same_random_numbers():
    """Makes equal records give equal text: rliable 1.2 draws from NumPy's global generator, whatever it is handed."""
    state = np.random.get_state()
    np.random.seed(0)
    try:
        yield
    finally:
        np.random.set_state(state)
