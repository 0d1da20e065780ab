"""Checkpoints of an older format act and score as they did; see ``acting.saved``."""

import jax
import numpy as np
import orbax.checkpoint as ocp
import pytest

import rvdt_jax
from rvdt_jax.runs.fit import run_config

HANDLERS = {"arrays": ocp.StandardCheckpointHandler(), "about": ocp.JsonCheckpointHandler()}


def as_format_4(folder):
    """Rewrites the newest checkpoint as the format before the states held their learners by name."""
    with ocp.CheckpointManager(folder / "checkpoints", item_handlers=HANDLERS) as manager:
        step = manager.latest_step()
        wanted = ocp.args.Composite(about=ocp.args.JsonRestore(), arrays=ocp.args.StandardRestore())
        restored = manager.restore(step, args=wanted)
        states = restored["arrays"]["states"]
        learners = states.pop("learners")
        for name in ("policy", "critic"):
            learner = learners.get(name, {"params": None, "optimizer": None, "target": None})
            slow = "ema_policy" if name == "policy" else "target_critic"
            states |= {name: learner["params"], f"{name}_optimizer": learner["optimizer"], slow: learner["target"]}
        states |= {"expert": None, "expert_optimizer": None}
        manager.delete(step)
        about = restored["about"] | {"format_version": 4}
        arrays = ocp.args.StandardSave(restored["arrays"])
        manager.save(step, args=ocp.args.Composite(arrays=arrays, about=ocp.args.JsonSave(about)), force=True)


@pytest.mark.parametrize(
    ("variant", "selection"), [("DT", "mean"), pytest.param("QT", "best_of", marks=pytest.mark.slow)]
)
def test_a_checkpoint_of_format_4_acts_as_it_did_and_is_not_resumed(variant, selection, make_run_config):
    settings = {"variant": variant, "env": "none", "eval__action_selection": selection, "seeds": (0, 1)}
    run = run_config(make_run_config(**settings), progress=False)

    def actions():
        policy = rvdt_jax.load_policy(run.folder.absolute(), seed=1)
        policy.reset(20.0)
        return [policy.act(np.full(4, 0.1 * step), 1.0) for step in range(5)]

    before = actions()
    as_format_4(run.folder.absolute())
    jax.tree.map(np.testing.assert_array_equal, before, actions())
    with pytest.raises(ValueError, match=r"older version of this package .*not resumed\. Train anew"):
        run_config(make_run_config(**settings, train__steps=8), resume=True, progress=False)
