"""The cells of a table, and their commands."""

import os
import shlex
import subprocess

import pytest

from rvdt_jax.report.published import TABLES
from rvdt_jax.sweep.grid import Cell, cells_of_table, flags_of, slurm_script
from rvdt_jax.tasks import all_tasks


def test_every_table_is_a_grid():
    for table, count in zip(TABLES, [36, 12, 6, 12, 16, 32, 24, 40], strict=True):
        cells = cells_of_table(table)
        assert len({cell.name for cell in cells}) == len(cells) == count, table
        assert {cell.task for cell in cells} <= set(all_tasks())


def test_some_of_a_table():
    cells = cells_of_table("low-data", tasks=["maze2d-umaze-v1"], variants=["RVDT", "BC"], regimes=["D3", "D1"])
    names = [f"maze2d-umaze-v1-{regime}/{variant}" for regime in ("D1", "D3") for variant in ("RVDT", "BC")]
    assert [cell.name for cell in cells] == names
    assert cells_of_table("ablation", variants=["%BC"])[0].name == "halfcheetah-medium-expert-v2/percent-BC"
    # In low-data cells each seed has a subset and a run of its own.
    cells = cells_of_table("low-data", ["maze2d-umaze-v1"], ["QT"], ["D4"], draws=(0, 3))
    assert [cell.name for cell in cells] == [f"maze2d-umaze-v1-D4/QT-draw-{seed}" for seed in (0, 3)]
    flags = flags_of(cells[1], "configs/maze2d.py:small", (0, 3), "runs", {})
    assert {"--config.seeds=3,", "--config.data.regime=D4", "--config.data.subset_seed=3"} <= set(flags)
    assert {cell.draw for cell in cells_of_table("maze2d", draws=(0, 3))} == {None}
    with pytest.raises(ValueError, match=r"data\.subset_seed: .* Leave it out"):
        flags_of(cells[1], "configs/maze2d.py:small", (0, 3), "runs", {"data.subset_seed": 7})


@pytest.mark.parametrize(
    ("chosen", "words"),
    [
        ({"tasks": ["maze2d-umase-v1"]}, "--tasks: the table has no maze2d-umase-v1. Did you mean 'maze2d-umaze-v1'"),
        ({"tasks": ["hopper-medium-v2"]}, "--tasks: the table has no hopper-medium-v2.* It has maze2d-umaze-v1, "),
        ({"variants": ["RVTD"]}, "no variant 'RVTD'.*Did you mean"),
        ({"regimes": ["D1"]}, "--regimes: the table has no D1. It has none"),
    ],
)
def test_what_a_table_does_not_have_is_named(chosen, words):
    with pytest.raises(ValueError, match=words):
        cells_of_table("maze2d", **chosen)


def test_a_cell_is_an_ordinary_start_of_run():
    cell = Cell("maze2d-umaze-v1", "QT", "D2")
    expected = "--config=configs/x.py --config.task=maze2d-umaze-v1 --config.variant=QT --config.seeds=0,1"
    expected += " --config.data.regime=D2 --config.loss.eta=3.0 --workdir=runs/x"
    assert flags_of(cell, "configs/x.py", (0, 1), "runs/x", {"loss.eta": 3.0}) == expected.split()
    assert "--config.seeds=7," in flags_of(cell, "x", (7,), "y", {})  # a tuple of one


def test_the_array_job_skips_what_is_done_and_resumes_what_was_begun(tmp_path):
    """Each task of the job is run by bash, with an echo in the place of the launcher."""
    for name in ("done/results.json", "begun/config.json"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).touch()
    workdirs = ["done", "begun", "new place/new"]
    commands = [f"echo {shlex.quote(name + '!')} --workdir={shlex.quote(name)}" for name in workdirs]
    script = tmp_path / "job.sh"
    script.write_text(slurm_script(commands, workdirs, at_once=2, options=("--gres=gpu:1",)))
    expected = ["", "begun! --workdir=begun --resume\n", "new place/new! --workdir=new place/new\n"]
    for task, output in enumerate(expected):
        environment = {"SLURM_ARRAY_TASK_ID": str(task), "PATH": os.environ["PATH"]}
        assert subprocess.check_output(["bash", str(script)], cwd=tmp_path, env=environment, text=True) == output
    assert (tmp_path / "new place" / "new.command").read_text() == commands[2] + "\n"
    assert not (tmp_path / "begun.command").exists()  # another command may have begun it
    head = script.read_text().split("commands=")[0].splitlines()
    signals = "#SBATCH --signal=B:TERM@120"  # to the batch shell, which is the run itself
    assert {signals, "#SBATCH --array=0-2%2", "#SBATCH --gres=gpu:1"} <= set(head)
    assert "#SBATCH --array=0-2\n" in slurm_script(commands, workdirs)
