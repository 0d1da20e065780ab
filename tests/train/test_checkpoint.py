"""Checkpoints: exact, atomic, and never taken for another run's."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from agreement import raw

from rvdt_jax.algorithms.sequence import SEQUENCE, make_spec
from rvdt_jax.train.checkpoint import Checkpoints
from rvdt_jax.train.driver import init_states
from rvdt_jax.types import Normalizer

ABOUT = {"identity": {"loss": {"eta": 1.0, "alpha": 0.5}}}
NORMALIZER = Normalizer(mean=jnp.arange(4.0), std=jnp.ones(4))


@pytest.fixture(scope="module")
def states(small_config):
    return init_states(jnp.asarray([3, 4]), SEQUENCE, make_spec(small_config(variant="RVDT"), 4, 2, 30))


def write(folder, states, *steps, about=ABOUT, keep=2, **options):
    """Writes checkpoints of these updates, each with its number as the states' step."""
    with Checkpoints(folder, keep, about, **options) as checkpoints:
        for step in steps:
            checkpoints.save(step, states.replace(step=states.step * 0 + step), NORMALIZER)


def restore(folder, states, about=ABOUT, **options):
    with Checkpoints(folder, 2, about, **options) as checkpoints:
        return checkpoints.restore(states, NORMALIZER)


def kept(folder):
    return sorted(int(path.name) for path in folder.iterdir() if path.name.isdigit())


def test_every_array_comes_back_bit_for_bit_and_a_half_written_one_is_not_seen(states, tmp_path):
    write(tmp_path, states, 0)
    # What a process leaves that dies while it writes: Orbax's temporary folder, not yet renamed.
    (tmp_path / "4.orbax-checkpoint-tmp").mkdir()
    other = jax.tree.map(lambda leaf: leaf * 0 if jnp.issubdtype(leaf.dtype, jnp.floating) else leaf, states)
    restored = restore(tmp_path, other)
    jax.tree.map(
        lambda left, right: np.testing.assert_array_equal(raw(left), raw(right), strict=True), states, restored
    )


def test_the_best_is_kept_besides_the_latest(states, tmp_path):
    write(tmp_path / "latest", states, 2, 4, 6)
    assert kept(tmp_path / "latest") == [4, 6]
    best = iter((None, 2, 2, 6, 6))
    write(tmp_path / "best", states, 2, 4, 6, 8, 10, keep=1, best=lambda: next(best))
    assert kept(tmp_path / "best") == [6, 10]


def test_a_checkpoint_from_before_a_setting_came_is_completed_before_it_is_compared(states, tmp_path):
    def about(**expert):
        return {"identity": {"config": {"expert": {"fraction": 0.1} | expert}}}

    def complete(config):
        return {"expert": {"by": "return"} | config["expert"]}

    write(tmp_path, states, 2, about=about())
    restore(tmp_path, states, about(by="return"), comparable=complete)
    with pytest.raises(ValueError, match=r"\(identity\.config\.expert\.by is 'return' there, 'start' here\)"):
        restore(tmp_path, states, about(by="start"), comparable=complete)


def damage(folder, part):
    """Cuts every file of a part of a checkpoint short."""
    found = [path for path in (folder / part).rglob("*") if path.is_file() and path.stat().st_size > 60]
    assert found
    for path in found:
        path.write_bytes(path.read_bytes()[:50])


@pytest.mark.parametrize("part", ["arrays", "about"])
def test_behind_a_damaged_checkpoint_the_one_before_is_taken(part, states, tmp_path, caplog):
    folder = tmp_path / "checkpoints"
    write(folder, states, 2, 4)
    damage(folder / "4", part)
    assert (restore(folder, states).step == 2).all()
    assert "the checkpoint of update 4 cannot be read" in caplog.text
    assert "going on from update 2" in caplog.text
    assert (tmp_path / "damaged-checkpoint-4").is_dir()
    write(folder, states, 4)  # and its place is free again
    assert (restore(folder, states).step == 4).all()
    damage(folder / "4", part)
    assert (restore(folder, states).step == 2).all()
    assert (tmp_path / "damaged-checkpoint-4-2").is_dir()


def test_if_none_can_be_read_all_are_named_and_left_where_they_are(states, tmp_path):
    write(tmp_path, states, 2, 4)
    for step in ("2", "4"):
        damage(tmp_path / step, "arrays")
    with pytest.raises(ValueError, match=r"no checkpoint can be read \(4: .*; 2: .*another --workdir"):
        restore(tmp_path, states)
    assert kept(tmp_path) == [2, 4]
