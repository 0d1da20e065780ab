"""The folder of an exported policy, read with JAX, NumPy and flatbuffers alone.

policy.json       sizes, observation statistics, action bounds, targets, settings, provenance; digests of the others
weights.npz       the parameters by name, float32 as trained
act.stablehlo     ``choose_actions`` as ``jax.export`` serialises it, for the platforms ``PLATFORMS``
"""

from __future__ import annotations

import hashlib
import json
import math
import pathlib

import jax
import jax.export
import numpy as np

from rvdt_jax.acting.episodes import Player
from rvdt_jax.errors import UserError, optional_imports
from rvdt_jax.files import check_npz, read_text

FORMAT_VERSION = 1
FACTS, WEIGHTS, PROGRAM = "policy.json", "weights.npz", "act.stablehlo"
PLATFORMS = ("cpu", "cuda", "tpu")


def read_export(folder: pathlib.Path) -> tuple[Player, dict]:
    """What acts, and the other arguments of ``Policy``.

    Raises:
        UserError: there is no such folder, it is damaged, a newer version of this package wrote it, or flatbuffers is
            not installed.
    """
    with optional_imports(str(folder)):
        import flatbuffers  # noqa: F401 - ``deserialize`` needs it
    try:
        facts = json.loads(read_text(folder / FACTS))
        if facts["format_version"] > FORMAT_VERSION:
            raise ValueError(f"it has format {facts['format_version']}, of a newer version of rvdt-jax; upgrade that")
        for name in (WEIGHTS, PROGRAM):
            if digest(folder / name) != facts["digests"][name]:
                raise ValueError(f"{name} is damaged, or of another policy")
        check_npz(folder / WEIGHTS)
        with np.load(folder / WEIGHTS) as file:
            weights = jax.device_put(dict(file))
        call = jax.jit(jax.export.deserialize(bytearray((folder / PROGRAM).read_bytes())).call)
        player = facts["player"]
        low, high = player.pop("return_range")
        player["return_range"] = -math.inf if low is None else low, math.inf if high is None else high
        statistics = {name: np.array(player.pop(name), np.float32) for name in ("mean", "std")}

        def choose(windows, last, keys, step) -> jax.Array:
            return call(weights, vars(windows), last, keys, step)

        return Player(choose, **player, **statistics), facts["policy"]
    except Exception as error:  # a damaged file makes the readers raise almost anything
        raise UserError(
            f"{folder}: is no exported policy that can be read ({type(error).__name__}: {error}). Export it again."
        ) from error


def digest(path: pathlib.Path) -> str:
    """SHA-256 of a file's content, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
