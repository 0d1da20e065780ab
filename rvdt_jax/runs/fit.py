"""From settings to a finished run directory. Data, training, evaluation and records meet only here.

Where ``jax.distributed`` has connected several processes, all go through it together: each loads the data and trains,
and process 0 alone looks at the work directory, scores, and writes; see ``rvdt_jax.runs.processes``.
"""

from __future__ import annotations

import dataclasses
import logging
import pathlib
import signal as signals
from collections.abc import Callable
from typing import TYPE_CHECKING

import jax
from jax.sharding import Mesh

from rvdt_jax.algorithms.base import get_algorithm
from rvdt_jax.config.checks import check_names_data
from rvdt_jax.config.serialization import to_json
from rvdt_jax.config.settings import Config, complete_config, left_open, settings_for
from rvdt_jax.data.contract import check_episodes
from rvdt_jax.data.episodes import Episodes
from rvdt_jax.errors import UserError
from rvdt_jax.report.provenance import describe_hardware, installed_versions, source_commit
from rvdt_jax.report.records import read_json
from rvdt_jax.report.results import write_results
from rvdt_jax.runs.load import load_episodes
from rvdt_jax.runs.preparation import Data, hold_out, prepare, sizes_of, take_share, to_agree_on
from rvdt_jax.runs.processes import Group
from rvdt_jax.runs.relabel import relabel
from rvdt_jax.runs.resuming import keep_settings
from rvdt_jax.runs.training import fresh_states, train_run
from rvdt_jax.runs.warm_start import check_source, source_of
from rvdt_jax.runs.workdir import check_workdir, default_workdir
from rvdt_jax.train.parallel import batch_sharding, make_mesh

if TYPE_CHECKING:
    from rvdt_jax.config.settings import ConfigDict

log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Run:
    """A run directory and what came of it."""

    folder: pathlib.Path
    results: dict  # the content of ``results.json``; {} if the run was interrupted
    signal: int | None = None  # the number of the signal that interrupted it; ``resume=True`` goes on


def fit(
    data: str | Episodes, config: Config | ConfigDict | None = None, *, resume: bool = False, progress: bool = True
) -> Run:
    """Trains on data named or handed over, then evaluates and scores as ``config`` says.

    Args:
        data: an id, of an imported log or a Minari data set (looked for on this machine, then on Minari's servers; a
            task's own is recreated where it has a recipe); or ``Episodes``.
        config: settings, as ``default_config`` makes them or as ``resolve`` returned them; None takes the defaults.
            Where they name no task, targets and scales come from the data. ``data`` takes the place of ``config.data``.
        resume: continue the run in the work directory from its last checkpoint; see ``run_config``.
        progress: show progress bars.

    Raises:
        UserError: as ``run_config``.
        KeyboardInterrupt: Ctrl-C; the state is saved.
    """
    named, unset = isinstance(data, str), left_open(config)
    config = settings_for(data if named else data.name, "auto" if named else "memory", config)
    if named:
        run = run_config(config, resume=resume, progress=progress, unset=unset)
    else:
        keys = list(config.data.observation_keys or ())
        provenance = {"dataset_id": data.name, "source": "memory", "observation_keys": keys}
        run = _run(config, lambda config, progress: (check_episodes(data), provenance), resume, progress, unset)
    if run.signal == signals.SIGINT:
        raise KeyboardInterrupt
    return run


def run_config(config: Config, *, resume: bool = False, progress: bool = True, unset: tuple[str, ...] = ()) -> Run:
    """Trains, evaluates and scores what ``config`` describes, on the data that it names.

    Args:
        config: resolved settings; see ``rvdt_jax.config.settings.resolve``.
        resume: continue the run in the work directory from its last checkpoint. How long it trains, what is written
            when and how it is scored may differ from before.
        progress: show progress bars.
        unset: fields that were left unset, see ``config.settings.left_open``: a run that is resumed keeps its own.

    Raises:
        UserError: the settings do not fit the data or the machine, the data set is missing or corrupt, or the work
            directory already holds a run; nothing was overwritten. Or training has diverged. Among several processes
            what process 0 refuses is refused in all, and what differs between them is refused too.
        ProcessFailed: another process has failed.
    """
    check_names_data(config)
    return _run(config, lambda config, progress: load_episodes(config, progress=progress), resume, progress, unset)


Load = Callable[[Config, bool], tuple[Episodes, dict]]


def _run(config: Config, load: Load, resume: bool, progress: bool, unset: tuple[str, ...]) -> Run:
    """Checks everything, trains, writes the results; with all processes that there are."""
    folder = pathlib.Path(config.workdir).expanduser() if config.workdir else default_workdir(config)
    commit = source_commit()  # now: the checkout may be at another one when a long run ends
    with Group() as group:
        group.agree(to_agree_on(config, resume))
        if group.count > 1 and config.train.on_divergence == "rollback":
            raise UserError(
                "config.train.on_divergence=rollback works in one process alone. Choose stop or skip for several."
            )
        group.lead(lambda: check_workdir(folder, config, resume))
        if resume:
            config = keep_settings(config, group.lead(lambda: read_json(folder / "config.json")), unset)
        group.lead(lambda: check_source(config, folder, resume))
        mesh = make_mesh(config.parallel.devices, 1 if config.parallel.seeds == "loop" else len(config.seeds))
        sharding = batch_sharding(mesh, config.train.batch_size)
        loaded = group.in_turn(lambda: load(config, progress and group.leads))
        episodes, held, provenance = hold_out(config, *loaded)
        episodes, provenance = take_share(config, episodes, provenance)
        algorithm = get_algorithm(config.variant)
        algorithm.check_data(episodes)
        longest = int(episodes.lengths.max())
        reachable = episodes.reachable_return(config.eval.horizon or longest)
        config = complete_config(config, episodes.returns, longest, provenance["dataset_id"], reachable)
        data = prepare(config, episodes, provenance, folder, group, resume, held)
        spec = algorithm.make_spec(config, **sizes_of(episodes), sharding=sharding)
        group.lead(lambda: check_source(config, folder, resume, fresh_states(config, algorithm, spec)))
        data = relabel(config, data, folder, group, resume)
        signal = train_run(config, folder, algorithm, spec, mesh, data, group, resume=resume, progress=progress)
        if signal is None:

            def write() -> dict:  # in process 0, which alone has all the facts
                return write_results(to_json(config), folder, _facts(data, folder, mesh, group, commit))

            return Run(folder, group.lead(write))
        if group.leads:
            log.warning("interrupted; the state is saved in %s: continue with --resume", folder / "checkpoints")
        return Run(folder, results={}, signal=signal)


def _facts(data: Data, folder: pathlib.Path, mesh: Mesh | None, group: Group, commit: str | None) -> dict:
    """What belongs into the results besides scores."""
    return {
        "environment": data.environment and data.environment.id,
        "ref_min_return": data.scoring.ref_min_return,
        "ref_max_return": data.scoring.ref_max_return,
        "provenance": data.provenance | source_of(folder),
        "hardware": describe_hardware(jax.devices()[0].device_kind, mesh.size if mesh else 1, group.count),
        "versions": installed_versions(),
        "commit": commit,
    }
