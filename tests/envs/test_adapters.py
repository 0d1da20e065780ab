"""Environments as policies see them: what is seen, what actions stand for, and what is refused in a sentence."""

import dataclasses
import json
import warnings

import gymnasium
import numpy as np
import pytest
from gymnasium.envs.registration import EnvSpec

from rvdt_jax.envs.adapters import make_env
from rvdt_jax.tasks import Environment

MAZE = "AntMaze_UMaze-v4"
BOX = gymnasium.spaces.Box


class Echo(gymnasium.Env):
    """Shows a (2, 3) picture of numbers, and counts its steps. It never ends."""

    action_space = BOX(-2.0, 2.0, (2, 2), np.float64)

    def __init__(self, observation_space=None):
        self.observation_space = observation_space or BOX(0, 255, (2, 3), np.uint8)
        self.steps = 0

    def reset(self, *, seed=None, options=None):
        return np.arange(6, dtype=np.uint8).reshape(2, 3), {"options": options}

    def step(self, action):
        self.steps += 1
        return np.zeros((2, 3), np.uint8), 1.0, False, False, {"steps": self.steps}


@pytest.fixture
def echo(monkeypatch):
    """A function from a space of ``Echo`` to an Environment of it."""

    def register(horizon: int | None = 3, keys: tuple = (), **arguments) -> Environment:
        spec = EnvSpec("test/Echo-v0", entry_point=Echo, kwargs=arguments)
        monkeypatch.setitem(gymnasium.registry, "test/Echo-v0", spec)
        return Environment("test/Echo-v0", None, horizon, keys)

    return register


@pytest.mark.parametrize(
    ("bounds", "given", "meant"),
    [
        *((((-2.0,), (2.0,)), 0.5, 1.0), (((-2.0,), (2.0,)), 3.0, 2.0), (((-1.0,), (2.0,)), 0.0, 0.5)),
        (((-8.0,), (8.0,)), 0.75, 2.0),  # clipped to what the environment takes
        *((((), ()), 0.3, 0.3), (((), ()), 1.7, 1.0)),
    ],
)
def test_actions_stand_for_what_they_stood_for_in_the_data(bounds, given, meant):
    adapted = make_env(Environment("Pendulum-v1", None, None, (), *bounds))
    plain = gymnasium.make("Pendulum-v1")
    assert adapted.action_space == BOX(-1.0, 1.0, (1,), np.float32)
    adapted.reset(seed=0)
    plain.reset(seed=0)
    after = [env.step(np.array([action], np.float32))[0] for env, action in ((adapted, given), (plain, meant))]
    np.testing.assert_array_equal(*after)


def test_arrays_of_any_shape_are_flattened_and_the_rest_is_passed_on(echo):
    env = make_env(echo())
    assert env.observation_space == BOX(-np.inf, np.inf, (6,), np.float32)
    observation, info = env.reset(seed=1, options={"a": 1})
    assert (observation.tolist(), observation.dtype) == ([0, 1, 2, 3, 4, 5], np.float32)
    assert info == {"options": {"a": 1}}
    observation, *rest = env.step(np.zeros(4))
    assert (observation.shape, observation.dtype) == ((6,), np.float32)
    assert rest == [1.0, False, False, {"steps": 1}]


def test_entries_of_dicts_are_laid_behind_each_other_in_order():
    env, plain = make_env(Environment(MAZE, observation_keys=("observation", "achieved_goal"))), gymnasium.make(MAZE)
    assert env.observation_space.shape == (29,)
    assert env.horizon == 700
    action = np.linspace(-1.0, 1.0, 8, dtype=np.float32)
    for mine, theirs in ((env.reset(seed=3), plain.reset(seed=3)), (env.step(action), plain.step(action))):
        expected = np.concatenate([theirs[0]["observation"], theirs[0]["achieved_goal"]]).astype(np.float32)
        np.testing.assert_array_equal(mine[0], expected)


@pytest.mark.parametrize(
    ("env_id", "keys", "message"),
    [
        (MAZE, (), f"config.env: {MAZE}: observations are dicts with the entries .* config.data.observation_keys"),
        (MAZE, ("goal",), f"config.env: {MAZE}: config.data.observation_keys: observations have no entry 'goal'"),
        ("Pendulum-v1", ("goal",), "config.env: Pendulum-v1: .* no entry 'goal'"),
        ("FrozenLake-v1", (), "config.env: FrozenLake-v1: observations are Discrete"),
        ("CartPole-v1", (), "actions of CartPole-v1 are Discrete"),
    ],
)
def test_spaces_that_no_policy_here_has_are_refused(env_id, keys, message):
    with pytest.raises(ValueError, match=message):
        make_env(Environment(env_id, observation_keys=keys))


def test_entries_that_are_no_boxes_are_refused_only_where_they_are_seen(echo):
    space = gymnasium.spaces.Dict({"number": gymnasium.spaces.Discrete(3), "deep": gymnasium.spaces.Dict(x=BOX(0, 1))})
    with pytest.raises(ValueError, match=r"config.env: test/Echo-v0: observations\.number are Discrete"):
        make_env(echo(observation_space=space, keys=("deep.x", "number")))
    assert make_env(echo(observation_space=space, keys=("deep.x",))).observation_space.shape == (1,)


@pytest.mark.parametrize(
    ("env_id", "reason", "remedy"),
    [
        ("Hoper-v4", "Did you mean: `Hopper`", "module:id"),
        ("Hopper-v99", "v99", "module:id"),
        ("", "Malformed", "module:id"),
        ("Hopper-v1", "deprecated", "module:id"),
        ("no_such_module:Hopper-v4", "ModuleNotFoundError: No module named 'no_such_module'", "Install what it needs"),
        ("a:b:c", "ValueError", "Name another"),
    ],
)
def test_an_environment_that_is_not_there_is_named_with_a_remedy(env_id, reason, remedy):
    with pytest.raises(ValueError, match=rf"^config\.env: no environment '{env_id}' can be made \(") as error:
        make_env(Environment(env_id))
    assert all(words in str(error.value) for words in (reason, remedy, "config.env=none"))
    assert "\n" not in str(error.value)


def test_an_episode_must_end_some_time(echo):
    with pytest.raises(ValueError, match=r"test/Echo-v0 has no time limit.*config\.eval\.horizon"):
        make_env(echo(horizon=None))
    env = make_env(echo(horizon=2))
    env.reset()
    assert env.horizon == 2
    assert [env.step(np.zeros(4))[3] for _ in range(2)] == [False, True]


def old_spec(**changes) -> str:
    """A spec as Gymnasium 0.29 wrote it; Minari's data sets hold such."""
    spec = json.loads(gymnasium.spec("Hopper-v4").to_json())
    spec |= {"order_enforce": True, "autoreset": False, "apply_api_compatibility": False}
    return json.dumps(spec | changes)


def test_a_spec_is_made_as_it_is_written_whatever_version_wrote_it():
    spec = old_spec(max_episode_steps=7, kwargs={"exclude_current_positions_from_observation": False})
    env = make_env(Environment("Hopper-v4", spec=spec))
    assert (env.observation_space.shape, env.horizon) == ((12,), 7)
    assert make_env(Environment("Hopper-v4", spec=spec, horizon=3)).horizon == 3


@pytest.mark.parametrize("spec", ["{}", "no json", "[]", old_spec(entry_point="nowhere:Env")])
def test_a_spec_that_makes_nothing_is_refused(spec):
    with pytest.raises(ValueError, match="no environment 'Hopper-v4' can be made"):
        make_env(Environment("Hopper-v4", spec=spec))


def test_only_the_advice_to_take_a_newer_version_is_silenced():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        make_env(Environment("HalfCheetah-v4")).close()
    with pytest.warns(UserWarning, match="Using the latest versioned environment"):
        make_env(Environment("Hopper")).close()


def test_actions_on_another_scale_or_of_another_number_are_warned_of_or_refused():
    with pytest.warns(UserWarning, match=r"actions of Pendulum-v1 are bounded by low=\[-2\.\], those of the data by"):
        make_env(Environment("Pendulum-v1"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        make_env(Environment("Pendulum-v1", action_low=(-2.0,), action_high=(2.0,)))
    with pytest.raises(ValueError, match="actions of Pendulum-v1 have 1 numbers, but those of the data have 2"):
        make_env(Environment("Pendulum-v1", action_low=(-1.0, -1.0), action_high=(1.0, 1.0)))


def test_what_was_taken_off_the_data_is_taken_off_here(echo):
    environment = dataclasses.replace(echo(), observation_offset=(0.0, 2.0**-30, 0.0, 3.0, 0.0, 1e9))
    np.testing.assert_array_equal(make_env(environment).reset()[0], np.float32([0, 1 - 2.0**-30, 2, 0, 4, 5 - 1e9]))
