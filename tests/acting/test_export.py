"""Exported policies: they act as the run's do without the packages that trained them, and refuse what is damaged."""

import dataclasses
import inspect
import json
import pathlib
import shutil
import subprocess
import sys
from unittest import mock

import numpy as np
import pytest
from conftest import snapshot
from launching import ROOT

import rvdt_jax
from rvdt_jax.acting import export
from rvdt_jax.acting.export import export_policy, write_export
from rvdt_jax.acting.saved import load_run, policy_of
from rvdt_jax.errors import UserError

BLOCKED = ("flax", "optax", "orbax", "chex", "minari", "gymnasium", "h5py", "ml_collections", "absl", "tqdm", "mujoco")
SELECTIONS = ("mean", "sample", "critic", "best_of")


def play(policy) -> list:
    """One episode at the policy's own target, one at another, three side by side; each beyond the context length."""
    import numpy as np

    rng, actions = np.random.default_rng(0), []
    for target in (None, 5.0, np.array([1.0, 10.0, 20.0])):
        shape = () if target is None else np.shape(target)
        policy.reset(target)
        actions += [policy.act(rng.normal(size=(*shape, 4)), rng.random(shape)) for _ in range(7)]
    return actions


@pytest.fixture(scope="module")
def run_folder(train_run):
    """A run of two seeds whose policy can be asked in every way."""
    return train_run(variant="RVDT", env="none", seeds=(3, 5), eval__targets=(10.0, 5.0)).folder


@pytest.fixture(scope="module")
def exported(run_folder, tmp_path_factory):
    return export_policy(run_folder, tmp_path_factory.mktemp("exported") / "new" / "policy", seed=5)


@pytest.mark.slow
def test_exported_policies_act_alike_where_nothing_else_is_installed(run_folder, tmp_path):
    for selection in SELECTIONS:
        export_policy(run_folder, tmp_path / selection, seed=5, selection=selection)
    script = f"""
import sys
sys.modules.update(dict.fromkeys({BLOCKED}))
import numpy, rvdt_jax
{inspect.getsource(play)}
for name in {SELECTIONS}:
    actions = play(rvdt_jax.Policy.from_export({str(tmp_path)!r} + "/" + name))
    numpy.savez({str(tmp_path)!r} + f"/{{name}}.npz", *actions)
"""
    subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=True)
    for selection in SELECTIONS:
        ours = play(rvdt_jax.load_policy(run_folder, seed=5, selection=selection))
        with np.load(tmp_path / f"{selection}.npz") as theirs:
            for one, other in zip(ours, theirs.values(), strict=True):
                np.testing.assert_allclose(one, other, rtol=0, atol=1e-6)


def test_observation_entries_bounds_and_shape_travel(run_folder, tmp_path):
    spaces = {"observation_keys": ["arm.angle", "goal"], "action_low": [0.0, 5.0], "action_high": [3.0, 5.0]}
    spaces |= {"action_shape": [2, 1], "observation_offset": [1e9, 0.0, 0.0, 0.0]}
    saved = dataclasses.replace(load_run(run_folder), spaces=spaces)
    write_export(saved, tmp_path / "policy")
    observation = {"arm": {"angle": np.array([1e9 + 0.5, 0.5, 0.5])}, "goal": np.ones(1)}
    answers = []
    for policy in (policy_of(saved), rvdt_jax.Policy.from_export(tmp_path / "policy")):
        policy.reset()
        answers += [policy.act(observation)]
    assert (answers[0].shape, answers[0][1]) == ((2, 1), 5.0)
    np.testing.assert_allclose(*answers, rtol=0, atol=1e-6)


def test_the_file_names_the_origin(exported):
    facts = json.loads((exported / "policy.json").read_text())
    assert (facts["origin"]["update"], facts["origin"]["data"]["dataset_id"]) == (6, "test/random")
    assert facts["policy"]["seed"] == 5
    assert rvdt_jax.Policy.from_export(exported).config["variant"] == "RVDT"
    with np.load(exported / "weights.npz") as weights:
        assert not [name for name in weights if name.startswith("critic")]  # ``mean`` needs none


def test_the_current_folder_is_not_replaced(run_folder, tmp_path, monkeypatch):
    (tmp_path / "policy").mkdir()
    monkeypatch.chdir(tmp_path / "policy")
    with pytest.raises(UserError, match="is the current folder"):
        export_policy(run_folder, ".")
    assert pathlib.Path.cwd() == tmp_path / "policy"


def test_what_exists_is_not_touched(run_folder, exported, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("mine")
    before = snapshot(exported)
    for taken in (exported, tmp_path / "file"):
        with pytest.raises(UserError, match="exists and is no empty folder"):
            export_policy(run_folder, taken)
    assert snapshot(exported) == before
    with pytest.raises(UserError, match="has no seed 9; trained were 3, 5"):
        export_policy(run_folder, tmp_path / "policy", seed=9)

    monkeypatch.setattr(export, "write_json", mock.Mock(side_effect=KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        export_policy(run_folder, tmp_path / "policy")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        *(("policy.json", None, "policy.json"), ("act.stablehlo", None, "act.stablehlo")),
        *(("policy.json", "{", "JSONDecodeError"), ("weights.npz", "PK", "weights.npz is damaged")),
        ("policy.json", {"format_version": 2}, "format 2, of a newer version of rvdt-jax; upgrade"),
        ("policy.json", {"player": {}}, "Export it again"),
    ],
)
def test_what_cannot_be_read_is_refused(exported, tmp_path, name, content, words):
    folder = shutil.copytree(exported, tmp_path / "policy")
    if isinstance(content, dict):
        content = json.dumps(json.loads((folder / name).read_text()) | content)
    (folder / name).unlink()
    if content is not None:
        (folder / name).write_text(content)
    with pytest.raises(UserError, match=words):
        rvdt_jax.Policy.from_export(folder)
