"""The small records of finished and failed cells, without checkpoints, gathered where they can be committed."""

from __future__ import annotations

import pathlib
import shutil

from rvdt_jax.errors import UserError
from rvdt_jax.report.cells import COMMAND_SUFFIX, FAILED_SUFFIX
from rvdt_jax.sweep.execute import Job, State

RECORDS = ("config.json", "evaluations.jsonl", "results.json")  # the last one last: with it a cell is complete

SCORES = "scores-*.json"  # what evaluate.py added, if it was there before


def keep_records(root: pathlib.Path, jobs: list[Job], folder: pathlib.Path) -> int:
    """Copies the records of every finished cell, and what is known of failed ones, laid out as below ``root``.

    Returns:
        How many finished cells were new.

    Raises:
        UserError: ``folder`` holds other records of a cell; nothing is replaced.
    """
    states = {job: job.state() for job in jobs}
    new = [job for job, state in states.items() if state is State.DONE and not _is_kept(job, _place(job, root, folder))]
    for job in new:
        place = _place(job, root, folder)
        place.mkdir(parents=True, exist_ok=True)
        for record in (*sorted(path.name for path in job.workdir.glob(SCORES)), *RECORDS):
            shutil.copyfile(job.workdir / record, place / record)
        for suffix in (COMMAND_SUFFIX, FAILED_SUFFIX):
            place.with_name(place.name + suffix).unlink(missing_ok=True)
        if job.beside(COMMAND_SUFFIX).exists():
            shutil.copyfile(job.beside(COMMAND_SUFFIX), place.with_name(place.name + COMMAND_SUFFIX))
    for job, state in states.items():
        if state is State.FAILED:
            place = _place(job, root, folder)
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(job.beside(FAILED_SUFFIX), place.with_name(place.name + FAILED_SUFFIX))
    return len(new)


def _place(job: Job, root: pathlib.Path, folder: pathlib.Path) -> pathlib.Path:
    return folder / job.workdir.relative_to(root)


def _is_kept(job: Job, place: pathlib.Path) -> bool:
    if not (place / RECORDS[-1]).exists():
        return False
    for record in RECORDS:
        if (place / record).read_bytes() != (job.workdir / record).read_bytes():
            raise UserError(f"{place}: holds other records than {job.workdir}. Choose another --keep.")
    return True
