"""Between spaces and vectors: what lies where in an observation, and what -1 and 1 stand for."""

import numpy as np
import pytest

from rvdt_jax.data.spaces import flatten_observations, leaf_keys, scale_actions, unscale_actions

# Two steps.
KETTLE = np.array([[[5.0, 6.0], [7.0, 8.0]], [[9.0, 10.0], [11.0, 12.0]]])
NESTED = {"hand": np.array([[1.0, 2.0], [3.0, 4.0]]), "goal": {"kettle": KETTLE, "lamp": np.array([13, 14])}}


def test_entries_are_laid_behind_each_other_in_the_order_given():
    flat = flatten_observations(NESTED, ("goal.kettle", "hand", "goal.lamp"))
    np.testing.assert_array_equal(flat, [[5, 6, 7, 8, 1, 2, 13], [9, 10, 11, 12, 3, 4, 14]])
    assert flat.dtype == np.float32


@pytest.mark.parametrize(
    ("observations", "expected"),
    [
        (np.array([[1.5, 2.5], [3.5, 4.5]]), [[1.5, 2.5], [3.5, 4.5]]),
        (np.array([1.5, 2.5, 3.5]), [[1.5], [2.5], [3.5]]),  # one number a step
        (np.array([[[1, 2], [3, 4]]], np.uint8), [[1, 2, 3, 4]]),  # row by row
        ([[True, False]], [[1, 0]]),
    ],
)
def test_arrays_of_any_shape_and_type_become_rows_of_floats(observations, expected):
    flat = flatten_observations(observations, ())
    np.testing.assert_array_equal(flat, expected)
    assert flat.dtype == np.float32


@pytest.mark.parametrize("key", ["arm", "goal.oven", "hand.left", "goal.lamp.x", "kettle", ""])
def test_an_entry_that_is_not_there_is_named_with_those_there_are(key):
    with pytest.raises(ValueError, match=rf"no entry '{key}'; there are hand, goal\.kettle, goal\.lamp\."):
        flatten_observations(NESTED, ("hand", key))
    with pytest.raises(ValueError, match=r"no entry 'hand'; there are none: they are arrays"):
        flatten_observations(np.zeros((2, 3)), ("hand",))
    with pytest.raises(ValueError, match=r"hand, goal\.kettle, goal\.lamp; .*config\.data\.observation_keys"):
        flatten_observations(NESTED, ())


def test_the_names_of_leaves_are_dotted_and_in_order():
    assert leaf_keys(NESTED) == ["hand", "goal.kettle", "goal.lamp"]
    assert leaf_keys({"a": {"b": {"c": 0}}, "d": None}) == ["a.b.c", "d"]
    assert leaf_keys({}) == []


@pytest.mark.parametrize("tree", [{"arm.left": np.array([[7.0]])}, {"arm.left": {"x.y": np.array([[7.0]])}}])
def test_every_leaf_can_be_read_by_the_name_that_is_listed(tree):
    (name,) = leaf_keys(tree)
    np.testing.assert_array_equal(flatten_observations(tree, (name,)), [[7.0]])


def test_actions_are_scaled_and_back_by_hand_and_never_go_out_beyond_the_bounds():
    low, high = np.array([0.0, -2.0]), np.array([4.0, 6.0])
    actions, scaled = [[0, -2], [2, 2], [4, 6], [1, 4]], [[-1, -1], [0, 0], [1, 1], [-0.5, 0.5]]
    np.testing.assert_array_equal(scale_actions(np.array(actions), low, high), scaled)
    np.testing.assert_array_equal(unscale_actions(np.array(scaled), low, high), actions)
    np.testing.assert_array_equal(unscale_actions(np.array([[1.7, -1.2], [9.0, 9.0]]), low, high), [[4, -2], [4, 6]])


def test_there_and_back_is_the_same_action():
    rng = np.random.default_rng(0)
    low = rng.uniform(-100, 0, 5).astype(np.float32)
    high = low + rng.uniform(0.01, 200, 5).astype(np.float32)
    actions = rng.uniform(low, high, (50, 5)).astype(np.float32)
    scaled = scale_actions(actions, low, high)
    assert np.abs(scaled).max() <= 1.0
    np.testing.assert_allclose(unscale_actions(scaled, low, high), actions, rtol=1e-5, atol=1e-4)
