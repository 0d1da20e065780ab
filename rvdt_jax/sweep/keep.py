"""Copies the small records of finished and failed cells, without checkpoints, into a folder that can be committed."""

from __future__ import annotations

import pathlib
import shutil

from rvdt_jax.errors import UserError
from rvdt_jax.files import atomic_write
from rvdt_jax.report.cells import COMMAND_SUFFIX, FAILED_SUFFIX
from rvdt_jax.sweep.execute import Job, State

RECORDS = ("config.json", "evaluations.jsonl", "results.json")  # results.json last: with it a cell is complete
SCORES = "scores-*.json"  # of evaluate.py, if it ran before


def keep_records(root: pathlib.Path, jobs: list[Job], folder: pathlib.Path) -> int:
    """Copies the records of every finished cell, and the reports of failed ones, laid out as below ``root``.

    Returns:
        The number of finished cells that were new.

    Raises:
        UserError: ``folder`` holds other records of a cell; nothing is replaced.
    """
    places = {job: folder / job.workdir.relative_to(root) for job in jobs}
    states = {job: job.state() for job in jobs}
    new = [job for job in jobs if states[job] is State.DONE and not _is_kept(job, places[job])]
    for job in new:
        place = places[job]
        place.mkdir(parents=True, exist_ok=True)
        for record in (*sorted(path.name for path in job.workdir.glob(SCORES)), *RECORDS):
            if (job.workdir / record).exists():  # without a simulator nothing is evaluated
                _copy(job.workdir / record, place / record)
        for suffix in (COMMAND_SUFFIX, FAILED_SUFFIX):
            place.with_name(place.name + suffix).unlink(missing_ok=True)
        if job.beside(COMMAND_SUFFIX).exists():
            shutil.copyfile(job.beside(COMMAND_SUFFIX), place.with_name(place.name + COMMAND_SUFFIX))
    for job, place in places.items():
        if states[job] is State.FAILED and job.beside(FAILED_SUFFIX).exists():
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(job.beside(FAILED_SUFFIX), place.with_name(place.name + FAILED_SUFFIX))
    return len(new)


def _is_kept(job: Job, place: pathlib.Path) -> bool:
    if not (place / RECORDS[-1]).exists():
        return False
    for record in RECORDS:
        sides = [folder / record for folder in (place, job.workdir)]
        there, here = (path.read_bytes() if path.exists() else None for path in sides)
        if there != here:
            raise UserError(f"{place}: holds other records than {job.workdir}. Choose another --keep.")
    return True


def _copy(source: pathlib.Path, target: pathlib.Path) -> None:
    """As a whole or not at all."""
    with atomic_write(target) as partial:
        shutil.copyfile(source, partial)
