"""Checkpoints with Orbax: atomic, and complete enough to resume from or to act with.

One checkpoint holds ``arrays`` (the train state of every seed and the observation statistics) and ``about`` (JSON:
the settings, the data set's identity, versions). Orbax writes into a temporary folder and renames it, so a half
written checkpoint is never read.
"""

from __future__ import annotations

import pathlib
from importlib import metadata

import jax
import orbax.checkpoint as ocp

from rvdt_jax.config import differences
from rvdt_jax.types import Normalizer, TrainState

FORMAT_VERSION = 1


def versions() -> dict[str, str]:
    """The versions that a checkpoint records."""
    return {name: metadata.version(name) for name in ("jax", "flax", "optax", "orbax-checkpoint", "numpy")}


class Checkpoints:
    """The checkpoints of one run, in ``folder``; a context manager that waits for the last write."""

    def __init__(self, folder: pathlib.Path, keep: int):
        options = ocp.CheckpointManagerOptions(max_to_keep=keep, create=True)
        self._folder = folder.absolute()
        self._manager = ocp.CheckpointManager(self._folder, options=options)

    def __enter__(self) -> Checkpoints:
        return self

    def __exit__(self, *exception) -> None:
        self._manager.close()

    def latest_step(self) -> int | None:
        """The update at which the newest checkpoint was written."""
        return self._manager.latest_step()

    def save(self, step: int, states: TrainState, normalizer: Normalizer, about: dict) -> None:
        """Writes a checkpoint in the background; the arrays are copied before this returns."""
        if step in self._manager.all_steps():
            return
        about = {"format_version": FORMAT_VERSION, "versions": versions()} | about
        self._manager.save(
            step,
            args=ocp.args.Composite(
                arrays=ocp.args.StandardSave({"states": _raw_keys(states), "normalizer": normalizer}),
                about=ocp.args.JsonSave(about),
            ),
        )

    def restore(self, states: TrainState, normalizer: Normalizer, about: dict) -> TrainState:
        """The newest checkpoint, in the layout of freshly made ``states``.

        Raises:
            ValueError: there is none, or it belongs to other settings or other data; the difference is named.
        """
        step = self.latest_step()
        if step is None:
            raise ValueError(f"{self._folder}: there is no checkpoint to resume from. Start the run without --resume.")
        found = self._manager.restore(step, args=ocp.args.Composite(about=ocp.args.JsonRestore()))["about"]
        expected = {"format_version": FORMAT_VERSION} | about
        differing = differences({name: found.get(name) for name in expected}, expected)
        if differing:
            raise ValueError(
                f"{self._folder}: the checkpoint belongs to another run ({'; '.join(differing)}). Go back to its "
                "settings and data, or choose another --workdir."
            )
        template = {"states": _raw_keys(states), "normalizer": normalizer}
        restored = self._manager.restore(
            step, args=ocp.args.Composite(arrays=ocp.args.StandardRestore(jax.tree.map(_abstract, template)))
        )["arrays"]["states"]
        return restored.replace(key=jax.random.wrap_key_data(restored.key))


def _raw_keys(states: TrainState) -> TrainState:
    return states.replace(key=jax.random.key_data(states.key))


def _abstract(array: jax.Array) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(array.shape, array.dtype, sharding=array.sharding)
