"""A remark on commands on record whose configuration file this version of the package no longer has."""

import pathlib
import re

_EXPERIMENTS = pathlib.Path(__file__).resolve().parents[1]


def removed_files(commands: str) -> str:
    """A sentence that names such files and says how to repeat those runs; "" if there are none."""
    named = sorted(set(re.findall(r"--config=(configs/\w+\.py)", commands)))
    gone = [f"`{name}`" for name in named if not (_EXPERIMENTS / name).is_file()]
    if not gone:
        return ""
    return (
        f"{' and '.join(gone)} stood in earlier versions. To repeat a run that names one, set the fields that the "
        "`config.json` beside its record has."
    )
