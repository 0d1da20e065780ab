"""Exporting a trained policy: a run directory in, a folder out that acts without the packages that trained it."""

from __future__ import annotations

import dataclasses
import math
import os
import pathlib
import tempfile
from typing import Literal

import jax
import jax.export
import jax.numpy as jnp
import numpy as np

from rvdt_jax.acting.episodes import Player
from rvdt_jax.acting.exported import FACTS, FORMAT_VERSION, PLATFORMS, PROGRAM, WEIGHTS, digest
from rvdt_jax.acting.saved import SavedRun, interface_of, load_run, one_seed, player_of
from rvdt_jax.acting.selection import Actor, choose_actions
from rvdt_jax.acting.window import Windows
from rvdt_jax.config.serialization import to_json
from rvdt_jax.errors import UserError, optional_imports
from rvdt_jax.files import naming
from rvdt_jax.report.provenance import installed_versions, source_commit
from rvdt_jax.report.records import write_json
from rvdt_jax.types import Params


def export_policy(
    run_dir: str | pathlib.Path,
    out: str | pathlib.Path,
    *,
    seed: int | None = None,
    step: int | Literal["best"] | None = None,
    selection: str | None = None,
) -> pathlib.Path:
    """Writes one seed's policy as a folder for ``Policy.from_export``, see ``acting.exported``; whole or not at all.

    Args:
        run_dir, seed, step, selection: see ``load_policy``.
        out: the folder; made if it is missing.

    Returns:
        The folder.

    Raises:
        UserError: as ``load_policy``; or ``out`` is the current folder, or exists and is no empty folder, and stays as
            it is.
    """
    out = pathlib.Path(out).expanduser()
    with optional_imports(str(out)):
        import flatbuffers  # noqa: F401 - ``serialize`` needs it
    if out.exists() and out.samefile("."):
        raise UserError(f"{out}: is the current folder, which would be replaced. Name a new one.")
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise UserError(f"{out}: exists and is no empty folder. Choose another; nothing was touched.")
    write_export(load_run(run_dir, step=step, selection=selection), out, seed)
    return out


def write_export(saved: SavedRun, out: pathlib.Path, seed: int | None = None) -> None:
    """Writes the folder beside ``out`` and moves it there; see ``export_policy``."""
    seed, params = one_seed(saved, seed)
    player = player_of(saved, params)
    needed = ("policy", "critic") if saved.actor.selection in ("critic", "best_of") else ("policy",)
    out.parent.mkdir(parents=True, exist_ok=True)
    with naming(out), tempfile.TemporaryDirectory(prefix=f".{out.name}.", dir=out.parent) as hidden:
        folder = pathlib.Path(hidden, out.name)
        folder.mkdir()
        weights, program = _lower(saved.actor, player, {name: params[name] for name in needed})
        np.savez(folder / WEIGHTS, **weights)
        (folder / PROGRAM).write_bytes(program.serialize())
        digests = {name: digest(folder / name) for name in (WEIGHTS, PROGRAM)}
        facts = _facts(saved, seed, player)
        write_json(folder / FACTS, {"format_version": FORMAT_VERSION, "digests": digests} | facts)
        os.rename(folder, out)


def _lower(actor: Actor, player: Player, params: Params) -> tuple[dict[str, np.ndarray], jax.export.Exported]:
    """The weights by name, and the function of them, the windows, ``last``, the keys and the step."""
    leaves, treedef = jax.tree.flatten_with_path(params)
    weights = {jax.tree_util.keystr(path, simple=True, separator="/"): np.asarray(leaf) for path, leaf in leaves}
    names = list(weights)  # in the order of the leaves; a dict that JAX has flattened comes back sorted

    def act(weights: dict, windows: dict, last, keys, step):
        params = jax.tree.unflatten(treedef, [weights[name] for name in names])
        return choose_actions(params, Windows(**windows), last, keys, step, actor=actor)

    (episodes, conditionings), length = jax.export.symbolic_shape("F, C"), player.context_length
    shapes = {
        "observations": (1, episodes, length, player.observation_size),
        "actions": (1, episodes, length, player.action_size),
        "returns_to_go": (1, conditionings if actor.asks_all else 1, episodes, length),
    }
    windows = {name: jax.ShapeDtypeStruct(shape, jnp.float32) for name, shape in shapes.items()}
    windows["timesteps"] = jax.ShapeDtypeStruct((length,), jnp.int32)
    number, keys = np.int32(0), jax.random.split(jax.random.key(0), 1)
    return weights, jax.export.export(jax.jit(act), platforms=PLATFORMS)(weights, windows, number, keys, number)


def _facts(saved: SavedRun, seed: int, player: Player) -> dict:
    """The content of ``policy.json`` besides its version: arguments of ``Player`` and ``Policy``, and the origin."""
    fields = {field.name: getattr(player, field.name) for field in dataclasses.fields(player)}
    del fields["choose"]
    statistics = {name: fields[name].tolist() for name in ("mean", "std")}
    bounds = [value if math.isfinite(value) else None for value in saved.return_range]
    return {
        "player": fields | statistics | {"return_range": bounds},
        "policy": interface_of(saved) | {"seed": seed, "config": to_json(saved.config)},
        "origin": {
            "update": saved.step,
            "action_selection": saved.actor.selection,
            "data": saved.provenance,
            "versions": installed_versions(),
            "commit": source_commit(),
        },
    }
