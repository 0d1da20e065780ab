"""Collecting whole episodes from copies in worker processes."""

import functools

import gymnasium
import numpy as np
import pytest

from rvdt_jax.envs import processes
from rvdt_jax.recreate import rollouts
from rvdt_jax.recreate.rollouts import collect
from rvdt_jax.tasks import Environment

HOPPER = Environment("Hopper-v4", horizon=30)


def draw_actions(first, seed=0):
    """A policy of uniform actions."""
    rng = np.random.default_rng(seed)
    return lambda observations: rng.uniform(-1, 1, (len(observations), 3)).astype(np.float32)


def run(steps=700, begin=draw_actions, progress=lambda done: None):
    return list(collect(HOPPER, begin, steps, np.random.default_rng(3), progress))


@functools.cache
def episodes():
    return run()


def test_there_are_as_many_steps_as_asked_for_in_whole_episodes():
    lengths = [len(episode["rewards"]) for episode in episodes()]
    assert sum(lengths) == 700
    for episode, length in zip(episodes(), lengths, strict=True):
        shapes = {field: values.shape for field, values in episode.items()}
        rows = dict.fromkeys(("rewards", "terminations", "truncations"), (length,))
        assert shapes == {"observations": (length + 1, 11), "actions": (length, 3)} | rows
        ended = episode["terminations"] | episode["truncations"]
        assert ended.tolist() == [False] * (length - 1) + [True]
    for episode in episodes()[:-1]:  # Hopper falls, or its time is up
        assert episode["terminations"][-1] or len(episode["rewards"]) == 30


def test_an_episode_is_what_its_environment_gives_for_its_actions():
    seeds = np.random.default_rng(3).integers(2**31, size=24).tolist()  # 700 steps, 30 at most in an episode
    env = gymnasium.make("Hopper-v4")
    for episode, seed in list(zip(episodes(), seeds, strict=False))[:5]:
        observation, _ = env.reset(seed=seed)
        for step, action in enumerate(episode["actions"]):
            np.testing.assert_array_equal(episode["observations"][step], observation.astype(np.float32))
            observation, reward, terminated, *_ = env.step(action)
            assert episode["rewards"][step] == np.float32(reward)
            assert episode["terminations"][step] == terminated
        np.testing.assert_array_equal(episode["observations"][-1], observation.astype(np.float32))


@pytest.mark.slow
@pytest.mark.parametrize("count", [1, 3])
def test_what_is_collected_does_not_depend_on_the_number_of_processes(count, monkeypatch):
    monkeypatch.setattr(processes, "_cpu_count", lambda: count)
    for one, other in zip(run(), episodes(), strict=True):
        for field, values in one.items():
            np.testing.assert_array_equal(values, other[field])


def test_more_steps_than_the_copies_take_at_once_begin_new_episodes(monkeypatch):
    monkeypatch.setattr(rollouts, "COPIES", 4)
    begun, seen = [], []

    def begin(first):
        begun.append(first)
        return draw_actions(first, seed=len(begun))

    found = run(300, begin, progress=seen.append)
    assert len(begun) > 1
    assert sum(len(episode["rewards"]) for episode in found) == sum(seen) == 300
    assert len({tuple(episode["observations"][0]) for episode in found}) == len(found)


def test_an_environment_that_fails_ends_the_collection(monkeypatch):
    monkeypatch.setattr(processes.ProcessVectorEnv, "outcomes", lambda envs: {"failed": [None, "ValueError: no"]})
    with pytest.raises(ValueError, match=r"ValueError: no\. Nothing was written"):
        run(10)
