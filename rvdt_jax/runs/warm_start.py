"""The parameters of another run as the beginning of this one."""

from __future__ import annotations

import pathlib
from collections.abc import Callable

import jax
import jax.numpy as jnp

from rvdt_jax.acting.checkpoints import read_checkpoint
from rvdt_jax.config.settings import Config
from rvdt_jax.errors import UserError
from rvdt_jax.report.records import read_json, write_json
from rvdt_jax.types import Learner, TrainState

_SOURCE = "init_from.json"


def begin_from(
    fresh: Callable[[], TrainState], config: Config, folder: pathlib.Path, resume: bool
) -> Callable[..., tuple[TrainState, dict]] | None:
    """What makes the first states of a run as ``config.train.init_from`` says, see ``warm_start``.

    It may be given the update of the other run. If not, that is the newest; on a resume the one on record, because the
    other run may have been trained on since.

    None where the states are fresh, or where the run is resumed from a checkpoint of its own.
    """
    if (found := _checkpoint_of(config, folder, resume)) is None:
        return None
    source, recorded = found

    def begin(step: int | None = recorded) -> tuple[TrainState, dict]:
        return warm_start(fresh(), config.seeds, source, step)

    return begin


def check_source(
    config: Config, folder: pathlib.Path, resume: bool, fresh: Callable[[], TrainState] | None = None
) -> None:
    """Refuses, before any work is done, what ``begin_from`` would refuse later: UserError.

    Sizes are known once the data are read, and are compared where ``fresh``, which makes the first states, is given.
    """
    if (found := _checkpoint_of(config, folder, resume)) is None:
        return
    source, step = found
    if fresh is not None:
        _read(jax.eval_shape(fresh), config.seeds, source, step)
    else:
        theirs = read_checkpoint(pathlib.Path(source).expanduser(), step)[1]
        _rows(config.seeds, theirs.seeds, f"config.train.init_from={source}")


def _checkpoint_of(config: Config, folder: pathlib.Path, resume: bool) -> tuple[str, int | None] | None:
    """The run whose parameters begin this one, and the update (None: its newest); None where no other run begins it."""
    source = config.train.init_from
    own = resume and any(path.name.isdigit() for path in (folder / "checkpoints").glob("*"))
    if source is None or own:
        return None
    known = source_of(folder).get("init_from", {}) if resume else {}
    return source, known["step"] if known.get("run") == str(source) else None


def warm_start(
    states: TrainState, seeds: tuple[int, ...], source: str, step: int | None = None
) -> tuple[TrainState, dict]:
    """Fresh states with the parameters of a checkpoint in the run directory ``source``.

    Optimisers are new, and the update is 0. A learner that the other run does not have stays fresh.

    Args:
        states: of R seeds, before the first update.
        seeds: their numbers. Each begins with the same seed of the other run, or all with its only one.
        source: the other run's directory.
        step: the checkpoint's update; None: the newest.

    Returns:
        The states, and a record of where the parameters come from.

    Raises:
        UserError: there is no such checkpoint, it has other sizes or seeds, or no learner in common.
    """
    step, theirs, rows = _read(states, seeds, source, step)
    begun = {learner: _begin(states.learners[learner], found, rows) for learner, found in theirs.items()}
    record = {"run": str(source), "step": step, "learners": list(begun)}
    return states.replace(learners=dict(states.learners) | begun), record


def _read(
    states: TrainState, seeds: tuple[int, ...], source: str, step: int | None
) -> tuple[int, dict[str, dict], jax.Array]:
    """Its update, the learners that the states have too, and the rows of their seeds; raises as ``warm_start``."""
    step, config, _, arrays = read_checkpoint(pathlib.Path(source).expanduser(), step)
    theirs, name = arrays["states"].get("learners", {}), f"config.train.init_from={source}"
    common = {learner: theirs[learner] for learner in states.learners if learner in theirs}
    if not common:
        there = ", ".join(theirs) or "none by name, as an older version wrote it"
        raise UserError(f"{name}: this run learns {', '.join(states.learners)}, but the checkpoint has {there}.")
    rows, differing = _rows(seeds, config.seeds, name), []
    for learner, found in common.items():
        differing += _differences(states.learners[learner].params, found["params"], learner)
    if differing:
        raise UserError(f"{name}: sizes differ: {'; '.join(differing)}. Begin with a run of the same sizes and data.")
    return step, common, rows


def _rows(seeds: tuple[int, ...], others: tuple[int, ...], name: str) -> jax.Array:
    """(R,) the rows of the other run's seeds that these seeds begin with."""
    if len(others) == 1:
        return jnp.zeros(len(seeds), jnp.int32)
    if not set(seeds) <= set(others):
        raise UserError(f"{name}: has the seeds {others}, but this run's are {seeds}. Name seeds that it has.")
    return jnp.array([others.index(seed) for seed in seeds])


def _shapes(tree) -> dict[str, tuple[int, ...]]:
    """The shape of every array, without the axis of seeds, by path."""
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {jax.tree_util.keystr(path, simple=True, separator="/"): leaf.shape[1:] for path, leaf in leaves}


def _differences(mine, theirs, learner: str) -> list[str]:
    """Where the two trees have other arrays, in words."""
    here, there = _shapes(mine), _shapes(theirs)
    return [
        f"{learner}/{path} is {here.get(path, 'missing')} here and {there.get(path, 'missing')} there"
        for path in sorted(here.keys() | there.keys())
        if here.get(path) != there.get(path)
    ]


def _begin(mine: Learner, found: dict, rows: jax.Array) -> Learner:
    def take(tree):
        return jax.tree.map(lambda like, leaf: leaf[rows].astype(like.dtype), mine.params, tree)

    if mine.target is None:
        return mine.replace(params=take(found["params"]))
    target = found["params"] if found.get("target") is None else found["target"]
    return mine.replace(params=take(found["params"]), target=take(target))


def keep_source(folder: pathlib.Path, source: dict | None) -> None:
    """Keeps ``warm_start``'s record in the run directory; None: there is none."""
    if source is not None:
        write_json(folder / _SOURCE, source)


def source_of(folder: pathlib.Path) -> dict:
    """``{"init_from": record}`` of a run that another one began, else {}; a part of its provenance."""
    path = folder / _SOURCE
    return {"init_from": read_json(path)} if path.exists() else {}
