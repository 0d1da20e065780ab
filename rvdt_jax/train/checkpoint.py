"""Checkpoints with Orbax: atomic, and complete enough to resume from or to act with.

One checkpoint holds ``arrays`` (the train state of every seed and the observation statistics) and ``about`` (JSON:
the identity of the run, its settings, versions). Orbax writes into a temporary folder and renames it, so a half
written checkpoint is never read. Among several processes only process 0 writes and reads them.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import pathlib
from collections.abc import Callable, Iterator
from importlib import metadata

import jax
import numpy as np
import orbax.checkpoint as ocp
from orbax.checkpoint import checkpoint_managers as managers

from rvdt_jax.errors import UserError, differences, first_line, one_line
from rvdt_jax.types import Normalizer, TrainState

log = logging.getLogger(__name__)
FORMAT_VERSION = 5  # 5: the states hold learners by name


def versions() -> dict[str, str]:
    """The versions that a checkpoint records."""
    return {name: metadata.version(name) for name in ("jax", "flax", "optax", "orbax-checkpoint", "numpy")}


class NotSaved(OSError):
    """A checkpoint could not be written."""

    def __init__(self, message: str):
        super().__init__(message)
        self.errno = errno.EIO


class OtherRun(UserError):
    """A checkpoint belongs to other settings or other data."""


class Checkpoints:
    """The checkpoints of one run; a context manager that waits for the last write.

    Args:
        folder: where they are.
        keep: how many of the latest are kept.
        best: tells, whenever one more is written, which update's is kept besides; None: none is.
        about: JSON values that every checkpoint carries. Under ``identity`` stands what must be the same for a
            checkpoint to be continued.
        comparable: brings the settings of an identity, which an older version may have written, to today's form.
    """

    def __init__(
        self,
        folder: pathlib.Path,
        keep: int,
        about: dict,
        best: Callable[[], int | None] = lambda: None,
        comparable: Callable[[dict], dict] = lambda settings: settings,
    ):
        self._folder = folder.absolute()
        self._folder.mkdir(parents=True, exist_ok=True)
        # Of several processes only this one is here; Orbax would wait for the others.
        self._alone = jax.process_count() > 1
        processes = ocp.options.MultiprocessingOptions(active_processes={0} if self._alone else None)
        self._best, self._comparable = best, comparable
        self._kept = [managers.LatestN(keep), managers.CustomSteps(())]  # Orbax asks them at every save
        policy = managers.AnyPreservationPolicy(self._kept)
        how = {"preservation_policy": policy, "multiprocessing_options": processes, "create": False}
        self._about = {"format_version": FORMAT_VERSION, "versions": versions()} | about
        self._manager = ocp.CheckpointManager(self._folder, options=ocp.CheckpointManagerOptions(**how))

    def __enter__(self) -> Checkpoints:
        return self

    def __exit__(self, kind, *exception) -> None:
        try:
            with self._writing():
                self._manager.close()
        except NotSaved:
            if kind is None:  # else what ended the run says more
                raise

    def latest_step(self) -> int | None:
        """The update at which the newest checkpoint was written; None where there is none."""
        return self._manager.latest_step()

    def save(self, step: int, states: TrainState, normalizer: Normalizer) -> None:
        """Writes a checkpoint in the background; the arrays are copied before this returns.

        Raises:
            NotSaved: this one could not be written, or the one before.
        """
        arrays = ocp.args.StandardSave(self._plain(states, normalizer))
        best = self._best()  # known by now, although it was evaluated after it was written
        self._kept[1] = managers.CustomSteps(() if best is None else (best,))
        with self._writing():
            self._manager.save(step, args=ocp.args.Composite(arrays=arrays, about=ocp.args.JsonSave(self._about)))

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        """Says of a write that failed which checkpoint is left."""
        try:
            yield
        except Exception as error:  # Orbax and TensorStore give a full disk many names
            steps = [int(path.name) for path in self._folder.iterdir() if path.name.isdigit()]
            left = f"that of update {max(steps)} is sound" if steps else "there is none yet"
            reason = one_line(error)
            remedy = "Make room" if "No space left" in reason or "quota" in reason.lower() else "Mend that"
            raise NotSaved(
                f"{self._folder}: a checkpoint could not be written ({reason}); {left}. {remedy}, then go on with "
                "--resume."
            ) from error

    def restore(self, states: TrainState, normalizer: Normalizer) -> TrainState:
        """The newest checkpoint that can be read, in the layout of freshly made ``states``.

        Newer ones that cannot be read are moved out of the way, beside the folder of checkpoints, and a warning names
        them.

        Raises:
            UserError: none can be read, or the newest that can belongs to other settings or other data; the difference
                is named, and nothing is moved.
        """
        template, unreadable = jax.tree.map(_abstract, self._plain(states, normalizer)), {}
        for step in sorted(self._manager.all_steps(), reverse=True):
            try:
                about = self._manager.restore(step, args=ocp.args.Composite(about=ocp.args.JsonRestore()))["about"]
                self._check_identity(about)
                arrays = ocp.args.Composite(arrays=ocp.args.StandardRestore(template))
                restored = self._manager.restore(step, args=arrays)["arrays"]["states"]
            except OtherRun:
                raise
            except Exception as error:  # a damaged file makes Orbax raise almost anything
                unreadable[step] = f"{type(error).__name__}: {first_line(error)}"
                continue
            self._move_away(unreadable, step)
            return restored.replace(key=jax.random.wrap_key_data(restored.key))
        reasons = "; ".join(f"{step}: {reason}" for step, reason in unreadable.items())
        raise UserError(f"{self._folder}: no checkpoint can be read ({reasons}). Start anew in another --workdir.")

    def _check_identity(self, about: dict) -> None:
        if about.get("format_version", FORMAT_VERSION) < FORMAT_VERSION:
            raise OtherRun(
                f"{self._folder}: an older version of this package wrote the checkpoints (format "
                f"{about['format_version']}; this one writes {FORMAT_VERSION}). They can be evaluated, but not "
                "resumed. Train anew in another --workdir, or resume with the version that began the run."
            )
        compared = ("format_version", "identity")
        there, here = ({name: side.get(name) for name in compared} for side in (about, self._about))
        if there["identity"] and "config" in there["identity"]:
            there["identity"] = there["identity"] | {"config": self._comparable(there["identity"]["config"])}
        differing = differences(there, here)
        if differing:
            raise OtherRun(
                f"{self._folder}: the checkpoint belongs to another run ({'; '.join(differing)}). Go back to its "
                "settings and data, or choose another --workdir."
            )

    def _move_away(self, unreadable: dict[int, str], step: int) -> None:
        for damaged, reason in unreadable.items():
            numbers = ("", *(f"-{number}" for number in range(2, 1000)))
            places = (self._folder.with_name(f"damaged-checkpoint-{damaged}{number}") for number in numbers)
            place = next(place for place in places if not place.exists())
            (self._folder / str(damaged)).rename(place)
            words = "the checkpoint of update %d cannot be read (%s): going on from update %d; it was moved to %s"
            log.warning(words, damaged, reason, step, place)
        if unreadable:
            self._manager.reload()

    def _plain(self, states: TrainState, normalizer: Normalizer) -> dict:
        """What is written; as NumPy arrays where Orbax would expect every process to hold a part of JAX's."""
        tree = {"states": states.replace(key=jax.random.key_data(states.key)), "normalizer": normalizer}
        return jax.tree.map(np.asarray, tree) if self._alone else tree


def _abstract(array: jax.Array | np.ndarray) -> jax.ShapeDtypeStruct | np.ndarray:
    if isinstance(array, np.ndarray):
        return array
    return jax.ShapeDtypeStruct(array.shape, array.dtype, sharding=array.sharding)
