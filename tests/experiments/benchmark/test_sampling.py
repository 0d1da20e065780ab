"""Both of the peer's samplers draw windows of one episode, as likely as ours, with the right returns-to-go."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from benchmark.peer_sampling import FlatSampler, TrajectorySampler  # noqa: E402

from rvdt_jax.data.episodes import Episodes  # noqa: E402

pytestmark = pytest.mark.slow

LENGTHS = np.array([1, 7, 3, 12])
STEPS = int(LENGTHS.sum())


@pytest.mark.parametrize("sampler", [TrajectorySampler, FlatSampler])
def test_windows(sampler):
    """Episodes carry each step's number as observation and action; the second one terminates."""
    number, rewards = np.arange(STEPS, dtype=np.float32), np.random.default_rng(0).integers(0, 3, STEPS)
    columns = number[:, None], number[:, None] / STEPS, rewards.astype(np.float32)
    numbered = Episodes("numbered", *columns, LENGTHS, np.arange(4) == 1)
    experts, length = np.array([False, True, False, True]), 4
    batch = sampler(numbered, experts, 4000, length, 10.0, "cpu").sample()
    mask = batch.mask.numpy().astype(bool)
    index = np.rint(batch.actions[..., 0].numpy() * STEPS).astype(int)
    starts, episode = index[:, 0], np.repeat(np.arange(LENGTHS.size), LENGTHS)
    last = np.cumsum(LENGTHS)[episode[starts]] - 1
    np.testing.assert_array_equal(mask, starts[:, None] + np.arange(length) <= last[:, None])
    for row in range(len(mask)):
        np.testing.assert_array_equal(index[row][mask[row]], np.arange(starts[row], starts[row] + mask[row].sum()))
    first = (np.cumsum(LENGTHS) - LENGTHS)[episode]
    terminals = np.zeros(STEPS, bool)
    terminals[LENGTHS[:2].sum() - 1] = True
    expected = {
        "observations": ((np.arange(STEPS) - np.arange(STEPS).mean()) / np.arange(STEPS).std())[:, None],
        "rewards": numbered.rewards,
        "returns_to_go": numbered.returns_to_go() / 10.0,
        "timesteps": np.arange(STEPS) - first,
        "terminals": terminals,
    }
    for name, values in expected.items():
        np.testing.assert_allclose(getattr(batch, name).numpy()[mask], values[index[mask]], atol=1e-5, err_msg=name)
    np.testing.assert_array_equal(batch.expert.numpy(), experts[episode[starts]])
    counts = np.bincount(starts, minlength=STEPS)  # every step begins a window as often as another: chi-square
    assert ((counts - 4000 / STEPS) ** 2 / (4000 / STEPS)).sum() < 2.5 * STEPS
