"""The maze2d recipe: what a collection holds, its statistics, and that its seed fixes it."""

import dataclasses
import functools
import math

import numpy as np
import pytest

from rvdt_jax.recreate import recreate
from rvdt_jax.recreate.maze2d import collect
from rvdt_jax.tasks import get_task

STEPS = 60_000


@functools.cache
def umaze() -> dict:
    """The first 60,000 steps of the recreated umaze data set, about 750 segments."""
    return collect("maze2d-umaze-v1", STEPS, 0)


def bounds(recording: dict) -> tuple[np.ndarray, np.ndarray]:
    """First and last step of every segment."""
    last = np.flatnonzero(recording["ends"])
    return np.concatenate([[0], last[:-1] + 1]), last


def target_cells(recording: dict) -> np.ndarray:
    """(N, 2) the cell that every step's segment ended in, by its last observation."""
    first, last = bounds(recording)
    return np.rint(recording["observations"][last, :2]).repeat(last - first + 1, axis=0)


def test_the_dense_task_has_the_same_run_of_the_same_seed_under_another_reward():
    dense, other = (collect("maze2d-umaze-dense-v1", 12_000, seed) for seed in (0, 7))
    for field in ("observations", "next_observations", "actions", "ends"):
        np.testing.assert_array_equal(dense[field][:-1], umaze()[field][:11_999])
        assert (dense[field] != other[field]).any()
    distance = np.linalg.norm(dense["observations"][:, :2] - (1, 1), axis=1)
    np.testing.assert_allclose(dense["rewards"], np.exp(-distance), rtol=1e-5)


def test_rewards_are_those_of_the_observation_before_the_action():
    observations, following, paid = (umaze()[field] for field in ("observations", "next_observations", "rewards"))
    before, after = (np.linalg.norm(array[:, :2] - (1, 1), axis=1) <= 0.5 for array in (observations, following))
    np.testing.assert_array_equal(paid, before)
    assert (paid != after).any()


def test_one_run_goes_through_all_segments_and_after_an_arrival_the_old_observation_is_seen_once_more():
    seen, following, ended = (umaze()[field] for field in ("observations", "next_observations", "ends"))
    before, seen, following, ended = seen[:-1], seen[1:], following[:-1], ended[:-1]
    np.testing.assert_array_equal(seen[~ended], following[~ended])
    np.testing.assert_array_equal(seen[ended], before[ended])
    assert (following[ended] != seen[ended]).any(1).all()  # it did move


def test_every_arrival_ends_a_segment_and_nothing_else_does():
    recording = umaze()
    first, last = bounds(recording)
    assert last[-1] == STEPS - 1
    assert (last - first).max() < 300  # so no time-out by length is among them
    positions, cells = recording["observations"][:, :2], target_cells(recording)
    previous = np.concatenate([positions[:1], positions[:-1]])
    previous[first] = np.rint(positions[first])  # a new plan starts from the cell
    distance, moved = np.linalg.norm(positions - cells, axis=1), np.linalg.norm(positions - previous, axis=1)
    whole = np.arange(STEPS) < first[-1]  # the last segment is cut off on its way to an unknown target
    clear = (np.abs(distance - 0.1) > 1e-5) & (np.abs(moved - 0.1) > 1e-5)  # of the rounding to float32
    arrived = (distance < 0.1) & (moved < 0.1)
    np.testing.assert_array_equal(recording["ends"][whole & clear], arrived[whole & clear])


def test_actions_are_the_controllers_disturbed_and_clipped():
    recording = umaze()
    assert np.abs(recording["actions"]).max() == 1.0
    # On arrival the controller drives to the cell, so that its force is known: 10 (cell - position) - velocity.
    _, last = bounds(recording)
    last = last[:-1]
    states = recording["observations"][last]
    forces = np.clip(10 * (np.rint(states[:, :2]) - states[:, :2]) - states[:, 2:], -1, 1)
    noise = np.random.default_rng(0).normal(0.0, 0.5, (200, *forces.shape))
    expected = np.clip(forces + noise, -1, 1) - forces
    measured = recording["actions"][last] - forces
    assert measured.std() == pytest.approx(expected.std(), rel=0.1)
    assert measured.mean() == pytest.approx(expected.mean(), abs=5 * expected.std() / math.sqrt(measured.size))


@pytest.mark.parametrize(
    ("name", "ends"), [("umaze-v1", [300, 601, 699]), ("open-dense-v0", [150, 301, 452, 603, 699])]
)
def test_a_segment_without_arrival_times_out_with_the_tasks_episodes(name, ends, monkeypatch):
    monkeypatch.setattr("rvdt_jax.recreate.maze2d.WaypointController.act", lambda *arguments: (0.0, 0.0, False))
    recording = collect(f"maze2d-{name}", 700, 0)
    assert np.flatnonzero(recording["ends"]).tolist() == ends  # D4RL counts from the step after


def test_segments_are_those_of_the_published_file():
    first, last = bounds(umaze())
    lengths, returns = last - first + 1, np.add.reduceat(umaze()["rewards"], first)
    assert 70 < lengths.mean() < 90
    assert 45 < lengths.std() < 65
    assert 0.055 < umaze()["rewards"].mean() < 0.105
    assert 0.62 < (returns == 0).mean() < 0.84
    assert 35 < returns.max() < 80


@pytest.mark.parametrize(
    ("steps", "seed", "words"), [(50, 0, ""), (50, 2, "-50-steps-seed-2"), (40, 0, "-40-steps-seed-0")]
)
def test_only_the_whole_recipe_with_seed_zero_has_the_tasks_own_id(steps, seed, words, monkeypatch):
    short = dataclasses.replace(get_task("maze2d-umaze-v1"), recipe_steps=50)
    monkeypatch.setattr("rvdt_jax.tasks.get_task", lambda name: short)
    dataset_id = recreate("maze2d-umaze-v1", steps=steps, seed=seed, progress=False)
    assert dataset_id == f"recreated/maze2d-umaze{words}-v1"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"task_name": "maze2d-umase-v1"}, "maze2d-umaze-v1"),
        ({"task_name": "maze2d-umaze-v1", "steps": 0}, "--steps=0"),
        ({"task_name": "maze2d-umaze-v1", "steps": 10, "seed": -1}, "--seed=-1"),
    ],
)
def test_bad_arguments_are_refused(arguments, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        recreate(**arguments, progress=False)
    assert not list(tmp_path.rglob("*.hdf5"))
