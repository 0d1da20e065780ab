"""Statistics over the tasks of a table, by rliable (Agarwal et al. 2021): few runs, so intervals rather than points."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable

import numpy as np

from rvdt_jax.report.sections import markdown_table
from rvdt_jax.report.tables import Table

RESAMPLES = 2000
CONFIDENCE = 0.95


def score_matrices(table: Table) -> dict[str, np.ndarray]:
    """Variant -> (runs, tasks) normalised scores of final checkpoints.

    Only tasks that every variant with a cell was run on count, and of every cell as many runs as the shortest has.
    """
    variants = [name for name in table.variants if any(variant == name for _, variant, _ in table.cells())]
    rows = [row for row in table.rows if row.task]
    whole = [
        row for row in rows if all((cell := table.cell(row, name)) is not None and not cell.failed for name in variants)
    ]
    if not variants or not whole:
        return {}
    runs = min(len(table.cell(row, name).scores) for row in whole for name in variants)
    return {
        name: np.array([list(table.cell(row, name).scores.values())[:runs] for row in whole]).T for name in variants
    }


def aggregates(table: Table, resamples: int = RESAMPLES) -> str:
    """Markdown: interquartile mean per variant, and how often one run beats another's, with bootstrap intervals.

    Raises:
        ValueError: rliable is not installed.
    """
    try:
        from rliable import library, metrics
    except ImportError as error:
        raise ValueError(f"--aggregate needs {error.name}: pip install '.[report]'.") from None
    matrices = score_matrices(table)
    if not matrices:
        return f"{table.title}: no task was run with every variant; nothing to aggregate.\n"
    runs, tasks = next(iter(matrices.values())).shape
    if runs < 2:
        return f"{table.title}: one seed a cell; intervals need two.\n"

    def rows(scores: dict, metric: Callable, digits: int) -> list[list[str]]:
        points, intervals = library.get_interval_estimates(
            scores,
            lambda *arrays: np.array([metric(*arrays)]),
            reps=resamples,
            confidence_interval_size=CONFIDENCE,
        )
        return [[name, _with_interval(points[name][0], intervals[name][:, 0], digits)] for name in scores]

    pairs = {f"{y} > {x}": (matrices[y], matrices[x]) for x, y in itertools.combinations(matrices, 2)}
    title = f"{table.title}: {tasks} tasks, {runs} runs each"
    left_out = [row.label for row, _, cell in table.cells() if cell.failed]
    title += f" (without {', '.join(dict.fromkeys(left_out))}, where a run failed)" if left_out else ""
    parts = [f"{title}; {100 * CONFIDENCE:.0f} % intervals by stratified bootstrap, {resamples} resamples"]
    with _same_random_numbers():
        means = rows(matrices, metrics.aggregate_iqm, 1)
        parts.append(markdown_table(("variant", "interquartile mean"), means))
        if pairs:
            improvements = rows(pairs, metrics.probability_of_improvement, 2)
            parts.append(markdown_table(("", "probability of improvement"), improvements))
    return "\n\n".join(parts) + "\n"


@contextlib.contextmanager
def _same_random_numbers():
    """Equal records give equal text. rliable 1.2 draws from NumPy's global generator, whatever it is handed."""
    state = np.random.get_state()
    np.random.seed(0)
    try:
        yield
    finally:
        np.random.set_state(state)


def _with_interval(point: float, interval: np.ndarray, digits: int) -> str:
    low, high = interval
    return f"{point:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"
