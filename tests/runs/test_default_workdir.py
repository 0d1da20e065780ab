"""Where a run goes that names no folder."""

import dataclasses
import pathlib

import pytest
from settings_helpers import of_own_data, resolved

from rvdt_jax.runs.workdir import default_workdir


@pytest.mark.parametrize(
    ("overrides", "folder"),
    [
        ({"task": "maze2d-umaze-v1", "variant": "%BC"}, "runs/maze2d-umaze-v1/percent-BC"),
        ({"task": "pen-human-v1", "data.minari_id": "D4RL/pen/human-v2"}, "runs/pen-human-v1/RVDT"),
        ({"task": None, "data.minari_id": "mujoco/hopper/expert-v0"}, "runs/mujoco/hopper/expert-v0/RVDT"),
        ({"task": None, "data.source": "file", "data.path": "/a/b/my data.v2.npz"}, "runs/my_data.v2/RVDT"),
        ({"task": None, "data.source": "file", "data.path": "../secret/mine.npz"}, "runs/mine/RVDT"),
    ],
)
def test_a_run_goes_under_the_name_of_its_task_or_else_of_its_data(overrides, folder):
    assert default_workdir(resolved(overrides)) == pathlib.Path(folder)


@pytest.mark.parametrize(
    ("given", "folder"),
    [
        ({"minari_id": "../../etc/x-v0"}, "runs/etc/x-v0/DT"),
        ({"minari_id": "/etc/x-v0"}, "runs/etc/x-v0/DT"),
        ({"minari_id": "a/./b/../c"}, "runs/a/b/c/DT"),
        ({"minari_id": "my data, part 2"}, "runs/my_data_part_2/DT"),
        ({"minari_id": ".."}, "runs/DT"),
        ({"minari_id": "a//b"}, "runs/a/b/DT"),
        ({"minari_id": "a\nb\\c"}, "runs/a_b_c/DT"),
        ({"path": "."}, "runs/toy/walk-v1/DT"),
        ({"path": "/"}, "runs/toy/walk-v1/DT"),
        ({"path": ".."}, "runs/DT"),
    ],
)
def test_no_name_of_data_leads_out_of_the_folder_of_runs(given, folder):
    """Episodes that are handed over may bear any name; see ``rvdt_jax.fit``."""
    config = of_own_data(variant="DT")
    named = dataclasses.replace(config, data=dataclasses.replace(config.data, **given))
    assert default_workdir(named) == pathlib.Path(folder)
