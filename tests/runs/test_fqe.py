"""Fitted Q evaluation of a saved run, from its data alone."""

import dataclasses

import numpy as np
import pytest
from conftest import make_episodes
from launching import launch

from rvdt_jax.acting.logged import outputs_on_data
from rvdt_jax.acting.saved import load_policy, load_run
from rvdt_jax.data.cache import write_cache
from rvdt_jax.data.store import make_store
from rvdt_jax.errors import UserError
from rvdt_jax.report.records import read_json
from rvdt_jax.runs.fit import run_config
from rvdt_jax.runs.fqe import evaluate_fqe


@pytest.fixture(scope="module")
def run(small_config, tmp_path_factory):
    """A run on data that earn 1 at every step and are cut off: every policy is worth 1 / (1 - gamma)."""
    folder, episodes = tmp_path_factory.mktemp("paid"), make_episodes()
    paid = dataclasses.replace(
        episodes, rewards=np.ones_like(episodes.rewards), terminated=np.zeros_like(episodes.terminated)
    )
    write_cache(folder / "data.npz", paid, {"dataset_id": "test/paid", "recreated": True})
    settings = {"variant": "RDT", "seeds": (3, 5), "env": "none", "loss__gamma": 0.9, "loss__reward_scale": 0.5}
    settings |= {"model__critic_width": 32, "model__critic_layers": 2, "train__batch_size": 64}
    settings |= {"train__learning_rate": 1e-3, "eval__targets": (50.0, 20.0)}
    place = {"data__source": "file", "data__path": str(folder / "data.npz"), "workdir": str(folder / "run")}
    return run_config(small_config(data__holdout=0.2, **settings, **place), progress=False)


def test_the_estimates_of_every_seed_and_target_are_on_record(run):
    record, path = evaluate_fqe(run.folder, updates=2000)
    assert [(each["seed"], each["target"]) for each in record["estimates"]] == [
        (seed, target) for target in (50.0, 20.0) for seed in (3, 5)
    ]
    for each in record["estimates"]:
        assert each["estimate"] == pytest.approx(10.0, rel=0.05)
    assert (record["gamma"], record["initial_states"], record["updates"]) == (0.9, 24, 2000)
    assert read_json(path) == record
    again, second = evaluate_fqe(run.folder, updates=1, targets=(20.0,), step=4)
    assert (path.name, second.name, len(again["estimates"])) == ("fqe-6.json", "fqe-4.json", 2)


def test_logged_windows_are_those_of_acting(run):
    """The policy along a logged episode, asked for a target, chooses what it would have chosen live."""
    saved, episodes, target = load_run(run.folder), make_episodes(), 17.0
    store = make_store(episodes, None, saved.normalizer, return_scale=saved.config.policy.return_scale)
    asked = target - episodes.returns[0] + episodes.returns_to_go()
    store = store.replace(returns_to_go=np.float32(asked / saved.config.policy.return_scale))
    how = {"policy": saved.actor.policy, "context_length": saved.actor.context_length}
    logged = outputs_on_data(saved.params["policy"], store, **how).mean[0, :30]
    policy = load_policy(run.folder, seed=3)
    policy.reset(target)
    for step in range(30):
        live = policy.act(episodes.observations[step], episodes.rewards[step - 1])
        np.testing.assert_allclose(live, logged[step], atol=1e-5)
        policy._acting._windows.actions[0, 0, min(step, 3)] = episodes.actions[step]


def test_other_data_and_bad_values_are_refused(run):
    with pytest.raises(UserError, match=r"was trained on other data than random holds now"):
        evaluate_fqe(run.folder, episodes=make_episodes(seed=1))
    with pytest.raises(UserError, match="--fqe_updates=0: make at least one"):
        evaluate_fqe(run.folder, updates=0)


@pytest.mark.slow
def test_the_command_needs_no_environment(run):
    done = launch("evaluate.py", f"--workdir={run.folder}", "--fqe", "--fqe_updates=5", "--targets=20")
    assert done.returncode == 0, done.stderr
    assert "seed 5, target 20.0: " in done.stdout
