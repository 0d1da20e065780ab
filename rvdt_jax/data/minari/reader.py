"""Reading a local Minari data set into checked episodes."""

from __future__ import annotations

import json
import logging
import math
import pathlib
from collections.abc import Iterator

import numpy as np

from rvdt_jax.data.columns import action_bounds, as_flags
from rvdt_jax.data.contract import NO_EPISODES, check_episodes
from rvdt_jax.data.episodes import Episodes
from rvdt_jax.data.minari import corrupt
from rvdt_jax.data.spaces import entry_of, observation_shapes, scale_actions
from rvdt_jax.errors import UserError, one_line, optional_imports
from rvdt_jax.files import check_hdf5, check_room, read_text

log = logging.getLogger(__name__)

_OUTSIDE = 1e-5  # actions this far beyond their bounds, in parts of the range, are rounding
_REMEDY = "Repair or drop that episode."
_SMALLER = "Read fewer entries (config.data.observation_keys), or write the data set again with smaller observations."


def read_minari(
    dataset_id: str,
    folder: pathlib.Path,
    observation_keys: tuple[str, ...] = (),
    *,
    bounds_from_data: bool = False,
) -> Episodes:
    """All episodes of a local Minari data set with Box actions, and Box observations or a dict of them.

    The last of Minari's T + 1 observations per episode, after the last action, is dropped.

    Args:
        dataset_id: for messages.
        folder: the data set's.
        observation_keys: the entries of dict observations that are read, in order; see ``spaces``.
        bounds_from_data: take the bounds of the actions from the data, not from their space.

    Raises:
        UserError: the data set is corrupt, is larger than memory, holds other spaces, or breaks the episode contract.
    """
    dataset, stored = _open(dataset_id, folder)
    action_space, steps = dataset.action_space, dataset.total_steps
    seen = _check_spaces(dataset_id, dataset.observation_space, action_space, observation_keys)
    size = 4 * steps * sum(map(math.prod, [*seen.values(), action_space.shape]))
    check_room(dataset_id, size, _SMALLER)
    episodes = _iterate(dataset_id, folder, dataset)
    columns = [_read_episode(dataset_id, episode, seen, action_space.shape) for episode in episodes]
    if not columns:
        raise UserError(f"{dataset_id}: {NO_EPISODES}")
    if stored != len(columns):
        raise UserError(
            f"{dataset_id}: its metadata.json says total_episodes={len(columns)}, but main_data.hdf5 holds {stored}. "
            "Correct the number, or download or collect the data set again."
        )
    observations, actions, rewards, lengths, terminated = zip(*columns, strict=True)
    _report_split(dataset_id, terminated)
    actions, low, high = _read_actions(dataset_id, np.concatenate(actions), action_space, bounds_from_data)
    return check_episodes(
        Episodes(
            name=dataset_id,
            observations=np.concatenate(observations),
            actions=actions,
            rewards=np.concatenate(rewards),
            lengths=np.concatenate(lengths),
            terminated=np.concatenate(terminated),
            action_low=low,
            action_high=high,
            action_shape=None if len(action_space.shape) == 1 else action_space.shape,
        )
    )


def _open(dataset_id: str, folder: pathlib.Path) -> tuple:
    """The ``minari.MinariDataset``, its spaces and steps read, and how many episodes its file holds."""
    import minari

    try:  # a corrupt file makes Minari and h5py raise almost anything
        stored, dataset = _count_episodes(folder), minari.MinariDataset(folder)
        _ = dataset.observation_space, dataset.action_space, dataset.total_steps
    except ImportError as error:  # Minari's own says nothing of the package
        with optional_imports(dataset_id):
            raise error.__context__ or error from None
    except Exception as error:
        raise corrupt(dataset_id, folder, error) from error
    return dataset, stored


def _iterate(dataset_id: str, folder: pathlib.Path, dataset) -> Iterator:
    """The episodes of an open data set; what breaks on the way is its corruption."""
    try:
        yield from dataset.iterate_episodes()
    except Exception as error:
        raise corrupt(dataset_id, folder, error) from error


def _report_split(dataset_id: str, ends: tuple[np.ndarray, ...]) -> None:
    """Says how many stored episodes hold several; ``ends`` are the terminal flags of each one's own."""
    parts = np.array([each.size for each in ends])
    if (parts > 1).any():
        log.warning(
            "%s: in %d stored episodes flags of an end lie before the last step; they are split there: %d episodes",
            *(dataset_id, int((parts > 1).sum()), int(parts.sum())),
        )


def _count_episodes(folder: pathlib.Path) -> int:
    """How many episodes are stored, before anything as long as the data set's claims is made.

    Raises:
        ValueError: the data set claims more than its files can hold.
    """
    import h5py

    claimed = json.loads(read_text(folder / "metadata.json"))["total_episodes"]
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    if claimed > size:
        raise ValueError(f"metadata.json claims {claimed} episodes, and all files together have {size} bytes")
    path = folder / "main_data.hdf5"
    if not path.exists():  # Minari's other format has no count of its own
        return claimed
    with h5py.File(path, "r") as file:
        check_hdf5(file)
        return sum(name.startswith("episode_") for name in file)


def _check_spaces(dataset_id: str, observation_space, action_space, keys: tuple[str, ...]) -> dict:
    """The shape of every entry that is read; see ``spaces.observation_shapes``."""
    from gymnasium.spaces import Box

    if not isinstance(action_space, Box) or action_space.dtype.kind != "f":
        raise UserError(
            f"{dataset_id}: actions are {one_line(action_space)}; only Box spaces of floats can be learned. Choose "
            "another data set, or write this one again with its actions as numbers of such a space."
        )
    try:
        return observation_shapes(observation_space, keys)
    except UserError as error:
        raise UserError(f"{dataset_id}: {error}") from error


def _name(key: str | None) -> str:
    return "observations" if key is None else f"observations.{key}"


def _read_episode(dataset_id: str, episode, seen: dict, action_shape: tuple[int, ...]) -> tuple:
    """Observations (T, S) in their own type, actions (T, A), rewards (T,); each episode's steps and terminal flag.

    A buffer with flags before its last step holds several episodes: a recording that was stored in one piece.
    """
    where = f"{dataset_id}: episode {episode.id}"
    rewards = _array(where, "rewards", episode.rewards, ())
    steps = len(rewards)
    if steps == 0:
        raise UserError(f"{where} has no steps. Remove it from the data set.")
    parts = []
    for key, shape in seen.items():
        try:
            values = episode.observations if key is None else entry_of(episode.observations, key)
        except (KeyError, TypeError) as error:
            raise UserError(f"{where} has no {_name(key)}. {_REMEDY}") from error
        parts.append(_array(where, _name(key), values, shape, steps + 1)[:-1].reshape(steps, -1))
    actions = _array(where, "actions", episode.actions, action_shape, steps)
    flags = [
        as_flags(where, name, _array(where, name, getattr(episode, name), (), steps))
        for name in ("terminations", "truncations")
    ]
    ends = flags[0] | flags[1] | (np.arange(steps) == steps - 1)
    last = np.flatnonzero(ends)
    return np.concatenate(parts, axis=1), actions.reshape(steps, -1), rewards, np.diff(last, prepend=-1), flags[0][last]


def _array(where: str, field: str, values, shape: tuple[int, ...], length: int | None = None) -> np.ndarray:
    """The values as one array of ``length`` real numbers or rows of ``shape``."""
    try:
        array = np.asarray(values)
    except ValueError as error:
        raise UserError(f"{where}: {field} do not form an array ({one_line(error)}). {_REMEDY}") from error
    if array.dtype.kind not in "fiub":
        raise UserError(f"{where}: {field} have type {array.dtype}, not real numbers. {_REMEDY}")
    if array.ndim == 0 or array.shape[1:] != shape:
        expected = f"(steps, {', '.join(map(str, shape))})" if shape else "(steps,)"
        raise UserError(f"{where}: {field} have shape {array.shape}; expected {expected}. {_REMEDY}")
    if length is not None and len(array) != length:
        steps = length - field.startswith("observations")
        raise UserError(f"{where} has {steps} rewards but {len(array)} {field}; expected {length}. {_REMEDY}")
    return array


def _read_actions(
    dataset_id: str, actions: np.ndarray, space, bounds_from_data: bool
) -> tuple[np.ndarray, np.ndarray | None, np.ndarray | None]:
    """(N, A) actions in [-1, 1], and the bounds those stand for (None for -1 and 1).

    Bounds that are not finite, or all if so chosen, are taken from the data, dimension by dimension. Actions beyond
    their bounds are clipped, as environments do, with a warning; NaN and inf are left for the checker to name.
    """
    with np.errstate(over="ignore"):
        finite = np.isfinite(actions.astype(np.float32))
    actions, known = actions.astype(np.float64), np.where(finite, actions, 0.0).astype(np.float64)
    low, high = space.low.astype(np.float64).ravel(), space.high.astype(np.float64).ravel()
    if bounds_from_data:
        low, high = np.full_like(low, -np.inf), np.full_like(high, np.inf)
    from_data = action_bounds(known)
    low = np.where(np.isfinite(low), low, np.minimum(from_data[0], high))
    high = np.where(np.isfinite(high), high, np.maximum(from_data[1], low))
    _report_outside(dataset_id, known[finite.all(1)], low, high)
    scaled = np.clip(scale_actions(known, low, high), -1.0, 1.0)
    with np.errstate(over="ignore"):
        scaled = np.where(finite, scaled, actions).astype(np.float32)
    if (low == -1.0).all() and (high == 1.0).all():
        return scaled, None, None
    return scaled, low.astype(np.float32), high.astype(np.float32)


def _report_outside(dataset_id: str, actions: np.ndarray, low: np.ndarray, high: np.ndarray) -> None:
    """Warns of actions beyond their bounds.

    Raises:
        UserError: more than half of the numbers lie beyond them.
    """
    outside = np.maximum(low - actions, actions - high) > _OUTSIDE * (high - low)
    share = outside.any(1).mean() if outside.size else 0.0
    worst = np.abs(actions[outside]).max(initial=0.0)
    if outside.size and outside.mean() > 0.5:  # of the numbers: one joint of many may well be driven beyond its end
        raise UserError(
            f"{dataset_id}: {share:.0%} of the actions lie outside the bounds of its action space, {one_line(low)} to "
            f"{one_line(high)} (the largest is {worst:g}). Correct the action space, or pass "
            "--config.data.action_bounds=data to take the bounds from the data."
        )
    if share > 0:
        message = "%s: %.2g%% of the actions lie outside their bounds (the largest is %g): clipped, as environments do"
        log.warning(message, dataset_id, 100 * share, worst)
