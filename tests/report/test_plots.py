"""Learning curves: the numbers drawn, and a picture that holds something."""

import matplotlib.image
import numpy as np
import pytest

from rvdt_jax.report import plots
from rvdt_jax.report.plots import COLOURS, curve, plot_learning_curves

EVALUATIONS = [
    {"step": step, "seed": seed, "target": target, "returns": returns}
    for step, seed, target, returns in (
        *((20, 1, 50.0, [8.0, 10.0]), (10, 0, 50.0, [1.0, 3.0]), (10, 0, "300 200", [77.0])),
        *((10, 1, 50.0, [4.0, 4.0]), (20, 0, 50.0, [5.0, 7.0]), (30, 0, 50.0, [100.0])),  # seed 1 lacks the last
    )
]


def test_a_curve_holds_the_mean_returns_at_one_target_by_step_and_seed():
    steps, returns = curve(EVALUATIONS, 50.0)
    np.testing.assert_array_equal(steps, [10, 20])
    np.testing.assert_array_equal(returns, [[2.0, 4.0], [6.0, 9.0]])
    np.testing.assert_array_equal(curve(EVALUATIONS, "300 200")[1], [[77.0]])


@pytest.mark.parametrize(
    ("references", "drawn", "ends", "quantity"),
    # The means are 3 and 7.5, the seeds' extremes 2 and 9; a score is 10 (return - 2).
    [((2.0, 12.0), [10.0, 55.0], [0.0, 70.0], "normalised score"), ((None, None), [3.0, 7.5], [2.0, 9.0], "return (")],
)
def test_mean_and_range_are_drawn_of_every_curve(tmp_path, monkeypatch, references, drawn, ends, quantity):
    kept = []
    monkeypatch.setattr(plots.plt, "close", kept.append)
    curves = {f"run {number}": (EVALUATIONS, 50.0) for number in range(len(COLOURS) + 2)}
    low, high = references
    options = {"title": "a task", "ref_min_return": low, "ref_max_return": high, "references": {"expert": 100.0}}
    plot_learning_curves(curves, tmp_path / "curve.png", **options)
    monkeypatch.undo()
    axes = kept[0].axes[0]
    plots.plt.close(kept[0])
    assert len(axes.lines) == len(curves) + 1
    np.testing.assert_allclose(axes.lines[0].get_ydata(), drawn)
    corners = axes.collections[0].get_paths()[0].vertices[:, 1]
    assert [corners.min(), corners.max()] == pytest.approx(ends)
    assert quantity in axes.get_ylabel()
    assert (axes.get_title(), axes.texts[0].get_text()) == ("a task", "expert")
    assert matplotlib.image.imread(tmp_path / "curve.png")[..., :3].std() > 0.05
