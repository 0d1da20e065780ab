"""The tables of tasks and of variants: against the files of published numbers, and against the paper's table."""

import gymnasium
import numpy as np
import pytest

import rvdt_jax.envs  # noqa: F401  registers the environments of our own
from rvdt_jax.algorithms.variants import VARIANTS, Variant, get_variant
from rvdt_jax.config.filling import read_rows
from rvdt_jax.tasks import all_tasks, d4rl_files, get_task


def read(name: str) -> dict[str, dict[str, str]]:
    """The rows of a table of published numbers, by D4RL's name of the task."""
    return {row["d4rl_task"]: row for row in read_rows(name)}


# What scores data from D4RL, where that is none of our own; family -> its tasks.
GYM = {"halfcheetah": "HalfCheetah-v4", "hopper": "Hopper-v4", "walker2d": "Walker2d-v4"}
KINDS = {
    "adroit": [f"{tool}-{kind}-v1" for tool in ("pen", "hammer") for kind in ("human", "cloned")],
    "kitchen": ["kitchen-complete-v0", "kitchen-partial-v0"],
    "antmaze": [f"antmaze-{maze}-v0" for maze in ("umaze", "umaze-diverse", "medium-diverse", "large-diverse")],
    "maze2d": ["maze2d-open-v0", "maze2d-open-dense-v0"]
    + [f"maze2d-{maze}{reward}-v1" for maze in ("umaze", "medium", "large") for reward in ("", "-dense")],
    "gym": [f"{body}-{kind}-v2" for body in GYM for kind in ("medium-expert", "medium", "medium-replay")],
}
FAMILIES = {name: family for family, names in KINDS.items() for name in names}
# What else there is on Minari's servers, and what scores it; None: the environment that the data set names.
REMOTE = {f"{body}-medium-v2": (f"mujoco/{body}/medium-v0", None) for body in GYM}
REMOTE |= {
    name: (f"D4RL/{name.replace('-', '/', 1)[:-3]}-{version}", f"rvdt/{layout}{name}")
    for family, version, layout in (("adroit", "v2", ""), ("kitchen", "v2", "minari-"), ("antmaze", "v1", "minari-"))
    for name in KINDS[family]
}
RECREATED = ("maze2d", "gym", "antmaze")


def test_the_tasks_are_the_27_of_the_published_tables():
    assert list(all_tasks()) == [name for name in read("d4rl_reference_scores") if name in read("qt_settings")]
    assert {name: task.name for name, task in all_tasks().items()} == {name: name for name in FAMILIES}
    assert len(FAMILIES) == 27


@pytest.mark.parametrize(("name", "family"), FAMILIES.items())
def test_a_task_is_served_by_d4rls_file_first_and_then_by_what_else_there_is(name, family):
    task, env_id = get_task(name), GYM.get(name.split("-")[0], f"rvdt/{name}")
    assert task.family == family
    expected = [("import", f"d4rl-hdf5/{name}", env_id)]
    expected += [("remote", *REMOTE[name])] if name in REMOTE else []
    expected += [("recipe", f"recreated/{name}", env_id)] if family in RECREATED else []
    assert [(source.kind, source.dataset_id, source.env_id) for source in task.sources] == expected
    keys = {"antmaze": ("achieved_goal", "observation"), "kitchen": ("observation",)}  # of Minari's dicts
    for source in task.sources:
        if source.env_id:
            assert gymnasium.spec(source.env_id).max_episode_steps == task.horizon
        assert source.observation_keys == (keys.get(family, ()) if source.kind == "remote" else ())
        assert source.end_at_reward == (source.kind != "import" and family == "antmaze")  # where ants go on
        assert task.source(source.kind) is task.source_of(source.dataset_id) is source
    assert (task.source("recipe") is None) == (family not in RECREATED)
    assert task.source_of("D4RL/antmaze/umaze-diverse-v2") is task.source_of(None) is None


@pytest.mark.parametrize("name", all_tasks())
def test_numbers_are_those_of_the_files(name):
    task, scores, qt = get_task(name), read("d4rl_reference_scores")[name], read("qt_settings")[name]
    assert task.horizon == int(scores["max_episode_steps"])
    low, high = float(scores["ref_min_return"]), float(scores["ref_max_return"])
    assert (task.ref_min_return, task.ref_max_return) == (low, high)
    assert (task.normalized_score(low), task.normalized_score(high)) == (0.0, pytest.approx(100.0))
    for field in ("eta", "grad_clip_norm", "context_length", "return_scale"):
        assert getattr(task, field) == float(qt[field])
    assert list(task.targets) == [float(target) for target in qt["conditioning_targets"].split(" ")]
    assert task.lr_decay_steps == int(qt["steps_per_iteration"]) * int(qt["lr_cosine_period_iterations"])
    assert task.train_steps == int(qt["steps_per_iteration"]) * int(qt["stop_iteration"])
    shifted = name == "antmaze-large-diverse-v0"  # QT shifts the rewards of this one alone
    assert (task.reward_scale, task.reward_shift) == ((4.0, -0.5) if shifted else (1.0, 0.0))


def test_collections_are_as_long_as_d4rls():
    for steps, names in (
        (1_000_000, ("maze2d-open-v0", "maze2d-umaze-dense-v1", "antmaze-umaze-v0", "hopper-medium-v2")),
        (2_000_000, ("maze2d-medium-v1", "walker2d-medium-expert-v2")),
        (4_000_000, ("maze2d-large-dense-v1",)),
        (None, ("pen-human-v1", "kitchen-complete-v0", "halfcheetah-medium-replay-v2")),
    ):
        assert {get_task(name).recipe_steps for name in names} == {steps}


# As D4RL's own infos.py has them.
HOST = "http://rail.eecs.berkeley.edu/datasets/offline_rl"
ANT = "ant_maze_new/Ant_maze_{}-maze_noisy_multistart_{}_multigoal_{}_sparse"
PATHS = {
    "hopper-medium-replay-v2": "gym_mujoco_v2/hopper_medium_replay-v2",
    "kitchen-complete-v0": "kitchen/mini_kitchen_microwave_kettle_light_slider-v0",
    "kitchen-partial-v0": "kitchen/kitchen_microwave_kettle_light_slider-v0",
    "maze2d-open-v0": "maze2d/maze2d-open-sparse",
    "antmaze-umaze-v0": ANT.format("u", False, False),
    "antmaze-large-diverse-v0": ANT.format("hardest", True, True),
}


def test_every_task_has_a_file_of_its_own_and_antmaze_has_six_newer_ones():
    files = d4rl_files()
    assert {name: f"{HOST}/{path}.hdf5" for name, path in PATHS.items()}.items() <= files.items()
    assert {name: task.file_url for name, task in all_tasks().items()}.items() <= files.items()
    assert len(set(files.values())) == len(files)
    assert all(url.startswith(f"{HOST}/") and url.endswith(".hdf5") for url in files.values())
    newer = set(files) - set(all_tasks())
    assert len(newer) == 6
    assert all(name.startswith("antmaze-") and name.endswith("-v2") for name in newer)


def test_scores_by_hand():
    task = get_task("maze2d-umaze-v1")  # 23.85 to 161.86, a span of 138.01
    assert task.normalized_score(92.855) == pytest.approx(50.0)
    assert task.normalized_score(300.0) == pytest.approx(200.09419607)  # it may pass 100
    assert task.normalized_score(0.0) == pytest.approx(-17.28135642)
    np.testing.assert_allclose(task.normalized_score(np.array([[23.85, 161.86]])), [[0.0, 100.0]], atol=1e-12)
    assert get_task("kitchen-partial-v0").normalized_score(3.0) == 75.0  # of 4 sub-tasks


@pytest.mark.parametrize(
    ("get", "name", "nearest"),
    [
        *((get_task, "maze2d-umase-v1", "maze2d-umaze-v1"), (get_task, "maze2d-open-v1", "maze2d-open-v0")),
        (get_task, "antmaze-umaze-v2", "antmaze-umaze-v0"),
        (get_task, "half-cheetah-medium-v2", "halfcheetah-medium-v2"),
        *((get_variant, "RVTD", "RVDT"), (get_variant, "rvdt-determ", "RVDT-Determ")),
        *((get_task, "xyz", None), (get_variant, "xyz", None)),
    ],
)
def test_an_unknown_name_lists_all_and_suggests_the_nearest(get, name, nearest):
    hint = f" Did you mean '{nearest}'\\?" if nearest else ""
    with pytest.raises(ValueError, match=rf"there is no (task|variant) '{name}'\.{hint} Known \1s: ") as refused:
        get(name)
    assert all(known in str(refused.value) for known in (all_tasks() if get is get_task else VARIANTS))


# Rebalancing, Q-guidance and policy: the paper's table.
TABLE = {
    "DT": ("none", False, "deterministic"),
    "DT-Dup": ("dup", False, "gaussian"),
    "RDT": ("kl", False, "gaussian"),
    "QT": ("none", True, "deterministic"),
    "VDT": ("none", True, "gaussian"),
    "RVDT-Dup": ("dup", True, "gaussian"),
    "RVDT-Determ": ("kl", True, "deterministic"),
    "RVDT": ("kl", True, "gaussian"),
}


def test_a_variant_is_its_row_of_switches_and_bc_sees_no_return():
    for name, switches in TABLE.items():
        assert get_variant(name) == Variant(*switches, condition_on_return=True, expert_only=False), name
    for name in ("BC", "%BC"):
        variant = get_variant(name)
        assert (variant.rebalancing, variant.q_guidance, variant.condition_on_return) == ("none", False, False)
        assert variant.expert_only == (name == "%BC")
    family = {name for name, variant in VARIANTS.items() if variant.algorithm.endswith(":SEQUENCE")}
    assert family == {*TABLE, "BC", "%BC", "QDT"}
