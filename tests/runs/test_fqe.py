"""Fitted Q evaluation of a saved run, from its data alone."""

import dataclasses

import numpy as np
import pytest
from conftest import make_episodes
from launching import launch

from rvdt_jax.errors import UserError
from rvdt_jax.report.records import read_json
from rvdt_jax.runs.fqe import evaluate_fqe


def paid():
    data = make_episodes()
    return dataclasses.replace(data, rewards=np.ones_like(data.rewards), terminated=np.zeros_like(data.terminated))


@pytest.fixture(scope="module")
def run(train_run):
    """A run on data that earn 1 at every step and are cut off: every policy is worth 1 / (1 - gamma)."""
    settings = {"variant": "RDT", "seeds": (3, 5), "env": "none", "loss__gamma": 0.9, "loss__reward_scale": 0.5}
    settings |= {"model__critic_width": 32, "model__critic_layers": 2, "train__batch_size": 64}
    settings |= {"train__learning_rate": 1e-3, "eval__targets": (50.0, 20.0)}
    return train_run(paid(), data__holdout=0.2, **settings)


def test_the_estimates_of_every_seed_and_target_are_on_record(run):
    record, path = evaluate_fqe(run.folder, updates=2000)
    found = [(each["target"], each["seed"], each["estimate"]) for each in record["estimates"]]
    ten = pytest.approx(10.0, rel=0.05)
    assert found == [(50.0, 3, ten), (50.0, 5, ten), (20.0, 3, ten), (20.0, 5, ten)]
    assert (record["gamma"], record["initial_states"], record["updates"]) == (0.9, 24, 2000)
    assert read_json(path) == record
    again, second = evaluate_fqe(run.folder, updates=1, targets=(20.0,), step=4)
    assert (path.name, second.name, len(again["estimates"])) == ("fqe-6.json", "fqe-4.json", 2)


def test_episodes_of_another_precision_are_the_same_data(run):
    data = paid()
    doubled = dataclasses.replace(data, observations=data.observations.astype(np.float64))
    record, _ = evaluate_fqe(run.folder, episodes=doubled, updates=1, targets=(20.0,))
    assert len(record["estimates"]) == 2


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
