"""The locomotion recipes: the policies that are shipped, what they collect, and replay buffers as data sets."""

import json

import gymnasium
import minari
import numpy as np
import pytest

from rvdt_jax.data.source import load_local
from rvdt_jax.recreate import recreate
from rvdt_jax.recreate.locomotion import REPLAY, locomotion_recipe, shipped_collector
from rvdt_jax.tasks import get_task

ROBOTS = {"hopper": (11, 3), "walker2d": (17, 6), "halfcheetah": (17, 6)}
SHIPPED = [f"{robot}-{quality}" for robot in ROBOTS for quality in ("medium", "best")] + ["ant-goal"]


# --- the policies ---


@pytest.mark.parametrize("name", [name for name in SHIPPED if name != "ant-goal"])
def test_a_shipped_policy_does_what_it_says(name):
    collector, returns = shipped_collector(name), []
    env = gymnasium.make(get_task(f"{name.split('-')[0]}-medium-v2").source("recipe").env_id)
    for seed in range(3):
        observation, _ = env.reset(seed=seed)
        total, ended = 0.0, False
        while not ended:
            observation, reward, terminated, truncated, _ = env.step(collector.act(observation))
            total, ended = total + reward, terminated or truncated
        returns.append(total)
    assert np.mean(returns) == pytest.approx(collector.about["mean_return_over_100_episodes"]["mean_action"], rel=0.4)


# --- collecting ---


def collected(name, steps, seed=0):
    return list(locomotion_recipe(get_task(name), steps, seed).collect(lambda done: None))


@pytest.mark.slow
def test_the_medium_half_of_medium_expert_is_as_medium():
    medium, both = collected("hopper-medium-v2", 300), collected("hopper-medium-expert-v2", 600)
    for one, other in zip(medium, both, strict=False):
        np.testing.assert_array_equal(one["observations"], other["observations"])
        np.testing.assert_array_equal(one["actions"], other["actions"])
    assert sum(len(episode["rewards"]) for episode in both) == 600
    other = collected("hopper-medium-v2", 300, seed=1)
    assert (other[0]["observations"][0] != medium[0]["observations"][0]).any()


def test_a_collection_says_what_it_is():
    dataset_id = recreate("walker2d-medium-expert-v2", steps=50, progress=False)
    assert dataset_id == "recreated/walker2d-medium-expert-50-steps-seed-0-v2"
    episodes, provenance = load_local(dataset_id)
    assert episodes.rewards.size == 50
    assert provenance["recreated"] is True
    metadata = minari.load_dataset(dataset_id).storage.metadata
    assert "not one of D4RL's files" in metadata["description"]
    assert "SAC" in metadata["algorithm_name"]


# --- replay buffers ---


def buffer(path, robot="hopper", seed=0, **changes):
    """Three episodes, of 2, 3 and (unfinished) 1 steps; the second one was cut by time."""
    steps = np.arange(6, dtype=np.float32)
    columns = {
        "observations": np.tile(steps[:, None], 11),
        "next_observations": np.tile(steps[:, None] + 1, 11),
        "actions": np.tile(steps[:, None] / 10, 3),
        "rewards": steps,
        "dones": np.array([0, 1, 0, 0, 1, 0], np.float32),
        "timeouts": np.array([0, 0, 0, 0, 1, 0], np.float32),
        "about": np.array(json.dumps({"robot": robot, "seed": seed, "steps": 6})),
    } | changes
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, **{name: values for name, values in columns.items() if values is not None})
    return path


def test_a_buffer_becomes_a_data_set_of_the_tasks_own_id(tmp_path):
    dataset_id = recreate("hopper-medium-replay-v2", replay=str(buffer(tmp_path / "b.npz")), progress=False)
    assert dataset_id == "recreated/hopper-medium-replay-v2"
    episodes, provenance = load_local(dataset_id)
    assert episodes.lengths.tolist() == [2, 3, 1]
    assert episodes.terminated.tolist() == [True, False, False]
    assert episodes.rewards.tolist() == [0, 1, 2, 3, 4, 5]
    assert provenance["recreated"] is True


def test_where_training_went_on_after_an_interruption_an_episode_ends(tmp_path):
    after = np.tile(np.arange(1, 7, dtype=np.float32)[:, None], 11)
    after[2] = 9.0  # step 3 begins elsewhere
    path = buffer(tmp_path / "b.npz", next_observations=after)
    episodes, _ = load_local(recreate("hopper-medium-replay-v2", replay=str(path), progress=False))
    assert episodes.lengths.tolist() == [2, 1, 2, 1]
    assert episodes.terminated.tolist() == [True, False, False, False]


def test_a_buffer_is_found_where_training_leaves_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    buffer(tmp_path / REPLAY.format(robot="hopper"), seed=4)
    assert recreate("hopper-medium-replay-v2", progress=False) == "recreated/hopper-medium-replay-6-steps-seed-4-v2"
    dataset_id = recreate("hopper-medium-replay-v2", steps=3, progress=False)
    assert dataset_id == "recreated/hopper-medium-replay-3-steps-seed-4-v2"
    assert load_local(dataset_id)[0].rewards.tolist() == [0, 1, 2]


def test_without_a_buffer_the_command_that_trains_one_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=r"train_collectors\.py --robot=walker2d --goal=medium"):
        recreate("walker2d-medium-replay-v2", progress=False)


@pytest.mark.parametrize(
    ("changes", "options", "words"),
    [
        ({"robot": "walker2d"}, {}, "belongs to the robot walker2d, not hopper"),
        ({"about": None}, {}, "holds no replay buffer"),
        ({"rewards": np.zeros(5, np.float32)}, {}, "do not belong together"),
        ({}, {"steps": 7}, "--steps=7: .* holds 6 steps"),
        ({"seed": 3}, {"seed": 2}, "--seed=2: .* seed 3"),
    ],
)
def test_what_does_not_fit_is_refused(changes, options, words, tmp_path):
    path = buffer(tmp_path / "b.npz", **changes)
    with pytest.raises(ValueError, match=words):
        recreate("hopper-medium-replay-v2", replay=str(path), progress=False, **options)
