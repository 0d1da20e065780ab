"""Problems with a known optimum, where conditioning on a high return misleads and a critic does not.

A plain Decision Transformer must fail on both and RVDT solve both: the reason for this package, as a test.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rvdt_jax.data.coverage import group_states, measure_coverage
from rvdt_jax.data.episodes import Episodes, check_episodes
from rvdt_jax.data.rebalance import select_experts
from rvdt_jax.data.store import make_normalizer, make_store
from rvdt_jax.evaluation.rollout import rollout
from rvdt_jax.models.acting import Actor
from rvdt_jax.train.build import make_coefficients, make_spec
from rvdt_jax.train.driver import init_states, train_chunk
from rvdt_jax.types import Normalizer

SEEDS = (0, 1, 2)  # all of them must agree
SETTINGS = {
    "train__batch_size": 64,
    "train__learning_rate": 3e-3,
    "train__grad_clip_norm": 10.0,
    "model__width": 16,
    "model__dropout": 0.0,
    "model__critic_width": 32,
    "model__critic_layers": 2,
    "loss__target_rate": 0.05,
    "ema__every": 1,
    "ema__decay": 0.95,
    "ema__start": 0,
}


class Bandit:
    """One step: the right pays steadily, .5 + .8 a; the left now and then adds 3, in (1 - a) of ten cases.

    The mean, .8 + .5 a, is best on the right; the highest returns come from the left.
    """

    observation_size, action_size, horizon = 1, 1, 1

    def __init__(self, num_envs):
        self.num_envs = num_envs

    def reset(self, seeds):
        self._rng = np.random.default_rng(seeds[0])
        return np.zeros((self.num_envs, 1), np.float32)

    def outcomes(self):
        return {}

    def step(self, actions):
        self.actions = actions[:, 0]
        rewards = bandit_rewards(self.actions, self._rng)
        ended = np.ones(self.num_envs, bool)
        return np.zeros((self.num_envs, 1), np.float32), rewards, ended, ~ended


def bandit_rewards(actions, rng):
    return 0.5 + 0.8 * actions + 3.0 * (rng.random(actions.shape) < 0.1 * (1.0 - actions))


def bandit_data(count=8000):
    rng = np.random.default_rng(0)
    actions = rng.uniform(-0.9, 0.9, count)
    return check_episodes(
        Episodes(
            name="bandit",
            observations=np.zeros((count, 1), np.float32),
            actions=actions[:, None].astype(np.float32),
            rewards=bandit_rewards(actions, rng).astype(np.float32),
            lengths=np.ones(count, np.int64),
            terminated=np.ones(count, bool),
        )
    )


class Corridor:
    """From -.8 to .9 in steps of at most .2, within 20 steps; arriving pays 1 and ends the episode."""

    observation_size, action_size, horizon = 1, 1, 20

    def __init__(self, num_envs):
        self.num_envs = num_envs

    def reset(self, seeds):
        self._positions, self._done = np.full(self.num_envs, -0.8), 0
        return self._positions[:, None].astype(np.float32)

    def outcomes(self):
        return {}

    def step(self, actions):
        self._positions, rewards = corridor_step(self._positions, actions[:, 0])
        self._done += 1
        truncated = np.full(self.num_envs, self._done >= self.horizon)
        return self._positions[:, None].astype(np.float32), rewards, rewards > 0, truncated


def corridor_step(positions, actions):
    positions = np.clip(positions + 0.2 * np.clip(actions, -1, 1), -1, 1)
    return positions, (positions >= 0.9).astype(float)


def corridor_data(count=600, length=10):
    """Two kinds of episodes, and none that goes all the way: the start drifts left, the goal is reached from 0 on.

    Those that begin on the left mostly go left and never arrive; those that begin at 0 go either way.
    """
    rng = np.random.default_rng(0)
    parts = []
    for episode in range(count):
        left = episode % 2 == 0
        position = np.array([rng.uniform(-0.9, -0.3) if left else rng.uniform(-0.2, 0.2)])
        drift = -0.3 if left or rng.random() < 0.5 else 0.6
        observations, actions, rewards = [], [], []
        for _ in range(length):
            action = np.clip(drift + 0.5 * rng.standard_normal(1), -0.95, 0.95)
            observations.append(position)
            position, reward = corridor_step(position, action)
            actions.append(action)
            rewards.append(reward[0])
            if reward[0]:
                break
        parts.append((np.array(observations), np.array(actions), np.array(rewards)))
    observations, actions, rewards = (np.concatenate(column).astype(np.float32) for column in zip(*parts, strict=True))
    return check_episodes(
        Episodes(
            name="corridor",
            observations=observations,
            actions=actions,
            rewards=rewards,
            lengths=np.array([len(part[2]) for part in parts]),
            terminated=np.array([part[2][-1] > 0 for part in parts]),
        )
    )


def solve(small_config, variant, episodes, env, target, updates, **options):
    """Trains one variant and plays one episode a seed at ``target``; the environment, and the (R,) raw returns."""
    config = small_config(variant=variant, **SETTINGS | options)
    spec, coefficients = make_spec(config, 1, 1, 20), make_coefficients(config)
    experts = select_experts(episodes.returns, episodes.lengths)
    normalizer: Normalizer = make_normalizer(episodes)
    store = make_store(episodes, experts, normalizer, return_scale=1.0)
    states = init_states(jnp.asarray(SEEDS), spec=spec)
    states, _ = train_chunk(states, store, coefficients, spec=spec, updates=updates, map_seeds="loop")
    result = rollout(
        env,
        Actor(spec.policy, spec.critic, spec.context_length, "mean"),
        {"policy": states.policy, "critic": states.critic},
        normalizer,
        target_sets=np.array([[target]]),
        return_scale=1.0,
        env_seeds=np.zeros((len(SEEDS), 1), int),
        keys=jax.random.split(jax.random.key(0), len(SEEDS)),
    )
    return env, result.returns[:, 0, 0]


@pytest.fixture(scope="module")
def bandit():
    return bandit_data()


@pytest.fixture(scope="module")
def corridor():
    return corridor_data()


@pytest.mark.parametrize(
    ("variant", "options", "solves"), [("DT", {}, False), ("RDT", {}, False), ("RVDT", {"loss__eta": 10.0}, True)]
)
def test_luck_is_not_skill(variant, options, solves, small_config, bandit):
    # Returns of 3 come from the left for the most part: that is where conditioning on 3 leads.
    env, _ = solve(small_config, variant, bandit, Bandit(len(SEEDS)), 3.0, 1500, model__context_length=2, **options)
    assert (env.actions > 0.5).all() if solves else (env.actions < 0.0).all()


@pytest.mark.parametrize(("variant", "options", "solves"), [("DT", {}, False), ("RVDT", {"loss__eta": 10.0}, True)])
def test_stitching(variant, options, solves, small_config, corridor):
    # No episode leads from the start to the goal, and none from the start earned anything.
    starts = corridor.observations[corridor.starts, 0]
    assert corridor.returns[starts < -0.25].max() == 0
    _, returns = solve(
        small_config, variant, corridor, Corridor(len(SEEDS)), 1.0, 1500, model__context_length=4, **options
    )
    assert (returns == 1.0).all() if solves else (returns == 0.0).all()


def test_the_coverage_of_the_corridor_shows_why(corridor):
    """Where the episodes of evaluation begin, no trajectory shows the return that will be asked for."""
    experts = select_experts(corridor.returns, corridor.lengths)
    for alpha in (1.0, 100.0):  # and rebalancing raises what is there, not what is not
        measured = measure_coverage(corridor, experts, target=1.0, alpha=alpha, groups=6)
        starts = corridor.observations[corridor.starts]
        labels = group_states(starts, 6, seed=0)
        there = labels[np.abs(starts[:, 0] + 0.8).argmin()]
        asked = measured["asked_bin"]
        assert measured["after"]["by_group"][there][asked] == 0.0
        assert measured["after"]["by_group_high"][there][asked] < 0.1
        assert measured["after"]["histogram"][asked] > measured["before"]["histogram"][asked] > 0.1
