"""QDT as a user runs it: the value of the corridor, a run that goes on, and variants that see no returns."""

import dataclasses

import numpy as np
import pytest
import toy_problems
from agreement import assert_same_run
from conftest import interrupted, make_episodes, train

from rvdt_jax.algorithms.variants import VARIANTS
from rvdt_jax.data.episodes import Episodes
from rvdt_jax.data.rebalance import select_experts
from rvdt_jax.data.relabel import raise_returns
from rvdt_jax.errors import UserError
from rvdt_jax.runs import relabel
from rvdt_jax.runs.preparation import Data
from rvdt_jax.runs.processes import Group


def test_in_the_corridor_the_way_to_the_goal_is_worth_its_discounted_reward(small_config):
    """Trajectories from the left never arrive, those from the middle do; stitched, both do."""
    episodes = Episodes("corridor", **toy_problems.corridor_trajectories())
    settings = {"model__critic_width": 64, "model__critic_layers": 2, "train__learning_rate": 1e-3}
    settings |= {"train__batch_size": 64, "train__grad_clip_norm": 1e3, "loss__target_rate": 0.05, "loss__gamma": 0.9}
    settings |= {"loss__reward_scale": 5.0, "data__relabel_updates": 4000, "data__relabel_expectile": 0.99}
    config = small_config(variant="QDT", **settings)
    value, record = relabel.learn_value(config, episodes, select_experts(episodes.returns, episodes.lengths))
    values = value(episodes)
    assert (record["updates"], record["expectile"], record["gamma"]) == (4000, 0.99, 0.9)
    steps = np.ceil((toy_problems.GOAL - episodes.observations[:, 0]) / toy_problems.STRIDE)
    assert np.abs(values - 0.9 ** (steps - 1)).mean() < 0.15
    labels = episodes.returns_to_go() + raise_returns(episodes, values)
    left = episodes.starts[episodes.returns == 0]
    assert (labels[left] > 0.2).mean() > 0.95  # recorded: 0
    assert labels.max() < 1.2


@pytest.mark.slow
def test_it_trains_resumes_and_says_so(make_run_config, episodes, monkeypatch):
    how = {"variant": "RVDT", "env": "none", "train__steps": 8, "data__relabel": "value", "data__relabel_updates": 6}
    run = train(make_run_config("whole", **how))
    record = run.results["provenance"]["relabel"]
    assert (record["updates"], record["expectile"]) == (6, 0.7)
    assert 0.0 < record["share_of_steps"] < 1.0
    assert run.results["provenance"]["content_digest"] == episodes.digest()

    interrupted(monkeypatch)
    parts = make_run_config("parts", **how)
    assert train(parts).signal is not None
    monkeypatch.setattr(relabel, "learn_value", None)  # it is not learned again
    assert_same_run(train(parts, resume=True).folder, run.folder, ["metrics.jsonl"])


def test_held_out_trajectories_are_raised_by_the_value_of_the_others(small_config, tmp_path):
    config, episodes, held = small_config(variant="QDT", data__relabel_updates=2), make_episodes(0), make_episodes(1, 5)
    experts = select_experts(episodes.returns, episodes.lengths)
    data = Data(episodes, experts, {"content_digest": "a"}, None, None, held)
    with Group() as group:
        new = relabel.relabel(config, data, tmp_path, group, resume=False)
        value, _ = relabel.learn_value(config, episodes, experts)
        np.testing.assert_allclose(new.held.raised, raise_returns(held, value(held)), rtol=1e-6)
        assert new.held.raised.max() > 0
        relabel.keep_relabelled(tmp_path, new)
        again = relabel.relabel(config, data, tmp_path, group, resume=True)
        for changes in ({"provenance": {"content_digest": "b"}}, {"episodes": make_episodes(0, 7)}):
            with pytest.raises(UserError, match="the data have changed since this run relabelled them"):
                relabel.relabel(config, dataclasses.replace(data, **changes), tmp_path, group, resume=True)
    assert np.array_equal(again.held.raised, new.held.raised)
    assert np.array_equal(again.episodes.raised, new.episodes.raised)


def test_it_is_for_policies_that_see_a_return_and_only_qdt_does_it_unasked(small_config):
    for variant in ("BC", "IQL"):
        with pytest.raises(UserError, match=rf"data\.relabel=value raises returns-to-go, which {variant} does not"):
            small_config(variant=variant, data__relabel="value")
    relabelling = [name for name in VARIANTS if small_config(variant=name).data.relabel == "value"]
    assert relabelling == ["QDT"]
    assert small_config(variant="QDT", data__relabel="none").data.relabel == "none"
