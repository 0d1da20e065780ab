"""The evaluator: every seed, target and episode of a run, in one piece or in waves."""

import dataclasses

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import rvdt_jax.envs  # noqa: F401  registers the environments
from rvdt_jax.acting.episodes import EVALUATION_STREAM, action_keys
from rvdt_jax.acting.selection import Actor
from rvdt_jax.algorithms.base import init_policy
from rvdt_jax.envs.processes import ProcessVectorEnv, WorkerDied
from rvdt_jax.envs.vector import BatchMaze2d
from rvdt_jax.evaluation.evaluator import Evaluator
from rvdt_jax.models.critic import TwinCritic
from rvdt_jax.models.policy import TransformerPolicy
from rvdt_jax.report.records import summarise
from rvdt_jax.tasks import Environment
from rvdt_jax.types import Normalizer


@pytest.fixture
def trained():
    """Random parameters of three seeds of a real policy."""
    policy = TransformerPolicy(4, 2, max_timestep=50, width=16, layers=1, heads=2)
    params = jax.vmap(lambda key: init_policy(key, policy))(jax.random.split(jax.random.key(0), 3))
    params = jax.tree.map(lambda leaf: 5.0 * leaf, params)
    return Actor(policy, TwinCritic(), 4, "mean"), params


SEEDS, WIDE = (0, 1, 2), (-1e9, 1e9)
UMAZE = Environment("rvdt/maze2d-umaze-dense-v1", horizon=300)


def make_evaluator(environment, actor, seeds, **more):
    normalizer = Normalizer(mean=jnp.zeros(4), std=jnp.ones(4))
    return Evaluator(environment, actor, normalizer, seeds=seeds, return_scale=10.0, return_range=WIDE, **more)


def evaluate(trained, seeds, targets=(100.0, 20.0), rows=slice(None), episodes=2, step=0, environment=UMAZE, **more):
    actor, params = trained
    evaluator = make_evaluator(environment, actor, seeds, targets=targets, **more)
    params = {"policy": jax.tree.map(lambda leaf: leaf[rows], params), "critic": None}
    try:
        return evaluator(params, step=step, episodes=episodes)
    finally:
        evaluator.close()


# The same maze stepped by processes, of which only so many fit at once: a spec keeps it from the light way.
IN_PROCESSES = Environment(UMAZE.id, spec=gymnasium.spec(UMAZE.id).to_json(), horizon=40)


@pytest.mark.slow
@pytest.mark.parametrize("parallel_episodes", [1, 18, 30])  # at least one episode of each seed and target
def test_waves_of_any_size_play_the_same_episodes(trained, parallel_episodes):
    whole = evaluate(trained, SEEDS, episodes=5, environment=dataclasses.replace(UMAZE, horizon=40))
    settings = {"environment": IN_PROCESSES, "processes": 2, "parallel_episodes": parallel_episodes}
    waves = evaluate(trained, SEEDS, episodes=5, **settings)
    for left, right in zip(whole, waves, strict=True):
        assert (left["seed"], left["target"], left["lengths"]) == (right["seed"], right["target"], right["lengths"])
        np.testing.assert_allclose(left["returns"], right["returns"], rtol=1e-3)
        assert len(right["success"]) == 5


def test_sampled_actions_differ_from_wave_to_wave(trained):
    """Two waves that start alike: only the actions' keys tell them apart."""
    actor, params = trained
    environment, actor = dataclasses.replace(IN_PROCESSES, horizon=5), dataclasses.replace(actor, selection="sample")
    evaluator = make_evaluator(environment, actor, SEEDS, targets=(20.0,), processes=1)
    starts, keys = np.full((3, 1), 7), action_keys(SEEDS, EVALUATION_STREAM, 0)
    first, again, second = (
        evaluator._play({"policy": params, "critic": None}, starts, keys, number).returns for number in (0, 0, 1)
    )
    evaluator.close()
    assert np.array_equal(first, again)
    assert (first != second).all()


def test_many_seeds_at_once_equal_each_alone_and_start_elsewhere(trained):
    together = evaluate(trained, SEEDS)
    assert [(record["seed"], record["target"]) for record in together] == [(s, t) for s in range(3) for t in (100, 20)]
    for seed in range(3):
        alone = evaluate(trained, (seed,), rows=slice(seed, seed + 1))
        shared = [record for record in together if record["seed"] == seed]
        for left, right in zip(alone, shared, strict=True):
            np.testing.assert_allclose(left["returns"], right["returns"], rtol=1e-3)
    later = evaluate(trained, SEEDS, step=50)  # starts do not change with the step
    assert [(record["step"], record["returns"]) for record in later] == [(50, each["returns"]) for each in together]
    same = jax.tree.map(lambda leaf: jnp.stack([leaf[0]] * 3), trained[1])
    assert len({tuple(record["returns"]) for record in evaluate((trained[0], same), SEEDS, targets=(20.0,))}) == 3


def test_a_failed_episode_is_on_record_and_has_no_return(trained, monkeypatch):
    original = BatchMaze2d.outcomes
    failed = [None] * 8
    failed[5] = "it broke"  # seed 0, the second target, the second of four episodes
    monkeypatch.setattr(BatchMaze2d, "outcomes", lambda self: original(self) | {"failed": list(failed)})
    first, second = evaluate(trained, (0,), rows=slice(1), episodes=4)
    assert "failed" not in first
    assert None not in first["returns"]
    assert second["failed"] == [None, "it broke", None, None]
    assert [value is None for value in second["returns"]] == [False, True, False, False]


@pytest.mark.slow
@pytest.mark.parametrize("deaths", [1, 2])
def test_where_a_process_dies_everything_is_played_again_once(deaths, trained, monkeypatch, caplog):
    settings = {"episodes": 3, "environment": IN_PROCESSES, "processes": 2, "parallel_episodes": 12}
    whole = evaluate(trained, SEEDS, **settings)
    original, steps = ProcessVectorEnv.step, []

    def dying(self, actions):
        steps.append(self)
        if len(steps) == 50 or (deaths == 2 and len(steps) == 60):  # in the second of two waves, and after the restart
            self._workers[1].process.kill()
            self._workers[1].process.wait()
        return original(self, actions)

    monkeypatch.setattr(ProcessVectorEnv, "step", dying)
    if deaths == 1:
        assert evaluate(trained, SEEDS, **settings) == whole
    else:
        with pytest.raises(WorkerDied, match="was killed"):
            evaluate(trained, SEEDS, **settings)
    assert "Starting the simulators anew" in caplog.text


def test_what_some_waves_report_is_blank_in_the_others(trained, monkeypatch):
    """As where every copy of a wave has failed before it could say anything."""
    original, waves = ProcessVectorEnv.outcomes, []

    def outcomes(self):
        waves.append(self)
        return {"failed": ["it broke"] * self.num_envs} if len(waves) == 2 else original(self)

    monkeypatch.setattr(ProcessVectorEnv, "outcomes", outcomes)
    settings = {"environment": IN_PROCESSES, "processes": 1, "parallel_episodes": 1, "targets": (20.0,)}
    records = evaluate(trained, SEEDS, **settings)
    assert len(waves) == 2
    for record in records:
        assert record["success"][1] is False
        assert record["failed"] == [None, "it broke"]
    (entry,) = summarise([record | {"final": True} for record in records], 0.0, 10.0)["final"].values()
    assert entry["aggregate"]["failed_episodes"] == 3
    assert entry["aggregate"]["success_rate"] is None
