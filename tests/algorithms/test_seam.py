"""The seam: an algorithm of one's own is one file, which trains, resumes, acts, is scored and swept."""

import dataclasses
import functools
import os
import re
import sys

import flax.linen as nn
import jax
import numpy as np
import pytest
from agreement import assert_same_run
from conftest import interrupted
from launching import ROOT, TINY, launch

import rvdt_jax
from rvdt_jax.algorithms import sequence
from rvdt_jax.algorithms.base import get_algorithm
from rvdt_jax.algorithms.variants import Variant, get_variant
from rvdt_jax.errors import UserError
from rvdt_jax.evaluation.score_run import load_scored, score_run
from rvdt_jax.report.records import read_json, read_lines
from rvdt_jax.runs.fit import run_config

README = (ROOT / "rvdt_jax" / "README.md").read_text()
TOY = next(block for block in re.findall("```python\n(.*?)```", README, re.DOTALL) if "CLONING" in block)


@pytest.fixture
def toy(tmp_path, monkeypatch):
    """The name of the README's variant, behaviour cloning; its module lies in a folder of its own."""
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "cloning.py").write_text(TOY)
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.delitem(sys.modules, "cloning", raising=False)
    return "cloning:LINEAR"


@pytest.fixture
def make_toy_config(toy, make_run_config):
    def make(folder="run", **overrides):
        return make_run_config(folder, variant=toy, model__context_length=None, seeds=(0, 3), **overrides)

    return make


def test_forty_lines_train_resume_are_scored_and_act(make_toy_config, monkeypatch):
    assert len(TOY.splitlines()) <= 40
    make_toy_config = functools.partial(make_toy_config, data__holdout=0.2)
    whole = run_config(make_toy_config("whole"), progress=False)
    recorded = read_json(whole.folder / "config.json")
    assert (recorded["variant"], recorded["seeds"]) == ("cloning:LINEAR", [0, 3])
    interrupted(monkeypatch)
    config = make_toy_config()
    assert config.model.context_length == 1
    assert run_config(config, progress=False).signal is not None
    run = run_config(config, resume=True, progress=False)
    assert run.results["final"] == whole.results["final"]
    assert_same_run(whole.folder, run.folder)
    assert set(read_lines(run.folder / "metrics.jsonl")[0]) == {"step", "seed", "policy/error"}

    measured = read_lines(run.folder / "holdout.jsonl")[0]  # it offers no NLL
    assert set(measured) == {"step", "seed", "action_error", "bins"}

    scores, _ = score_run(load_scored(run.folder))
    assert scores["final"] == run.results["final"]
    policy = rvdt_jax.load_policy(run.folder, seed=3)
    policy.reset()
    assert policy.act(np.zeros(4)).shape == (2,)


@pytest.mark.slow
def test_a_sweep_runs_it(toy, make_toy_config, tmp_path):
    flags = ["--table=maze2d-reward", "--config=configs/maze2d.py", "--tasks=maze2d-umaze-v1", "--seeds=0"]
    flags += [f"--variants={toy}", f"--out={tmp_path / 'out'}"]
    settings = TINY | {"train.steps": 2, "data.source": "file", "data.path": make_toy_config().data.path}
    flags += [f"--set={name}={value}" for name, value in settings.items() if not name.startswith("model.")]
    result = launch("sweep.py", *flags, PYTHONPATH=os.pathsep.join([str(ROOT), str(tmp_path / "mine")]))
    assert result.returncode == 0, result.stdout + result.stderr
    assert read_json(tmp_path / "out/maze2d-umaze-v1/cloning-LINEAR/results.json")["variant"] == toy


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("nowhere:LINEAR", r"config\.variant=nowhere:LINEAR: the module 'nowhere' cannot be imported .* PYTHONPATH"),
        ("cloning:CLONING", r"cloning has no Variant named 'CLONING'\. It has LINEAR\."),
        (":LINEAR", r"the module '' cannot be imported"),
        (".cloning:LINEAR", r"'\.cloning' is a relative name; give the module's full one"),
    ],
)
def test_a_variant_that_cannot_be_found_is_a_users_error(name, complaint, toy):
    with pytest.raises(UserError, match=complaint):
        get_variant(name)


def test_a_bug_in_it_is_no_users_error(toy, tmp_path):
    (tmp_path / "mine" / "cloning.py").write_text("1 / 0")
    with pytest.raises(ZeroDivisionError):
        get_variant(toy)


def test_a_coefficient_is_a_field_of_the_settings_a_field_here_and_the_line_that_uses_it():
    """``td3.critic_penalty`` as the example: outside ``config``, where it is declared, two lines know its name."""
    files = [path for path in (ROOT / "rvdt_jax").rglob("*.py") if path.parent.name != "config"]
    lines = [line for path in files for line in path.read_text().splitlines() if "critic_penalty" in line]
    assert len(lines) == 2, lines


class Pixels(nn.Module):
    """The four numbers of the test data as an image of 2 x 2."""

    @nn.compact
    def __call__(self, observations):
        images = observations.reshape(-1, 2, 2, 1)
        return nn.relu(nn.Conv(3, (2, 2))(images)).reshape(*observations.shape[:-1], -1)


PIXELS = dataclasses.replace(sequence.SEQUENCE, make_spec=functools.partial(sequence.make_spec, encoder=Pixels))
SEEN_AS_PIXELS = Variant("kl_explicit", True, "gaussian", algorithm=f"{__name__}:PIXELS")


def test_an_encoder_takes_the_place_of_the_flat_observation_in_every_network(small_config, store):
    config = small_config(variant=f"{__name__}:SEEN_AS_PIXELS")
    algorithm = get_algorithm(config.variant)
    spec, coefficients = algorithm.make_spec(config, 4, 2, 30), algorithm.make_coefficients(config)

    def kernels(state):
        policy, critic, expert = (state.learners[name].params for name in ("policy", "critic", "expert"))
        return [network["Pixels_0"]["Conv_0"]["kernel"] for network in (policy, critic["q1"], critic["q2"], expert)]

    before = algorithm.init(jax.random.key(0), spec)
    after, metrics = jax.jit(algorithm.update, static_argnames="spec")(before, store, coefficients, spec=spec)
    assert all(np.isfinite(value) for value in metrics.values())
    for old, new in zip(kernels(before), kernels(after), strict=True):
        assert old.shape == (2, 2, 1, 3)
        assert (old != new).any()
