"""Learning curves: the numbers drawn, and a picture that holds something."""

import matplotlib.colors
import matplotlib.image
import numpy as np
import pytest

from rvdt_jax.report import plots
from rvdt_jax.report.plots import COLOURS, curve, plot_learning_curves, read_evaluations
from rvdt_jax.report.records import append_lines


def evaluation(step, seed, target, *returns):
    return {"step": step, "seed": seed, "target": target, "returns": list(returns)}


EVALUATIONS = [
    evaluation(20, 1, 50.0, 8.0, 10.0),
    evaluation(10, 0, 50.0, 1.0, 3.0),
    evaluation(10, 0, 90.0, 77.0),
    evaluation(10, 1, 50.0, 4.0, 4.0),
    evaluation(20, 0, 50.0, 5.0, 7.0),
]


@pytest.fixture
def figures(monkeypatch):
    """The figures drawn, kept from being closed."""
    kept = []
    monkeypatch.setattr(plots.plt, "close", kept.append)
    yield kept
    monkeypatch.undo()
    for figure in kept:
        plots.plt.close(figure)


def draw(path, curves, **options):
    plot_learning_curves(curves, path, title="a task", ref_min_return=2.0, ref_max_return=12.0, **options)
    return path


def test_a_curve_holds_the_mean_returns_by_step_and_seed():
    steps, returns = curve(EVALUATIONS, 50.0)
    np.testing.assert_array_equal(steps, [10, 20])
    np.testing.assert_array_equal(returns, [[2.0, 4.0], [6.0, 9.0]])


def test_a_curve_is_of_one_target():
    steps, returns = curve(EVALUATIONS, 90.0)
    np.testing.assert_array_equal(steps, [10])
    np.testing.assert_array_equal(returns, [[77.0]])


@pytest.mark.parametrize("target", ["none", "300 200"])
def test_a_target_may_be_a_name(target):
    records = [evaluation(10, 0, target, 1.0), evaluation(10, 0, 50.0, 2.0)]
    np.testing.assert_array_equal(curve(records, target)[1], [[1.0]])


def test_a_step_that_a_seed_lacks_is_left_out():
    steps, returns = curve([*EVALUATIONS, evaluation(30, 0, 50.0, 100.0)], 50.0)
    np.testing.assert_array_equal(steps, [10, 20])
    assert returns.max() < 100.0


def test_scores_are_drawn_with_their_mean_and_range(tmp_path, figures):
    draw(tmp_path / "curve.png", {"RVDT": (EVALUATIONS, 50.0)}, references={"random": 0.0, "expert": 100.0})
    (axes,) = figures[0].axes
    line, *references = axes.lines
    np.testing.assert_array_equal(line.get_xdata(), [10, 20])
    np.testing.assert_allclose(line.get_ydata(), [10.0, 55.0])  # means 3 and 7.5; a score is 10 (return - 2)
    (band,) = axes.collections
    corners = band.get_paths()[0].vertices
    assert corners[:, 1].min() == pytest.approx(0.0)  # the seed at 2
    assert corners[:, 1].max() == pytest.approx(70.0)  # the seed at 9
    assert [reference.get_ydata()[0] for reference in references] == [0.0, 100.0]
    assert [text.get_text() for text in axes.texts] == ["random", "expert"]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["RVDT"]
    assert axes.get_title() == "a task"
    assert axes.get_xlabel() == "updates"
    assert "normalised score" in axes.get_ylabel()


def test_without_references_returns_are_drawn(tmp_path, figures):
    curves = {"RVDT": (EVALUATIONS, 50.0)}
    plot_learning_curves(curves, tmp_path / "curve.png", title="no task", ref_min_return=None, ref_max_return=None)
    (axes,) = figures[0].axes
    np.testing.assert_allclose(axes.lines[0].get_ydata(), [3.0, 7.5])
    corners = axes.collections[0].get_paths()[0].vertices
    assert (corners[:, 1].min(), corners[:, 1].max()) == (2.0, 9.0)
    assert axes.get_ylabel().startswith("return (")
    assert "score" not in axes.get_ylabel()


def test_more_curves_than_colours_are_all_drawn(tmp_path, figures):
    count = len(COLOURS) + 2
    draw(tmp_path / "curve.png", {f"run {number}": (EVALUATIONS, 50.0) for number in range(count)})
    assert len(figures[0].axes[0].lines) == count


def test_the_picture_is_a_png_of_reasonable_size_with_every_curve_in_it(tmp_path):
    other = [record | {"returns": [value + 5 for value in record["returns"]]} for record in EVALUATIONS]
    path = draw(tmp_path / "curve.png", {"DT": (EVALUATIONS, 50.0), "RVDT": (other, 50.0)})
    assert path.read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
    assert 5_000 < path.stat().st_size < 500_000
    pixels = matplotlib.image.imread(path)[..., :3]
    height, width = pixels.shape[:2]
    assert 400 <= height < width <= 2500
    for colour in COLOURS[:2]:
        distance = np.abs(pixels - matplotlib.colors.to_rgb(colour)).max(-1)
        assert (distance < 0.02).sum() > 200
    assert not plots.plt.get_fignums()  # nothing is left open


def test_a_single_evaluation_can_be_drawn(tmp_path):
    path = draw(tmp_path / "curve.png", {"RVDT": ([evaluation(10, 0, 50.0, 1.0)], 50.0)})
    assert path.stat().st_size > 5_000


def test_evaluations_are_read_from_a_run(tmp_path):
    assert read_evaluations(tmp_path) == []
    append_lines(tmp_path / "evaluations.jsonl", EVALUATIONS)
    assert read_evaluations(tmp_path) == EVALUATIONS
