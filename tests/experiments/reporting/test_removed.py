"""The remark on commands whose configuration file is gone."""

from reporting.removed import removed_files


def test_only_files_that_are_gone_are_named():
    here = "python experiments/run.py --config=configs/maze2d.py:small --config.seeds=0,"
    assert removed_files(here) == ""
    gone = removed_files(f"{here}\npython experiments/run.py --config=configs/old.py\n--config=configs/old.py:small")
    assert gone.startswith("`configs/old.py` stood in earlier versions.")
