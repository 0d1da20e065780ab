"""Data of one's own, without an entry in the table of tasks: from a Minari id to scores and a policy that acts."""

import json
import os
import pathlib
import subprocess
import sys
import warnings

import gymnasium
import minari
import numpy as np
import pytest

import rvdt_jax
import rvdt_jax.envs  # registers the environments
from rvdt_jax.config.settings import targets_of
from rvdt_jax.runs.fit import fit

ROOT = pathlib.Path(__file__).resolve().parents[2]
SMALL = {
    "train.steps": 2,
    "train.batch_size": 8,
    "train.log_every": 2,
    "model.width": 8,
    "model.layers": 1,
    "model.heads": 1,
    "model.critic_width": 8,
    "model.critic_layers": 1,
    "eval.every": 2,
    "eval.episodes": 2,
    "eval.curve_episodes": 2,
    "eval.processes": 1,
    "parallel.devices": 1,
}


def collect(dataset_id: str, env: gymnasium.Env, episodes: int = 5, **about) -> list[float]:
    """Plays random actions into a local Minari data set; returns the episodes' returns."""
    returns = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        env = minari.DataCollector(env)
        env.action_space.seed(0)
        for episode in range(episodes):
            env.reset(seed=episode)
            total, done = 0.0, False
            while not done:
                _, reward, terminated, truncated, _ = env.step(env.action_space.sample())
                total, done = total + float(reward), terminated or truncated
            returns.append(total)
        env.create_dataset(dataset_id, algorithm_name="random actions", **about)
        env.close()
    return returns


def small(tmp_path, **overrides):
    settings = rvdt_jax.default_config()
    changes = {name.replace("__", "."): value for name, value in overrides.items()}
    settings.update_from_flattened_dict(SMALL | {"workdir": str(tmp_path / "run")} | changes)
    return settings


@pytest.fixture
def pendulum() -> list[float]:
    """``own/pendulum-v0``: 12 steps an episode, torques in [-2, 2]."""
    return collect("own/pendulum-v0", gymnasium.make("Pendulum-v1", max_episode_steps=12))


def test_a_data_set_without_a_task_trains_is_scored_and_acts(pendulum, tmp_path):
    run = fit("own/pendulum-v0", small(tmp_path), progress=False)
    config = json.loads((run.folder / "config.json").read_text())
    assert config["task"] is None
    assert config["eval"]["targets"] == list(targets_of(np.array(pendulum, np.float32).astype(np.float64)))
    assert config["policy"]["return_scale"] == pytest.approx(max(map(abs, pendulum)), rel=1e-6)
    assert config["model"]["context_length"] == 12  # the longest episode is shorter than the usual 20
    assert run.results["environment"] == "Pendulum-v1"
    headline = run.results["final"][run.results["headline_target"]]["aggregate"]
    assert headline["episodes"] == 2
    assert -17 * 12 < headline["return"] < 0  # as registered by the data set: 12 steps of at most 16.3 each
    assert headline["normalized_score"] is None

    policy = rvdt_jax.load_policy(run.folder)
    policy.reset()
    observation, _ = gymnasium.make("Pendulum-v1").reset(seed=0)
    assert policy.act(observation).shape == (1,)


def test_a_saved_policy_acts_within_the_bounds_of_the_data_sets_actions(tmp_path):
    collect("own/pendulum-v0", gymnasium.make("Pendulum-v1", max_episode_steps=12))
    run = fit("own/pendulum-v0", small(tmp_path, env="none", variant="BC"), progress=False)
    policy = rvdt_jax.load_policy(run.folder)
    scaled = policy._params  # drive the output layer to its ends: the mean is a tanh
    scaled["policy"] = {
        name: {key: value * 1e4 for key, value in part.items()} if name == "action_mean" else part
        for name, part in scaled["policy"].items()
    }
    actions = []
    for seed in range(20):
        policy.reset()
        actions.append(policy.act(gymnasium.make("Pendulum-v1").reset(seed=seed)[0]).item())
    assert max(map(abs, actions)) == pytest.approx(2.0, abs=1e-3)


def test_references_of_the_data_set_make_scores(tmp_path):
    collect(
        "own/pendulum-v0",
        gymnasium.make("Pendulum-v1", max_episode_steps=12),
        ref_min_score=-100.0,
        ref_max_score=-50.0,
    )
    run = fit("own/pendulum-v0", small(tmp_path), progress=False)
    cell = run.results["final"][run.results["headline_target"]]["aggregate"]
    assert cell["normalized_score"] == pytest.approx(100 * (cell["return"] + 100) / 50)


def test_a_data_set_without_an_environment_trains_without_scores_and_says_so(tmp_path, caplog):
    buffer = [
        minari.data_collector.EpisodeBuffer(
            observations=np.random.default_rng(k).normal(size=(31, 2, 3)).astype(np.float32),
            actions=np.zeros((30, 1), np.float32),
            rewards=np.ones(30),
            terminations=np.zeros(30, bool),
            truncations=np.arange(30) == 29,
            infos={},
        )
        for k in range(3)
    ]
    box = gymnasium.spaces.Box
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        minari.create_dataset_from_buffers(
            "own/log-v0", buffer, observation_space=box(-9, 9, (2, 3)), action_space=box(-1, 1, (1,))
        )
    run = fit("own/log-v0", small(tmp_path), progress=False)
    assert "nothing will be scored: own/log-v0 names no environment" in caplog.text
    assert run.results["final"] == {}
    assert run.results["environment"] is None
    policy = rvdt_jax.load_policy(run.folder)
    policy.reset(30.0)
    assert policy.act(np.zeros((2, 3))).shape == (1,)  # as the data set shapes observations


def test_dict_observations_act_as_they_were_trained(tmp_path):
    env = gymnasium.make("rvdt/minari-antmaze-umaze-v0", max_episode_steps=8)
    example = env.reset(seed=0)[0]
    collect("own/ant-v0", env, episodes=2)
    settings = small(tmp_path, data__observation_keys=("observation",), eval__horizon=5, eval__action_selection="mean")
    run = fit("own/ant-v0", settings, progress=False)
    policy = rvdt_jax.load_policy(run.folder)
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


def test_several_entries_of_observations_are_named_on_the_command_line(tmp_path):
    collect("own/ant-v0", gymnasium.make("rvdt/minari-antmaze-umaze-v0", max_episode_steps=8), episodes=2)
    command = [sys.executable, "experiments/run.py", "--config=configs/own.py", "--config.data.minari_id=own/ant-v0"]
    command += [f"--config.{name}={value}" for name, value in SMALL.items()] + [f"--workdir={tmp_path / 'run'}"]
    command += ["--config.data.observation_keys=achieved_goal,observation", "--config.env=none"]
    done = subprocess.run(command, cwd=ROOT, env=dict(os.environ), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "run" / "results.json").read_text())["provenance"]["observation_keys"] == [
        "achieved_goal",
        "observation",
    ]
    assert rvdt_jax.load_policy(tmp_path / "run")._actor.policy.observation_size == 29


def test_a_run_goes_on_with_the_data_set_that_it_began_with(tmp_path, monkeypatch):
    """Also where meanwhile one has come that would be preferred: D4RL's own file, imported."""
    from rvdt_jax.tasks import all_tasks

    task = all_tasks()["hopper-medium-v2"]
    collect("mujoco/hopper/medium-v0", gymnasium.make("Hopper-v5", max_episode_steps=25))
    settings = small(tmp_path, task=task.name, model__context_length=3, eval__horizon=5)
    config = rvdt_jax.resolve(settings)
    from rvdt_jax.runs.fit import run_config

    first = run_config(config, progress=False)
    collect("d4rl-hdf5/hopper-medium-v2", gymnasium.make("Hopper-v4", max_episode_steps=25))
    again = run_config(config, resume=True, progress=False)
    assert again.results["provenance"]["dataset_id"] == "mujoco/hopper/medium-v0"
    assert again.results["final"] == first.results["final"]


def test_the_same_from_the_command_line(pendulum, tmp_path):
    command = [
        sys.executable,
        "experiments/run.py",
        "--config=configs/own.py",
        "--config.data.minari_id=own/pendulum-v0",
    ]
    command += [f"--config.{name}={value}" for name, value in SMALL.items()] + [f"--workdir={tmp_path / 'run'}"]
    command += ["--config.env=Pendulum-v1", "--config.eval.horizon=7", "--config.eval.targets=-30.0,"]
    done = subprocess.run(command, cwd=ROOT, env=dict(os.environ), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (evaluation,) = map(json.loads, (tmp_path / "run" / "evaluations.jsonl").read_text().splitlines())
    assert evaluation["lengths"] == [7, 7]
    assert evaluation["target"] == -30.0


def test_resuming_takes_what_the_data_told(pendulum, tmp_path):
    settings = small(tmp_path)
    first = fit("own/pendulum-v0", settings, progress=False)
    again = fit("own/pendulum-v0", settings, resume=True, progress=False)
    assert again.results["final"] == first.results["final"]
