"""Checkpoints: exact, atomic, and never taken for another run's."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rvdt_jax.train.build import make_spec
from rvdt_jax.train.checkpoint import Checkpoints
from rvdt_jax.train.driver import init_states
from rvdt_jax.types import Normalizer

ABOUT = {"identity": {"loss": {"eta": 1.0, "alpha": 0.5}}}
NORMALIZER = Normalizer(mean=jnp.arange(4.0), std=jnp.ones(4))


@pytest.fixture
def states(small_config):
    return init_states(jnp.asarray([3, 4]), spec=make_spec(small_config(variant="RVDT"), 4, 2, 30))


def raw(tree):
    def without_key_types(leaf):
        return jax.random.key_data(leaf) if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key) else leaf

    return [np.asarray(without_key_types(leaf)) for leaf in jax.tree.leaves(tree)]


def test_every_array_comes_back_bit_for_bit(states, tmp_path):
    with Checkpoints(tmp_path, 2, ABOUT) as checkpoints:
        checkpoints.save(7, states, NORMALIZER)
    other = jax.tree.map(lambda leaf: leaf * 0 if jnp.issubdtype(leaf.dtype, jnp.floating) else leaf, states)
    with Checkpoints(tmp_path, 2, ABOUT) as checkpoints:
        assert checkpoints.latest_step() == 7
        restored = checkpoints.restore(other, NORMALIZER)
    assert jax.tree.structure(restored) == jax.tree.structure(states)
    for left, right in zip(raw(states), raw(restored), strict=True):
        assert left.dtype == right.dtype
        np.testing.assert_array_equal(left, right)


def test_the_latest_are_kept(states, tmp_path):
    with Checkpoints(tmp_path, 2, ABOUT) as checkpoints:
        for step in (2, 4, 6):
            checkpoints.save(step, states, NORMALIZER)
    assert sorted(int(path.name) for path in tmp_path.iterdir() if path.name.isdigit()) == [4, 6]


def test_another_run_is_refused_and_the_difference_named(states, tmp_path):
    with Checkpoints(tmp_path, 2, ABOUT) as checkpoints:
        checkpoints.save(2, states, NORMALIZER)
    changed = {"identity": {"loss": {"eta": 2.0, "alpha": 0.5}}}
    with (
        Checkpoints(tmp_path, 2, changed) as checkpoints,
        pytest.raises(ValueError, match=r"\(identity\.loss\.eta is 1\.0 there, 2\.0 here\)"),
    ):
        checkpoints.restore(states, NORMALIZER)


def test_a_damaged_checkpoint_is_named_with_the_one_before(states, tmp_path):
    with Checkpoints(tmp_path, 2, ABOUT) as checkpoints:
        checkpoints.save(2, states, NORMALIZER)
        checkpoints.save(4, states, NORMALIZER)
    for path in (tmp_path / "4").rglob("*"):
        if path.is_file() and "about" not in str(path) and path.stat().st_size > 100:
            path.write_bytes(path.read_bytes()[:50])
    with (
        Checkpoints(tmp_path, 2, ABOUT) as checkpoints,
        pytest.raises(ValueError, match=r"4: the checkpoint cannot be read .*continue from update 2 instead"),
    ):
        checkpoints.restore(states, NORMALIZER)


def test_a_half_written_checkpoint_is_not_seen(states, tmp_path):
    with Checkpoints(tmp_path, 2, ABOUT) as checkpoints:
        checkpoints.save(2, states, NORMALIZER)
    # What a process leaves that dies while it writes: Orbax's temporary folder, not yet renamed.
    (tmp_path / "4.orbax-checkpoint-tmp").mkdir()
    with Checkpoints(tmp_path, 2, ABOUT) as checkpoints:
        assert checkpoints.latest_step() == 2
