"""Checkpoints: exact, atomic, and never taken for another run's."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rvdt_jax.algorithms.build import make_spec
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


def test_a_checkpoint_from_before_a_setting_came_is_completed_before_it_is_compared(states, tmp_path):
    def about(**expert):
        return {"identity": {"config": {"expert": {"fraction": 0.1} | expert}}}

    def complete(config):
        return {"expert": {"by": "return"} | config["expert"]}

    with Checkpoints(tmp_path, 2, about()) as checkpoints:
        checkpoints.save(2, states, NORMALIZER)
    with Checkpoints(tmp_path, 2, about(by="return"), comparable=complete) as checkpoints:
        checkpoints.restore(states, NORMALIZER)
    with (
        Checkpoints(tmp_path, 2, about(by="start"), comparable=complete) as checkpoints,
        pytest.raises(ValueError, match=r"\(identity\.config\.expert\.by is 'return' there, 'start' here\)"),
    ):
        checkpoints.restore(states, NORMALIZER)


def damage(folder, part):
    """Cuts every file of a part of a checkpoint short."""
    found = [path for path in (folder / part).rglob("*") if path.is_file() and path.stat().st_size > 60]
    assert found
    for path in found:
        path.write_bytes(path.read_bytes()[:50])


@pytest.mark.parametrize("part", ["arrays", "about"])
def test_behind_a_damaged_checkpoint_the_one_before_is_taken(part, states, tmp_path, caplog):
    folder = tmp_path / "checkpoints"
    newer = states.replace(step=states.step + 2)
    with Checkpoints(folder, 2, ABOUT) as checkpoints:
        checkpoints.save(2, states, NORMALIZER)
        checkpoints.save(4, newer, NORMALIZER)
    damage(folder / "4", part)
    with Checkpoints(folder, 2, ABOUT) as checkpoints:
        restored = checkpoints.restore(newer, NORMALIZER)
        np.testing.assert_array_equal(restored.step, states.step)
        assert checkpoints.latest_step() == 2
        assert "the checkpoint of update 4 cannot be read" in caplog.text
        assert "going on from update 2" in caplog.text
        assert (tmp_path / "damaged-checkpoint-4").is_dir()
        checkpoints.save(4, newer, NORMALIZER)  # and its place is free again
    with Checkpoints(folder, 2, ABOUT) as checkpoints:
        np.testing.assert_array_equal(checkpoints.restore(states, NORMALIZER).step, newer.step)


def test_if_none_can_be_read_all_are_named_and_left_where_they_are(states, tmp_path):
    folder = tmp_path / "checkpoints"
    with Checkpoints(folder, 2, ABOUT) as checkpoints:
        checkpoints.save(2, states, NORMALIZER)
        checkpoints.save(4, states, NORMALIZER)
    damage(folder / "2", "arrays")
    damage(folder / "4", "arrays")
    with (
        Checkpoints(folder, 2, ABOUT) as checkpoints,
        pytest.raises(ValueError, match=r"no checkpoint can be read \(4: .*; 2: .*another --workdir"),
    ):
        checkpoints.restore(states, NORMALIZER)
    assert {path.name for path in folder.iterdir()} >= {"2", "4"}


def test_a_half_written_checkpoint_is_not_seen(states, tmp_path):
    with Checkpoints(tmp_path, 2, ABOUT) as checkpoints:
        checkpoints.save(2, states, NORMALIZER)
    # What a process leaves that dies while it writes: Orbax's temporary folder, not yet renamed.
    (tmp_path / "4.orbax-checkpoint-tmp").mkdir()
    with Checkpoints(tmp_path, 2, ABOUT) as checkpoints:
        assert checkpoints.latest_step() == 2


def test_the_best_is_kept_besides_the_latest(states, tmp_path):
    best = {2: None, 4: 2, 6: 2, 8: 6, 10: 6}
    with Checkpoints(tmp_path, 1, ABOUT, best=lambda: current) as checkpoints:
        for step, current in best.items():  # noqa: B007  the policy asks for it
            checkpoints.save(step, states, NORMALIZER)
    assert sorted(int(path.name) for path in tmp_path.iterdir() if path.name.isdigit()) == [6, 10]
