"""The tables of tasks and of variants: against the files of published numbers, and against the paper's table."""

import csv
import pathlib

import gymnasium
import numpy as np
import pytest

import rvdt_jax
from rvdt_jax.envs import register
from rvdt_jax.tasks import all_tasks, get_task
from rvdt_jax.variants import HEADS, REBALANCINGS, VARIANTS, Variant, get_variant

REFERENCE = pathlib.Path(rvdt_jax.__file__).parent / "reference"


def read(filename: str) -> dict[str, dict[str, str]]:
    """The rows of a file, by D4RL's name of the task."""
    with (REFERENCE / filename).open(newline="", encoding="utf-8") as file:
        return {row["d4rl_task"]: row for row in csv.DictReader(file)}


# --- tasks ---


def test_the_tasks_are_the_maze2d_rows_of_the_published_table():
    names = [name for name in read("d4rl_reference_scores.csv") if name.startswith("maze2d")]
    assert list(all_tasks()) == names
    assert len(names) == 8
    assert all(task.name == name for name, task in all_tasks().items())


@pytest.mark.parametrize("name", all_tasks())
def test_horizons_and_reference_returns_are_those_of_the_file(name):
    task, row = get_task(name), read("d4rl_reference_scores.csv")[name]
    assert task.horizon == int(row["max_episode_steps"])
    assert task.ref_min_return == float(row["ref_min_return"])
    assert task.ref_max_return == float(row["ref_max_return"])


@pytest.mark.parametrize("name", all_tasks())
def test_settings_are_those_published_with_qt(name):
    task, row = get_task(name), read("qt_settings.csv")[name]
    assert task.eta == float(row["eta"])
    assert task.grad_clip_norm == float(row["grad_clip_norm"])
    assert task.context_length == int(row["context_length"])
    assert task.return_scale == float(row["return_scale"])
    assert list(task.targets) == [float(target) for target in row["conditioning_targets"].split(" ")]
    assert task.lr_decay_steps == int(row["steps_per_iteration"]) * int(row["lr_cosine_period_iterations"])
    assert task.train_steps == int(row["steps_per_iteration"]) * int(row["stop_iteration"])


def test_one_row_by_hand():
    task = get_task("maze2d-medium-v1")
    assert (task.ref_min_return, task.ref_max_return, task.horizon) == (13.13, 277.39, 600)
    assert (task.eta, task.grad_clip_norm, task.context_length, task.return_scale) == (5.0, 9.0, 20, 10.0)
    assert task.targets == (300.0, 200.0, 150.0, 100.0, 50.0, 20.0)
    assert (task.lr_decay_steps, task.train_steps) == (100_000, 51_000)


@pytest.mark.parametrize(
    ("maze", "steps"), [("open", 1_000_000), ("umaze", 1_000_000), ("medium", 2_000_000), ("large", 4_000_000)]
)
def test_the_collections_are_as_long_as_the_published_ones(maze, steps):
    tasks = [task for name, task in all_tasks().items() if name.split("-")[1] == maze]
    assert [task.recipe_steps for task in tasks] == [steps, steps]


@pytest.mark.parametrize("name", all_tasks())
def test_the_tasks_environment_exists_with_the_tasks_horizon(name):
    register()
    task = get_task(name)
    assert gymnasium.spec(task.env_id).max_episode_steps == task.horizon


@pytest.mark.parametrize("name", all_tasks())
def test_recreated_data_is_never_called_d4rls(name):
    task = get_task(name)
    assert task.family == "maze2d"
    assert task.dataset_id == f"recreated/{name}"
    assert "d4rl" not in task.dataset_id.lower()


# --- the normalised score ---


@pytest.mark.parametrize("name", all_tasks())
def test_the_reference_returns_score_0_and_100(name):
    task = get_task(name)
    assert task.normalized_score(task.ref_min_return) == 0.0
    assert task.normalized_score(task.ref_max_return) == pytest.approx(100.0)


def test_scores_by_hand():
    task = get_task("maze2d-umaze-v1")  # 23.85 to 161.86, a span of 138.01
    assert task.normalized_score(92.855) == pytest.approx(50.0)
    assert task.normalized_score(300.0) == pytest.approx(200.09419607)  # it may pass 100
    assert task.normalized_score(0.0) == pytest.approx(-17.28135642)


def test_scores_of_an_array():
    scores = get_task("maze2d-umaze-v1").normalized_score(np.array([[23.85, 161.86], [92.855, 0.0]]))
    np.testing.assert_allclose(scores, [[0.0, 100.0], [50.0, -17.28135642]], atol=1e-6)


# --- names that are not there ---


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("maze2d-umase-v1", "maze2d-umaze-v1"),
        ("maze2d-umaze-v0", "maze2d-umaze-v1"),
        ("maze2d-open-v1", "maze2d-open-v0"),
        ("maze2d-large-dense", "maze2d-large-dense-v1"),
    ],
)
def test_an_unknown_task_suggests_the_nearest(name, nearest):
    with pytest.raises(ValueError, match=f"there is no task '{name}'. Did you mean '{nearest}'"):
        get_task(name)


def test_an_unknown_task_lists_all_tasks():
    with pytest.raises(ValueError, match="Known tasks") as refused:
        get_task("xyz")
    assert all(name in str(refused.value) for name in all_tasks())
    assert "Did you mean" not in str(refused.value)


# --- variants ---

# variant, rebalancing, Q-guidance, policy: the paper's table.
TABLE = [
    ("DT", "none", "off", "deterministic"),
    ("DT-Dup", "dup", "off", "stochastic"),
    ("RDT", "kl", "off", "stochastic"),
    ("QT", "none", "on", "deterministic"),
    ("VDT", "none", "on", "stochastic"),
    ("RVDT-Dup", "dup", "on", "stochastic"),
    ("RVDT-Determ", "kl", "on", "deterministic"),
    ("RVDT", "kl", "on", "stochastic"),
]


@pytest.mark.parametrize(("name", "rebalancing", "q_guidance", "policy"), TABLE, ids=[row[0] for row in TABLE])
def test_a_variant_is_its_row_of_switches(name, rebalancing, q_guidance, policy):
    head = {"deterministic": "deterministic", "stochastic": "gaussian"}[policy]
    assert get_variant(name) == Variant(
        rebalancing, q_guidance == "on", head, condition_on_return=True, expert_only=False
    )


def test_bc_sees_no_return_and_percent_bc_only_experts_besides():
    for name, expert_only in (("BC", False), ("%BC", True)):
        variant = get_variant(name)
        assert (variant.rebalancing, variant.q_guidance) == ("none", False)
        assert (variant.condition_on_return, variant.expert_only) == (False, expert_only)


def test_there_are_no_other_variants():
    assert sorted(VARIANTS) == sorted([*(row[0] for row in TABLE), "BC", "%BC"])
    assert {variant.rebalancing for variant in VARIANTS.values()} <= set(REBALANCINGS)
    assert {variant.head for variant in VARIANTS.values()} == set(HEADS)


def test_variants_cannot_be_changed_in_place():
    with pytest.raises(AttributeError):
        get_variant("DT").head = "gaussian"


@pytest.mark.parametrize(
    ("name", "nearest"), [("RVTD", "RVDT"), ("rvdt", "RVDT"), ("rvdt-determ", "RVDT-Determ"), ("DTDup", "DT-Dup")]
)
def test_an_unknown_variant_suggests_the_nearest(name, nearest):
    with pytest.raises(ValueError, match=f"there is no variant '{name}'. Did you mean '{nearest}'"):
        get_variant(name)


def test_an_unknown_variant_lists_all_variants():
    with pytest.raises(ValueError, match="Known variants") as refused:
        get_variant("xyz")
    assert all(name in str(refused.value) for name in VARIANTS)
    assert "Did you mean" not in str(refused.value)
