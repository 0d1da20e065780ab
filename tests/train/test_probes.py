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
from rvdt_jax.envs.toys import TARGETS, bandit_rewards, bandit_trajectories, corridor_step, corridor_trajectories
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
    """All seeds side by side, as ``rollout`` wants them."""

    observation_size, action_size, horizon = 1, 1, 2

    def __init__(self, num_envs):
        self.num_envs = num_envs

    def reset(self, seeds):
        self._rng, self.thrown = np.random.default_rng(seeds[0]), None
        return np.zeros((self.num_envs, 1), np.float32)

    def outcomes(self):
        return {}

    def step(self, actions):
        ended = np.full(self.num_envs, self.thrown is not None)
        if self.thrown is None:
            self.thrown, rewards = actions[:, 0], bandit_rewards(actions[:, 0], self._rng)
        else:
            rewards = np.zeros(self.num_envs)
        return np.ones((self.num_envs, 1), np.float32), rewards, ended, np.zeros_like(ended)


class Corridor:
    """All seeds side by side, as ``rollout`` wants them."""

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
    return check_episodes(Episodes(name="bandit", **bandit_trajectories()))


@pytest.fixture(scope="module")
def corridor():
    return check_episodes(Episodes(name="corridor", **corridor_trajectories()))


@pytest.mark.parametrize(
    ("variant", "options", "solves"), [("DT", {}, False), ("RDT", {}, False), ("RVDT", {"loss__eta": 10.0}, True)]
)
def test_luck_is_not_skill(variant, options, solves, small_config, bandit):
    # Returns of 3 come from the left for the most part: that is where conditioning on 3 leads.
    env, _ = solve(
        small_config, variant, bandit, Bandit(len(SEEDS)), TARGETS["bandit"], 1500, model__context_length=2, **options
    )
    assert (env.thrown > 0.5).all() if solves else (env.thrown < 0.0).all()


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


def test_the_coverage_of_the_bandit_shows_that_it_is_not_what_is_missing(bandit):
    """What will be asked for is common enough, from the only state there is: luck, not coverage, misleads here."""
    measured = measure_coverage(
        bandit, select_experts(bandit.returns, bandit.lengths), target=TARGETS["bandit"], alpha=1.0, bins=6
    )
    asked = measured["asked_bin"]
    assert measured["group_sizes"] == [8000]
    assert measured["before"]["by_group_low"][0][asked] > 0.05
