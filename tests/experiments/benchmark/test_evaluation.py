"""The benchmarks of evaluation and acting, small; and that the peer's loop shows its policy what ours is shown."""

import numpy as np
import pytest
from benchmark import evaluation
from benchmark.acting import measure_acting
from benchmark.data import make_episodes
from benchmark.updates import Data

pytestmark = pytest.mark.slow


def test_steps_per_second(small_config, monkeypatch):
    monkeypatch.setattr(evaluation, "EPISODES", 2)
    config = small_config(variant="RVDT", eval__targets=(100.0, 50.0))
    data = Data.of(make_episodes(2000))
    row = evaluation.measure_evaluation(config, data, steps=3, loop_steps=6, repeats=2, selections=("mean",))
    for loop in ("loop", "loop_mean"):
        speeds = (row[name]["steps_per_second"]["all"] for name in ("mean", loop))
        expected = [mean / other for mean, other in zip(*speeds, strict=True)]
        assert row["mean"][f"ratio_to_{loop}"]["all"] == pytest.approx(expected, rel=2e-3)


def test_milliseconds_of_an_action(small_config):
    row = measure_acting(small_config(variant="DT"), Data.of(make_episodes(2000)), calls=5)
    for policy in ("run", "exported"):
        times = row[policy]["milliseconds"]
        assert 0 < times["min"] <= times["median"] <= times["max"]


def test_the_peers_window_is_the_recent_past():
    pytest.importorskip("torch")
    from benchmark.peer_acting import _window

    past = [np.full(4, float(step)) for step in range(6)]
    actions = [np.full(2, float(step)) for step in range(5)]
    conditioning = [np.array([10.0, 20.0]) - step for step in range(6)]
    seen, done, returns, steps, _ = _window(past, actions, conditioning, 5, 4, "cpu")
    assert seen[1, :, 0].tolist() == steps[0].tolist() == [2, 3, 4, 5]
    assert done[0, :, 1].tolist() == [2, 3, 4, 0]  # the current action is still to be chosen
    assert returns.tolist() == [[8, 7, 6, 5], [18, 17, 16, 15]]
    seen, done, _, steps, mask = _window(past[:2], actions[:1], conditioning[:2], 1, 4, "cpu")
    assert (seen[0, :, 0].tolist(), steps[0].tolist()) == ([0, 1, 0, 0], [0, 1, 2, 3])
    assert (done[0, :, 0].tolist(), mask[1].tolist()) == ([0, 0, 0, 0], [1, 1, 0, 0])
