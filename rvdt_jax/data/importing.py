"""From a log of any layout to episodes: what its columns make, and what to check by eye."""

from __future__ import annotations

import dataclasses
import os
import pathlib
from collections.abc import Mapping, Sequence

import numpy as np

from rvdt_jax.data.columns import Cut, action_bounds, count_beyond, cut_episodes
from rvdt_jax.data.layouts import FILE
from rvdt_jax.data.roles import OPTIONAL, Roles, choose_roles, doubts_about
from rvdt_jax.data.spaces import far_offset, scale_actions
from rvdt_jax.data.tables import ArrayTable, Table, open_table
from rvdt_jax.errors import UserError
from rvdt_jax.files import check_room


@dataclasses.dataclass(frozen=True)
class Imported:
    """Episodes from a log, and what a person should check.

    Attributes:
        arrays: the fields of ``Episodes``, by name, but for its own.
        roles: which columns they were made of.
        timeouts: episodes that a time-out ended; those that neither it nor a terminal ended were cut off.
        beyond: (A,) actions that lay beyond the bounds, and were moved to them.
        declared: whether the bounds were given, not taken from the data.
        observation_names, action_names: (S,) and (A,), for the summary.
        notes: sentences on what was done.
        doubts: those of them that may say that a role was misunderstood.
    """

    arrays: dict[str, np.ndarray]
    roles: Roles
    timeouts: int
    beyond: np.ndarray
    declared: bool
    observation_names: tuple[str, ...]
    action_names: tuple[str, ...]
    notes: tuple[str, ...]
    doubts: tuple[str, ...]


def import_table(
    table: Table,
    roles: Roles,
    *,
    gap: float | None = None,
    low: float | Sequence[float] | None = None,
    high: float | Sequence[float] | None = None,
) -> Imported:
    """Reads a log.

    Args:
        table: the log.
        roles: which column is what.
        gap: the time between two rows from which on they belong to two episodes.
        low, high: the bounds of the actions, one number for all or one for each; None takes them from the data.

    Raises:
        UserError: values are missing or not finite, episodes cannot be told apart, or bounds do not fit.
    """
    columns = _read(table, roles)
    files = columns.pop("file")
    cut = cut_episodes(
        table.name,
        len(columns["rewards"]),
        episode=columns["episode"],
        terminals=columns["terminal"],
        timeouts=columns["timeout"],
        time=columns["time"],
        gap=gap,
    )
    if cut.order is not None:
        for part in ("observations", "actions", "rewards"):
            columns[part] = columns[part][cut.order]
        files = files if files is None else files[cut.order]
    cut = dataclasses.replace(cut, notes=cut.notes + _across_files(files, cut.lengths))
    return _assemble(table, roles, columns, cut, low, high)


def _across_files(files: np.ndarray | None, lengths: np.ndarray) -> tuple[str, ...]:
    """A note where rows of several files make one episode; ``files`` are the (N,) numbers of theirs."""
    if files is None:
        return ()
    starts = np.cumsum(lengths) - lengths
    mixed = np.minimum.reduceat(files, starts) != np.maximum.reduceat(files, starts)
    if not mixed.any():
        return ()
    return (
        f"in {int(mixed.sum())} of {mixed.size} episodes rows of more than one file follow each other; where that is "
        f"wrong, give each episode an id of its own, or name {FILE} as the ids where every file is an episode",
    )


def _assemble(table: Table, roles: Roles, columns: dict, cut: Cut, low, high) -> Imported:
    actions = columns["actions"]
    found_low, found_high = action_bounds(actions)
    bounds = [
        found if given is None else _given_bound(table, what, given, found.size)
        for what, given, found in (("low", low, found_low), ("high", high, found_high))
    ]
    if not (np.isfinite(bounds).all() and (bounds[0] <= bounds[1]).all()):
        raise UserError(
            f"{table.name}: the actions' lower bounds {bounds[0]} are not below the upper ones {bounds[1]}, or not "
            "finite. Correct --action_low and --action_high, or leave them unset to take the bounds from the data."
        )
    beyond = count_beyond(actions, *bounds)
    if 2 * beyond.sum() > actions.size:
        raise UserError(
            f"{table.name}: {beyond.sum() / actions.size:.0%} of the action values lie beyond the bounds "
            f"{bounds[0]} to {bounds[1]}. Correct --action_low and --action_high, or leave them unset to take the "
            "bounds from the data."
        )
    arrays = {
        "observations": columns["observations"],
        "actions": np.clip(scale_actions(actions, *bounds), -1.0, 1.0),
        "rewards": columns["rewards"],
        "lengths": cut.lengths,
        "terminated": cut.terminated,
        "action_low": bounds[0].astype(np.float32),
        "action_high": bounds[1].astype(np.float32),
        "observation_offset": columns["observation_offset"],
    }
    doubts = cut.notes + doubts_about(table, roles)
    return Imported(
        arrays=arrays,
        roles=roles,
        timeouts=cut.timeouts,
        beyond=beyond,
        declared=low is not None and high is not None,
        observation_names=_expanded(table, roles.observations),
        action_names=_expanded(table, roles.actions),
        notes=table.notes + doubts,
        doubts=doubts,
    )


def _given_bound(table: Table, what: str, given, size: int) -> np.ndarray:
    given = np.atleast_1d(np.asarray(given, np.float64))
    if len(given) not in (1, size):
        raise UserError(
            f"{table.name}: --action_{what} has {len(given)} numbers; give one, or one for each of {size} actions."
        )
    return np.broadcast_to(given, (size,)).copy()


def _expanded(table: Table, names: tuple[str, ...]) -> tuple[str, ...]:
    """A name for every number of a row."""
    widths = [(name, table.columns[name].width) for name in names]
    return tuple(f"{name}[{i}]" if width > 1 else name for name, width in widths for i in range(width))


def _read(table: Table, roles: Roles) -> dict[str, np.ndarray | None]:
    """Every role's values; observations, actions and rewards as float32, in arrays of their final size."""
    rows = table.rows
    if rows == 0:
        raise UserError(f"{table.name}: there are no rows. Check the file.")
    wide = {"observations": roles.observations, "actions": roles.actions, "rewards": (roles.reward,)}
    widths = {part: sum(table.columns[name].width for name in names) for part, names in wide.items()}
    check_room(table.name, 4 * rows * sum(widths.values()), "Leave columns out, or make images smaller.")
    result = {part: np.empty((rows, width), np.float32) for part, width in widths.items()}
    offset = None
    single = {role: getattr(roles, role) for role in OPTIONAL if getattr(roles, role)}
    single |= {"file": FILE} if FILE in table.columns else {}
    found = {role: [] for role in single}
    done = 0
    for batch in table.batches(tuple(dict.fromkeys([*roles.names(), *single.values()]))):
        count = len(batch[roles.reward])
        if done + count > rows:
            raise UserError(f"{table.name}: it has more rows than it says. Is another program writing it?")
        if offset is None:  # the first rows decide
            offset = np.concatenate([_offset_of(batch[name]) for name in roles.observations])
        for part, names in wide.items():
            shift = offset if part == "observations" else np.zeros(widths[part])
            _fill(table, result[part][done : done + count], batch, names, done, shift)
        for role, name in single.items():
            found[role].append(batch[name])
        done += count
    filled = {part: values[:done] for part, values in result.items()}
    filled |= {
        "rewards": filled["rewards"][:, 0],
        "observation_offset": offset if offset.any() else None,
    }
    return filled | {role: np.concatenate(found[role]) if role in found else None for role in (*OPTIONAL, "file")}


def _offset_of(values: np.ndarray) -> np.ndarray:
    """What to take off a column of numbers; see ``spaces.far_offset``."""
    rows = values.reshape(len(values), -1)
    return far_offset(rows) if rows.dtype.kind in "fiu" else np.zeros(rows.shape[1])


def _fill(
    table: Table,
    place: np.ndarray,
    batch: dict[str, np.ndarray],
    names: tuple[str, ...],
    done: int,
    offset: np.ndarray,
) -> None:
    """Copies columns beside each other into ``place``, (n, W), less (W,) offsets, and refuses what is not finite."""
    column = 0
    for name in names:
        values = batch[name] if batch[name].ndim == 2 else batch[name][:, None]
        if values.dtype.kind not in "fiub":
            raise UserError(f"{table.name}: column {name!r} has entries that are no numbers or are missing.")
        own = slice(column, column + values.shape[1])
        with np.errstate(over="ignore", invalid="ignore"):
            place[:, own] = values - offset[own] if offset[own].any() else values
        bad = ~np.isfinite(place[:, own]).all(1)
        if bad.any():
            row = int(np.flatnonzero(bad)[0])
            raise UserError(
                f"{table.name}: column {name!r} is empty, infinite or too large for float32 in row {done + row} (and "
                f"{int(bad.sum()) - 1} more nearby). Fill or drop these rows, or leave the column out."
            )
        column += values.shape[1]


def import_columns(columns: Mapping | str | os.PathLike, name: str, named: dict, **options) -> Imported:
    """Columns in memory, or in a file, as episodes; see ``Episodes.from_columns``.

    Args:
        columns: by name, or a path.
        name: of the data set.
        named: as for ``choose_roles``.
        **options: as for ``import_table``.
    """
    in_file = isinstance(columns, str | os.PathLike)
    table = open_table([pathlib.Path(columns).expanduser()]) if in_file else ArrayTable(name, columns)
    return import_table(table, choose_roles(table, named), **options)
