"""The cells of a table as commands: each is an ordinary start of ``experiments/run.py``."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Iterable, Sequence

from rvdt_jax.algorithms.variants import folder_name, get_variant
from rvdt_jax.errors import UserError, did_you_mean
from rvdt_jax.report.tables import make_table, variants_of


@dataclasses.dataclass(frozen=True)
class Cell:
    """One run: a task, a variant, and for low data a regime and the draw of its subset: the run's seed."""

    task: str
    variant: str
    regime: str = ""
    draw: int | None = None

    @property
    def name(self) -> str:
        """Its folder below the sweep's."""
        draw = "" if self.draw is None else f"-draw-{self.draw}"
        return f"{self.task}{'-' if self.regime else ''}{self.regime}/{folder_name(self.variant)}{draw}"


def cells_of_table(
    table: str,
    tasks: Iterable[str] | None = None,
    variants: Iterable[str] | None = None,
    regimes: Iterable[str] | None = None,
    draws: Sequence[int] = (),
) -> tuple[Cell, ...]:
    """The cells of a table, or the chosen ones, row by row; those of low data once for each of the ``draws``.

    Raises:
        UserError: the table, or a chosen name, does not exist.
    """
    rows = [(row.task, row.regime) for row in make_table(table, {}).rows if row.task]
    tasks = _chosen("--tasks", tasks, [task for task, _ in rows])
    regimes = _chosen("--regimes", regimes, [regime for _, regime in rows])
    variants = [get_variant(name) and name for name in variants] if variants else variants_of(table)
    return tuple(
        Cell(task, variant, regime, draw)
        for task, regime in rows
        if task in tasks and regime in regimes
        for variant in variants
        for draw in (draws if regime and draws else (None,))
    )


def _chosen(flag: str, wanted: Iterable[str] | None, there: list[str]) -> list[str]:
    """The wanted names, each of which must exist in the table."""
    for name in wanted or ():
        if name not in there:
            known = ", ".join(filter(None, dict.fromkeys(there))) or "none"
            raise UserError(f"{flag}: the table has no {name}.{did_you_mean(name, there)} It has {known}.")
    return list(wanted or there)


def flags_of(cell: Cell, config: str, seeds: tuple[int, ...], workdir: str, settings: dict[str, object]) -> list[str]:
    """The flags of ``run.py`` that train one cell; ``settings`` are further fields, named without ``config.``.

    Raises:
        UserError: the settings name the draw of the subset, which the cell has.
    """
    if cell.draw is not None and "data.subset_seed" in settings:
        raise UserError("data.subset_seed: every seed of a low-data cell draws its own subset. Leave it out.")
    seeds = seeds if cell.draw is None else (cell.draw,)
    fields = {"task": cell.task, "variant": cell.variant, "seeds": ",".join(map(str, seeds)) + "," * (len(seeds) == 1)}
    if cell.regime:
        fields["data.regime"] = cell.regime
    if cell.draw is not None:
        fields["data.subset_seed"] = cell.draw
    flags = [f"--config.{name}={value}" for name, value in (fields | settings).items()]
    return [f"--config={config}", *flags, f"--workdir={workdir}"]


def slurm_script(
    commands: list[str], workdirs: list[str], *, at_once: int | None = None, options: tuple[str, ...] = ()
) -> str:
    """A Slurm array job, one task per command; submitted again, each task resumes its run.

    Args:
        commands: as typed, from the folder in which the job is submitted.
        workdirs: the run directory of each command.
        at_once: the number of tasks at a time; None leaves it to the cluster.
        options: of sbatch, e.g. ``--gres=gpu:1``.
    """
    limit = f"%{at_once}" if at_once else ""
    lines = [
        "#!/usr/bin/env bash",
        f"#SBATCH --array=0-{len(commands) - 1}{limit}",
        "#SBATCH --signal=B:TERM@120",
        "#SBATCH --requeue",
        *(f"#SBATCH {option}" for option in options),
        "set -u",
        "commands=(",
        *(f"  {shlex.quote(command)}" for command in commands),
        ")",
        "workdirs=(",
        *(f"  {shlex.quote(workdir)}" for workdir in workdirs),
        ")",
        'command="${commands[$SLURM_ARRAY_TASK_ID]}"',
        'workdir="${workdirs[$SLURM_ARRAY_TASK_ID]}"',
        "# Skips a finished cell, resumes an interrupted one.",
        'if [ -e "$workdir/results.json" ]; then exit 0; fi',
        'mkdir -p "$(dirname "$workdir")"',
        'if [ -e "$workdir/config.json" ]; then command="$command --resume"',
        'else printf "%s\\n" "$command" > "$workdir.command"; fi',
        'eval "exec $command"',
    ]
    return "\n".join(lines) + "\n"
