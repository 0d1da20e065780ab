"""What it means that two runs trained the same: to the last bit, or to rounding."""

import pathlib

import jax
import jax.numpy as jnp
import numpy as np
from faults.harness import RECORDS, last_checkpoint


def assert_same_run(one, other, records=RECORDS):
    """Two run directories have the same records and the same last checkpoint, to the last bit."""
    one, other = pathlib.Path(one), pathlib.Path(other)
    for name in records:
        assert (one / name).read_bytes() == (other / name).read_bytes(), name
    for left, right in zip(last_checkpoint(one), last_checkpoint(other), strict=True):
        np.testing.assert_array_equal(left, right)


def raw(leaf):
    """An array's bits; a key's too."""
    return jax.random.key_data(leaf) if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key) else leaf


def assert_trees_equal(one, other, **tolerance):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(raw(a), raw(b), **tolerance), one, other)


def assert_losses_equal(one: dict, many: dict):
    """To 1e-5; the whole loss, whose terms cancel, to 1e-5 of its terms."""
    for name, expected in one.items():
        scale = np.abs(expected)
        if name == "policy/loss":
            scale = scale + np.abs(one["policy/weighted_nll"])
        assert (np.abs(many[name] - expected) <= 1e-5 * scale).all(), name


def assert_params_equal(one, many):
    """Every array to 1e-5 of its norm.

    Not the bias of the attention's keys: it adds the same to all logits of a query, so that its gradient is zero but
    for rounding, which Adam blows up to steps of full length. It changes no output.
    """
    for (path, expected), found in zip(jax.tree_util.tree_leaves_with_path(one), jax.tree.leaves(many), strict=True):
        name = jax.tree_util.keystr(path)
        if not name.endswith("['key']['bias']"):
            assert np.linalg.norm(found - expected) <= 1e-5 * np.linalg.norm(expected), name
