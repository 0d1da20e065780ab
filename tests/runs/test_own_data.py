"""Data of one's own, without an entry in the table of tasks: from a Minari id to scores and a policy that acts."""

import contextlib
import dataclasses

import gymnasium
import numpy as np
import pytest
from conftest import train
from contract import collect
from launching import TINY

import rvdt_jax
from rvdt_jax.acting.saved import load_run, policy_of
from rvdt_jax.algorithms.base import get_algorithm
from rvdt_jax.config.settings import resolve, targets_of
from rvdt_jax.report.records import read_json, read_lines
from rvdt_jax.runs.fit import fit
from rvdt_jax.runs.preparation import check_fit, sizes_of

SMALL = {name: value for name, value in TINY.items() if name != "model.context_length"}
SMALL |= {"train.steps": 2, "eval.curve_episodes": 2, "eval.processes": 1, "parallel.devices": 1, "variant": "DT"}


@pytest.fixture
def small(tmp_path):
    """A function from overrides to settings of a run in ``tmp_path``."""

    def make(**overrides):
        settings = rvdt_jax.default_config()
        changes = {name.replace("__", "."): value for name, value in overrides.items()}
        settings.update_from_flattened_dict(SMALL | {"workdir": str(tmp_path / "run")} | changes)
        return settings

    return make


def test_a_data_set_without_a_task_trains_resumes_is_scored_and_acts(small):
    """12 steps an episode, torques in [-2, 2]; its own references make scores."""
    about = {"ref_min_score": -100.0, "ref_max_score": -50.0}
    returns = collect("own/pendulum-v0", "Pendulum-v1", steps=12, about=about)
    run = fit("own/pendulum-v0", small(), progress=False)
    config = read_json(run.folder / "config.json")
    assert config["task"] is None
    assert config["eval"]["targets"] == list(targets_of(np.array(returns, np.float32).astype(np.float64)))
    assert config["policy"]["return_scale"] == pytest.approx(max(map(abs, returns)), rel=1e-6)
    assert config["loss"]["reward_scale"] == pytest.approx(10 / max(map(abs, returns)), rel=1e-6)
    assert config["model"]["context_length"] == 12  # the longest episode is shorter than the usual 20
    assert run.results["environment"] == "Pendulum-v1"
    cell = run.results["final"][run.results["headline_target"]]["aggregate"]
    assert cell["episodes"] == 2
    assert -17 * 12 < cell["return"] < 0  # as registered by the data set: 12 steps of at most 16.3 each
    assert cell["normalized_score"] == pytest.approx(100 * (cell["return"] + 100) / 50)
    again = fit("own/pendulum-v0", small(), resume=True, progress=False)
    assert again.results["final"] == run.results["final"]

    saved = load_run(run.folder)  # drive the output layer to its ends: the mean is a tanh
    head = saved.params["policy"]["action_mean"]
    head.update({name: value * 1e4 for name, value in head.items()})
    policy = policy_of(saved)
    env, actions = gymnasium.make("Pendulum-v1"), []
    for seed in range(20):
        policy.reset()
        actions.append(policy.act(env.reset(seed=seed)[0]).item())
    assert max(map(abs, actions)) == pytest.approx(2.0, abs=1e-3)


def test_dict_observations_act_as_they_were_trained(small):
    collect("own/ant-v0", "rvdt/minari-antmaze-umaze-v0", steps=8)
    example = gymnasium.make("rvdt/minari-antmaze-umaze-v0").reset(seed=0)[0]
    settings = small(data__observation_keys=("observation",), eval__horizon=5, eval__action_selection="mean")
    policy = rvdt_jax.load_policy(fit("own/ant-v0", settings, progress=False).folder)
    policy.reset(1.0)
    whole = policy.act(example)
    policy.reset(1.0)
    elsewhere = policy.act(example | {"achieved_goal": example["achieved_goal"] + 3, "desired_goal": np.zeros(2)})
    assert np.array_equal(whole, elsewhere)
    policy.reset(np.array([1.0, 0.5]))
    both = policy.act({name: np.stack([value, value]) for name, value in example.items()})
    assert np.allclose(both[0], whole, atol=1e-6)
    with pytest.raises(ValueError, match=r"no entry 'observation'"):
        policy.act({"achieved_goal": np.zeros((2, 2))})


def test_a_run_goes_on_with_the_data_set_that_it_began_with(small):
    """Also where meanwhile one has come that would be preferred: D4RL's own file, imported."""
    collect("mujoco/hopper/medium-v0", "Hopper-v5")
    config = resolve(small(task="hopper-medium-v2", model__context_length=3, eval__horizon=5))
    first = train(config)
    collect("d4rl-hdf5/hopper-medium-v2", "Hopper-v4")
    again = train(config, resume=True)
    assert again.results["provenance"]["dataset_id"] == "mujoco/hopper/medium-v0"
    assert again.results["final"] == first.results["final"]


def bandit(terminated: bool) -> rvdt_jax.Episodes:
    rng = np.random.default_rng(0)
    columns = rng.normal(size=(80, 2)), rng.uniform(-1, 1, (80, 1)), rng.normal(size=80)
    return rvdt_jax.Episodes("own/bandit", *columns, np.ones(80, int), np.full(80, terminated))


def test_episodes_of_one_step_train_with_guidance_in_windows_of_one_step(small, caplog):
    how = {"variant": "RVDT", "env": "none"}
    caplog.set_level("INFO", "rvdt_jax")
    run = fit(bandit(True), small(**how), progress=False)
    assert read_json(run.folder / "config.json")["model"]["context_length"] == 1
    assert "every episode is one step" in caplog.text
    losses = [line["critic/td_loss"] for line in read_lines(run.folder / "metrics.jsonl")]
    assert all(np.isfinite(loss) and loss > 0 for loss in losses)
    for data, more, message in (
        (bandit(True), {"model__context_length": 2}, r"the longest has 1 steps\). Set it to 1"),
        (bandit(False), {}, "none is terminal: there is no value to learn. Mark the steps as terminal"),
        (long_log(), {"model__context_length": 1}, "context_length must be at least 2 with Q-guidance"),
    ):
        with pytest.raises(ValueError, match=message):
            fit(data, small(**how, **more, workdir="nowhere"), progress=False)


@pytest.mark.parametrize("variant", ["IQL", "QDT", "QT"])
@pytest.mark.parametrize(("value", "ends", "refused"), [(0, True, True), (1, False, True), (1, True, False)])
def test_rewards_that_say_nothing_are_refused_where_a_value_is_all(variant, value, ends, refused, small):
    log, config = long_log(), resolve(small(variant=variant, env="none", model__context_length=2))
    rewards, terminated = np.full_like(log.rewards, value), np.full_like(log.terminated, ends)
    data = dataclasses.replace(log, rewards=rewards, terminated=terminated)
    refusal = pytest.raises(ValueError, match=rf"own/far: every reward is {value}.*no value to learn")
    # QT still imitates; without rewards but with ends, the sooner is the better.
    with refusal if refused and variant != "QT" else contextlib.nullcontext():
        get_algorithm(config.variant).check_data(data)
        check_fit(config, data, None)


def long_log(offset: float = 0.0) -> rvdt_jax.Episodes:
    rng = np.random.default_rng(0)
    observations = np.round(rng.normal(size=(60, 2)) * 64) / 64 + np.array([0.0, offset])
    actions, rewards = rng.uniform(-1, 1, (60, 2, 1)), rng.normal(size=60)
    return rvdt_jax.Episodes.from_arrays(observations, actions, rewards, episode=np.arange(60) // 10, name="own/far")


def test_a_policy_is_the_same_wherever_the_zero_of_an_observation_lies(small, tmp_path):
    """A clock in seconds since 1970: float32 alone would round it to two minutes."""
    actions = []
    for offset in (0.0, 2.0**31):
        config = resolve(small(env="none", workdir=str(tmp_path / f"at {offset}")))
        run = fit(long_log(offset), config, progress=False)
        assert run.results["provenance"]["source"] == "memory"
        policy = rvdt_jax.load_policy(run.folder)
        policy.reset(1.0)
        actions.append(policy.act(np.array([0.25, offset + 0.5])))
    assert actions[0].shape == (2, 1)
    np.testing.assert_allclose(*actions, atol=1e-5)


def test_no_more_than_ten_thousand_timesteps_have_an_embedding():
    rows = np.zeros((20_000, 1))
    longest = rvdt_jax.Episodes("long", rows, rows, rows[:, 0], np.array([20_000]), np.array([False]))
    assert sizes_of(longest)["max_timestep"] == 10_000
