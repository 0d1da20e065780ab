"""Paths of saved runs: what is recorded is what the evaluator plays."""

import dataclasses

import numpy as np
import pytest
from reporting import playing
from reporting.playing import record_paths

from rvdt_jax.evaluation.score_run import load_scored, score_run
from rvdt_jax.tasks import Environment, get_task


@pytest.fixture(scope="module")
def runs(train_run):
    """Folders of runs of two variants on seeds 4 and 7, with two targets, by variant."""
    how = {"seeds": (4, 7), "eval__targets": (50.0, 20.0), "eval__horizon": 40}
    return {variant: train_run(variant=variant, **how).folder for variant in ("DT", "RVDT")}


@pytest.mark.parametrize("seed", [4, 7])
def test_what_is_recorded_is_what_the_evaluator_plays(runs, seed):
    scores, _ = score_run(load_scored(runs["RVDT"]), episodes=3)
    (expected,) = [r["returns"] for r in scores["evaluations"] if (r["seed"], r["target"]) == (seed, 50.0)]
    paths = record_paths(runs["RVDT"], episodes=3, seed=seed)
    assert paths.returns.tolist() == expected
    assert paths.positions.shape == (3, 41, 2)
    np.testing.assert_allclose(paths.scores, get_task("maze2d-umaze-v1").normalized_score(np.array(expected)))
    # The task's reward is 1 within .5 of the goal, and the first position earns nothing yet.
    assert paths.in_goal()[:, 1:].sum(1).tolist() == expected
    assert (paths.variant, paths.seed, paths.step) == ("RVDT", seed, 6)
    other = record_paths(runs["DT"], episodes=3, seed=seed)
    np.testing.assert_array_equal(paths.positions[:, 0], other.positions[:, 0])
    assert (paths.positions[:, 1:] != other.positions[:, 1:]).any()


def test_a_run_in_no_maze_and_a_seed_that_was_not_trained_are_refused(runs, monkeypatch):
    with pytest.raises(ValueError, match="has no seed 0; trained were 4, 7"):
        record_paths(runs["DT"], episodes=1, seed=0)
    run = load_scored(runs["DT"])
    elsewhere = dataclasses.replace(run, scoring=dataclasses.replace(run.scoring, environment=Environment("Hopper-v4")))
    monkeypatch.setattr(playing, "load_scored", lambda folder: elsewhere)
    with pytest.raises(ValueError, match="is scored in Hopper-v4, but paths are drawn in maze2d's mazes only"):
        record_paths(runs["DT"], episodes=1)
