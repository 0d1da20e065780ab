"""Rollouts against environments and policies simple enough to say what must come out."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rvdt_jax.acting.selection import Actor, choose_actions, spread_actions, spread_returns
from rvdt_jax.evaluation.rollout import rollout
from rvdt_jax.types import Normalizer, PolicyOutput

K = 3
IDENTITY = Normalizer(mean=jnp.zeros(2), std=jnp.ones(2))


class CountingEnv:
    """Observes (copy, steps done); the reward is 1; copy k terminates after its own number of steps."""

    observation_size, action_size = 2, 1

    def __init__(self, lengths, horizon=6):
        self.num_envs, self.horizon, self._lengths = len(lengths), horizon, np.asarray(lengths)

    def reset(self, seeds):
        self.seeds, self._done, self.actions = list(seeds), 0, []
        return self._observations()

    def step(self, actions):
        self.actions.append(np.array(actions))
        self._done += 1
        truncated = np.full(self.num_envs, self._done >= self.horizon)
        return self._observations(), np.ones(self.num_envs), self._lengths == self._done, truncated

    def outcomes(self):
        return {"tasks": [["done"] * int(length) for length in self._lengths]}

    def _observations(self):
        return np.stack([np.arange(self.num_envs), np.full(self.num_envs, self._done)], axis=1).astype(np.float32)


@dataclasses.dataclass(frozen=True)
class EchoPolicy:
    """Acts with one of its inputs, so that a test sees what a policy is shown."""

    field: str
    observation_size: int = 2
    action_size: int = 1
    condition_on_return: bool = True

    def apply(self, params, observations, actions, returns_to_go, timesteps, step):
        shown = {
            "returns_to_go": returns_to_go,
            "timesteps": timesteps / 100,
            "observation": observations[..., 1] / 100,
            # The action of the step before, plus .1: it counts.
            "previous_action": jnp.pad(actions[:, :-1, 0], ((0, 0), (1, 0))) + 0.1,
            # The sum of all that stands in the window before now: what was rolled out is gone.
            "past": (jnp.cumsum(observations[..., 1], axis=1) - observations[..., 1]) / 100,
        }[self.field]
        asked = jnp.take_along_axis(shown, step[:, None], axis=1)
        mean = asked[..., None] + params["params"]["bias"]
        return PolicyOutput(mean=mean, log_std=jnp.full_like(mean, -20.0), next_observations=None)


WIDE = (-1e9, 1e9)  # every return-to-go has been seen


def play(field, env, targets=(0.5,), seeds=1, selection="mean", critic=None, bias=None, seen=WIDE, **more):
    """Of ``env``, or of a ``CountingEnv`` of these lengths."""
    env = env if isinstance(env, CountingEnv) else CountingEnv(env)
    together = selection == "critic"
    sets = np.asarray([targets] if together else [[target] for target in targets], float)
    episodes = env.num_envs // (seeds * len(sets))
    params = {"policy": {"bias": jnp.zeros(seeds) if bias is None else jnp.asarray(bias)}}
    params["critic"] = {"unused": jnp.zeros(seeds)}
    result = rollout(
        env,
        Actor(EchoPolicy(field), critic, K, selection, **more),
        params,
        IDENTITY,
        target_sets=sets,
        return_scale=10.0,
        return_range=seen,
        env_seeds=np.arange(seeds * episodes).reshape(seeds, episodes),
        keys=jax.random.split(jax.random.key(0), seeds),
    )
    return env, result


SEEN = {  # at each of six steps
    "returns_to_go": (7.0 - np.arange(6)) / 10,  # the target is lowered by each reward
    "timesteps": np.arange(6) / 100,  # the window slides
    "observation": np.arange(6) / 100,
    "past": [sum(range(max(0, t - K + 1), t)) / 100 for t in range(6)],  # it remembers the last steps, nothing older
    "previous_action": 0.1 * np.arange(1, 7),  # past actions are those that were taken
}


@pytest.mark.parametrize("field", SEEN)
def test_what_a_policy_is_shown(field):
    env, _ = play(field, [9], targets=(7.0,))
    np.testing.assert_allclose(np.array(env.actions)[:, 0, 0], SEEN[field], rtol=1e-5, atol=1e-7)


def test_an_episode_counts_until_it_ends():
    _, result = play("timesteps", [2, 4, 99, 1])
    assert result.returns.tolist() == result.lengths.tolist() == [[[2, 4, 6, 1]]]
    assert [len(tasks) for tasks in result.outcomes["tasks"][0, 0]] == [2, 4, 99, 1]
    assert len(play("timesteps", [2, 3])[0].actions) == 3  # until every episode has ended


def test_seeds_targets_and_episodes_keep_their_places():
    # 2 seeds x 3 targets x 2 episodes; the environment of each ends after its own number of steps.
    lengths = np.array([1, 2, 3, 4, 5, 6, 6, 5, 4, 3, 2, 1])
    env, result = play("returns_to_go", lengths, targets=(1.0, 2.0, 3.0), seeds=2, bias=[0.0, 0.5])
    np.testing.assert_array_equal(result.returns, lengths.reshape(2, 3, 2))
    first = env.actions[0].reshape(2, 3, 2)
    targets = np.array([0.1, 0.2, 0.3])[None, :, None]
    np.testing.assert_allclose(first, targets + np.array([0.0, 0.5])[:, None, None] + np.zeros((2, 3, 2)), rtol=1e-6)
    # The same starts serve every target.
    np.testing.assert_array_equal(np.reshape(env.seeds, (2, 3, 2)), [[[0, 1]] * 3, [[2, 3]] * 3])


@dataclasses.dataclass(frozen=True)
class LikesActionsNear:
    """Two critics that value actions near ``best``; the pessimistic one decides."""

    best: float
    sharpness: float = 1e6

    def apply(self, params, observations, actions):
        distance = jnp.square(actions[..., 0] - self.best)
        return jnp.stack([-self.sharpness * distance, 0.0 * distance])


NONE_SEEN = (-np.inf, -np.inf)  # so that the candidate that never falls is the largest target


def test_the_critic_draws_by_softmax():
    # Values of the targets at the first step: -4 log(3) (.5)^2 = -log 3 and 0; the second occurs twice, as the one that
    # never falls, so they are drawn 1 : 6.
    critic = LikesActionsNear(0.8, sharpness=4 * np.log(3.0))
    env, _ = play("returns_to_go", [9] * 4000, (3.0, 8.0), selection="critic", critic=critic, seen=NONE_SEEN)
    share = (np.abs(env.actions[0][:, 0] - 0.8) < 0.01).mean()
    assert abs(share - 6 / 7) < 5 * np.sqrt(6 / 49 / env.num_envs)


# A target above the data's largest return falls to that, and no further.
@pytest.mark.parametrize(("largest", "best", "acted"), [(5.0, 0.9, [0.9] * 6), (11.0, 1.1, [1.1, 1.0, *[0.9] * 4])])
def test_one_candidate_of_the_critic_never_falls_below_the_largest_return_of_the_data(largest, best, acted):
    how = {"selection": "critic", "critic": LikesActionsNear(best), "seen": (0.0, 9.0)}
    env, _ = play("returns_to_go", [9], targets=(2.0, largest), **how)
    np.testing.assert_allclose(np.array(env.actions)[:, 0, 0], acted, rtol=1e-6)


def test_the_critics_candidates_are_every_conditioning_and_equally_many_with_noise_on_their_last_return():
    base = jnp.arange(24.0).reshape(2, 3, 4)  # 2 conditionings, 3 episodes, 4 steps, of which the third is the last
    spread = spread_returns(base, jnp.int32(2), 5, jax.random.key(0))
    assert spread.shape == (6, 3, 4)  # 5 do not divide by 2
    moved = np.asarray(spread - jnp.tile(base, (3, 1, 1)))
    np.testing.assert_array_equal(moved[:2], 0.0)
    np.testing.assert_array_equal(moved[..., [0, 1, 3]], 0.0)
    many = spread_returns(jnp.zeros((1, 1, 4)), jnp.int32(2), 40_001, jax.random.key(1))[1:, 0, 2]
    assert (float(many.std()), float(many.mean())) == pytest.approx((0.1, 0.0), abs=0.002)


def test_best_of_takes_the_candidate_that_the_pessimistic_critic_likes_best():
    arguments = {"targets": (4.0,), "selection": "best_of", "critic": LikesActionsNear(0.45), "std": 0.1}
    env, _ = play("returns_to_go", [9] * 50, **arguments, candidates=200)
    np.testing.assert_allclose(env.actions[0], 0.45, atol=0.02)  # the mean is .4
    env, _ = play("returns_to_go", [9] * 50, **arguments, candidates=1)
    np.testing.assert_allclose(env.actions[0], 0.4, rtol=1e-6)
    # Its candidates are the mean itself, and draws within the bounds.
    drawn = spread_actions(jnp.full((1, 1), 0.95), 1000, 0.5, jax.random.key(0))
    assert (drawn[0, 0, 0], drawn.max()) == (np.float32(0.95), 1.0)
    assert drawn.min() >= -1.0


def test_the_steps_that_ask_for_what_the_data_do_not_hold_are_counted():
    # From 3 down by 1 a step: 3 is above what the data hold, and -1 and -2 are below.
    _, result = play("returns_to_go", [9, 2], targets=(3.0,), seen=(0.0, 2.5))
    np.testing.assert_array_equal(result.outside[0, 0], [3, 1])


def test_a_policy_that_diverged_gets_no_score():
    with pytest.raises(ValueError, match="time step 0 are not finite: training has diverged"):
        play("timesteps", [9], bias=[np.nan])


def test_new_parameters_compile_nothing():
    choose_actions.clear_cache()
    for bias in (0.0, 0.1, 0.2):
        play("timesteps", [9, 9], bias=[bias])
    assert choose_actions._cache_size() == 1


class BrokenEnv(CountingEnv):
    """Copy 1 gives, at one step, a number that is not finite."""

    def __init__(self, what, lengths, at=2):
        super().__init__(lengths)
        self._what, self._at = what, at

    def _observations(self):
        observations = super()._observations()
        observations[1, 0] = np.nan if (self._what, self._at) == ("observation", self._done) else 1
        return observations

    def step(self, actions):
        observations, rewards, *ends = super().step(actions)
        rewards[1] = np.inf if (self._what, self._at) == ("reward", self._done) else 1
        return observations, rewards, *ends


@pytest.mark.parametrize(("what", "at"), [("observation", 2), ("reward", 2), ("observation", 0)])
def test_an_episode_with_a_number_that_is_not_finite_has_failed_alone(what, at):
    env = BrokenEnv(what, [4, 4, 5], at)
    _, result = play("past", env)
    np.testing.assert_array_equal(result.returns[0, 0], [4.0, np.nan, 5.0])
    np.testing.assert_array_equal(result.lengths[0, 0], [4, at, 5])
    assert result.outcomes["failed"][0, 0].tolist() == [None, "an observation or a reward was not finite", None]
    assert np.isfinite(env.actions).all()
    _, result = play("past", BrokenEnv(what, [4, max(1, at - 1), 5], max(2, at)))  # behind its end
    assert "failed" not in result.outcomes
