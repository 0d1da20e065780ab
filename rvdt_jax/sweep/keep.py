"""The small records of finished cells, without their checkpoints, gathered where they can be committed."""

from __future__ import annotations

import pathlib
import shutil

from rvdt_jax.report.cells import COMMANDS_FILE, write_commands
from rvdt_jax.report.records import read_json
from rvdt_jax.sweep.execute import Job, State

RECORDS = ("config.json", "evaluations.jsonl", "results.json")  # the last one last: with it a cell is complete


def keep_records(root: pathlib.Path, jobs: list[Job], folder: pathlib.Path) -> int:
    """Copies the records of every finished cell to ``folder``, laid out as below ``root``; returns how many were new.

    Raises:
        ValueError: ``folder`` holds other records of a cell; nothing is replaced.
    """
    done = [job for job in jobs if job.state() is State.DONE]
    new = [job for job in done if not _is_kept(job.workdir, folder / job.workdir.relative_to(root))]
    commands = read_json(root / COMMANDS_FILE) if new else {}
    for job in new:
        name = job.workdir.relative_to(root)
        (folder / name).mkdir(parents=True, exist_ok=True)
        for record in RECORDS:
            shutil.copyfile(job.workdir / record, folder / name / record)
        write_commands(folder, {str(name): commands[str(name)]})
    return len(new)


def _is_kept(workdir: pathlib.Path, place: pathlib.Path) -> bool:
    if not (place / RECORDS[-1]).exists():
        return False
    for record in RECORDS:
        if (place / record).read_bytes() != (workdir / record).read_bytes():
            raise ValueError(f"{place}: holds other records than {workdir}. Choose another --keep, or move them away.")
    return True
