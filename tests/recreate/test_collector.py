"""Collector policies: what is saved acts as what was trained, with NumPy alone."""

import numpy as np
import pytest

from rvdt_jax.recreate.collector import Collector, load_collector, save_collector


@pytest.fixture
def collector():
    rng = np.random.default_rng(0)

    def layer(inputs, outputs):
        # Numbers that half precision holds exactly.
        return tuple(rng.integers(-8, 9, shape).astype(np.float32) / 16 for shape in ((inputs, outputs), (outputs,)))

    return Collector((layer(5, 7), layer(7, 6)), layer(6, 2), layer(6, 2), {"steps": 3, "robot": "hopper"})


def test_the_mean_action_is_the_squashed_mean(collector):
    observations = hidden = np.random.default_rng(1).normal(size=(4, 5)).astype(np.float32)
    for kernel, bias in collector.hidden:
        hidden = np.maximum(hidden @ kernel + bias, 0)
    mean = np.tanh(hidden @ collector.mean[0] + collector.mean[1])
    np.testing.assert_allclose(collector.act(observations), mean, rtol=1e-6)
    np.testing.assert_allclose(collector.act(observations[2]), mean[2], rtol=1e-5)


def test_what_is_saved_is_loaded(collector, tmp_path):
    save_collector(tmp_path / "policy.npz", collector)
    loaded = load_collector(tmp_path / "policy.npz")
    observations = np.ones((4, 5), np.float32)
    np.testing.assert_array_equal(loaded.act(observations), collector.act(observations))
    assert loaded.about == collector.about
    assert [each.name for each in tmp_path.iterdir()] == ["policy.npz"]


@pytest.mark.parametrize("content", [None, b"", b"no archive"])
def test_what_is_no_policy_is_named(content, tmp_path):
    path = tmp_path / "policy.npz"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ValueError, match=r"policy\.npz: holds no collector policy"):
        load_collector(path)
