"""Reading one checkpoint of a run directory, whatever it is for."""

from __future__ import annotations

import math
import pathlib
from typing import Literal

import jax
import orbax.checkpoint as ocp

from rvdt_jax.config.serialization import from_json
from rvdt_jax.config.settings import Config
from rvdt_jax.errors import UserError
from rvdt_jax.files import check_memory
from rvdt_jax.report.records import best_step, read_lines


def read_checkpoint(folder: pathlib.Path, step: int | Literal["best"] | None = None) -> tuple[int, Config, dict, dict]:
    """One checkpoint of a run, onto this machine's first device, wherever it was trained.

    Args:
        folder: the run directory.
        step: the update; None takes the newest, ``"best"`` that of the best evaluation during training.

    Returns:
        The update, the run's settings, what the checkpoint says of itself, and its arrays, as
        ``train.checkpoint.Checkpoints`` wrote them.

    Raises:
        UserError: there is no such run or checkpoint, and the message names those there are; or it cannot be read.
    """
    checkpoints = folder / "checkpoints"
    if not checkpoints.is_dir():
        raise UserError(f"{folder}: holds no run with a checkpoint.")
    options = ocp.CheckpointManagerOptions(create=False)
    handlers = {"arrays": ocp.StandardCheckpointHandler(), "about": ocp.JsonCheckpointHandler()}
    with ocp.CheckpointManager(checkpoints.absolute(), options=options, item_handlers=handlers) as manager:
        steps = sorted(manager.all_steps())
        if step == "best":
            step = best_step(read_lines(folder / "evaluations.jsonl"))
            if step is None:
                raise UserError(f"{folder}: nothing was evaluated, so that no checkpoint is the best one.")
        if not steps or step not in (None, *steps):
            known = f"there are those of {', '.join(map(str, steps))}" if steps else "there is none yet"
            raise UserError(f"{folder}: has no checkpoint{'' if step is None else f' of update {step}'}; {known}.")
        step = steps[-1] if step is None else step
        try:
            about = manager.restore(step, args=ocp.args.Composite(about=ocp.args.JsonRestore()))["about"]
            if "spaces" not in about:
                raise ValueError(f"it has format {about.get('format_version')}, of an older version of this package")
            shapes = manager.item_metadata(step)["arrays"]
            leaves = jax.tree.leaves(shapes)
            check_memory(sum(math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in leaves), "it")
            wanted = ocp.args.StandardRestore(_on_first_device(shapes))
            arrays = manager.restore(step, args=ocp.args.Composite(arrays=wanted))["arrays"]
            return step, from_json(about["config"]), about, arrays
        except Exception as error:  # a damaged file makes Orbax raise almost anything
            raise UserError(
                f"{checkpoints / str(step)}: the checkpoint cannot be read ({type(error).__name__}: {error})."
            ) from error


def _on_first_device(shapes):
    sharding = jax.sharding.SingleDeviceSharding(jax.devices()[0])
    return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding), shapes)
