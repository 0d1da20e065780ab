"""Learning curves: the numbers drawn, and a picture that holds something."""

import matplotlib.colors
import matplotlib.image
import numpy as np
import pytest

from rvdt_jax.report import plots
from rvdt_jax.report.plots import COLOURS, curve, plot_learning_curves


def evaluation(step, seed, target, *returns):
    return {"step": step, "seed": seed, "target": target, "returns": list(returns)}


EVALUATIONS = [
    evaluation(20, 1, 50.0, 8.0, 10.0),
    evaluation(10, 0, 50.0, 1.0, 3.0),
    evaluation(10, 0, "300 200", 77.0),
    evaluation(10, 1, 50.0, 4.0, 4.0),
    evaluation(20, 0, 50.0, 5.0, 7.0),
    evaluation(30, 0, 50.0, 100.0),  # which seed 1 lacks
]


@pytest.fixture
def draw(monkeypatch, tmp_path):
    """A function that draws, and returns the axes."""
    kept = []
    monkeypatch.setattr(plots.plt, "close", kept.append)

    def draw(curves, references=(2.0, 12.0), **options):
        low, high = references
        path = tmp_path / "curve.png"
        plot_learning_curves(curves, path, title="a task", ref_min_return=low, ref_max_return=high, **options)
        return kept[-1].axes[0]

    yield draw
    monkeypatch.undo()
    for figure in kept:
        plots.plt.close(figure)


def test_a_curve_holds_the_mean_returns_at_one_target_by_step_and_seed():
    steps, returns = curve(EVALUATIONS, 50.0)
    np.testing.assert_array_equal(steps, [10, 20])
    np.testing.assert_array_equal(returns, [[2.0, 4.0], [6.0, 9.0]])
    np.testing.assert_array_equal(curve(EVALUATIONS, "300 200")[1], [[77.0]])


def test_scores_are_drawn_with_their_mean_and_range(draw):
    axes = draw({"RVDT": (EVALUATIONS, 50.0)})
    (line,) = axes.lines
    np.testing.assert_array_equal(line.get_xdata(), [10, 20])
    np.testing.assert_allclose(line.get_ydata(), [10.0, 55.0])  # means 3 and 7.5; a score is 10 (return - 2)
    corners = axes.collections[0].get_paths()[0].vertices
    assert (corners[:, 1].min(), corners[:, 1].max()) == (pytest.approx(0.0), pytest.approx(70.0))  # 2 and 9
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["RVDT"]
    assert (axes.get_title(), axes.get_xlabel()) == ("a task", "updates")
    assert "normalised score" in axes.get_ylabel()


def test_without_references_returns_are_drawn(draw):
    axes = draw({"RVDT": (EVALUATIONS, 50.0)}, (None, None))
    np.testing.assert_allclose(axes.lines[0].get_ydata(), [3.0, 7.5])
    assert axes.get_ylabel().startswith("return (")


def test_more_curves_than_colours_are_all_drawn(draw):
    count = len(COLOURS) + 2
    assert len(draw({f"run {number}": (EVALUATIONS, 50.0) for number in range(count)}).lines) == count


def test_the_picture_shows_every_curve_and_reference(tmp_path):
    other = [record | {"returns": [value + 5 for value in record["returns"]]} for record in EVALUATIONS]
    single = [evaluation(10, 0, 50.0, 1.0)]
    path, curves = tmp_path / "curve.png", {"DT": (EVALUATIONS, 50.0), "RVDT": (other, 50.0), "QT": (single, 50.0)}
    plot_learning_curves(curves, path, title="", ref_min_return=2.0, ref_max_return=12.0, references={"expert": 100.0})
    assert path.read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
    pixels = matplotlib.image.imread(path)[..., :3]
    for colour in COLOURS[:2]:
        assert (np.abs(pixels - matplotlib.colors.to_rgb(colour)).max(-1) < 0.02).sum() > 200
    assert not plots.plt.get_fignums()  # nothing is left open
