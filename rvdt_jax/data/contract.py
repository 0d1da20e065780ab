"""The contract of ``Episodes``, checked in one place by every reader."""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from rvdt_jax.data.episodes import Episodes
from rvdt_jax.data.spaces import far_offset
from rvdt_jax.errors import UserError

NO_EPISODES = "the data set has no episodes. Check its id, or collect it again."
_REPAIR = "Repair it when reading."
_TYPES = dict.fromkeys(("observations", "actions", "rewards", "action_low", "action_high"), np.float32)
_TYPES |= {"lengths": np.int64, "terminated": np.bool_, "observation_offset": np.float64}


def check_episodes(episodes: Episodes) -> Episodes:
    """Returns ``episodes``, converted to the contract's types, if they keep the contract.

    Raises:
        UserError: naming the data set, the episode, the field and the remedy.
    """
    episodes = _convert(_take_off(episodes))
    name, lengths = episodes.name, episodes.lengths
    if lengths.size == 0:
        raise UserError(f"{name}: {NO_EPISODES}")
    if lengths.ndim != 1:
        raise UserError(f"{name}: lengths have shape {lengths.shape}, not one number per episode. {_REPAIR}")
    if episodes.terminated.shape != lengths.shape:
        shape = episodes.terminated.shape
        raise UserError(f"{name}: terminated has shape {shape}, not one flag per episode. {_REPAIR}")
    if (lengths <= 0).any():
        raise UserError(f"{name}: episode {int((lengths <= 0).argmax())} has no steps. Remove it from the data set.")
    for field, dimensions in (("observations", 2), ("actions", 2), ("rewards", 1)):
        _check_values(episodes, field, dimensions)
    largest = np.abs(episodes.actions).max(1)
    if largest.max() > 1.0 + 1e-6:
        worst = int(largest.argmax())
        raise UserError(
            f"{name}: actions reach {largest[worst]:g} (episode {_episode_of(episodes, worst)}); the policy acts in "
            "[-1, 1]. Scale them when reading."
        )
    _check_bounds(episodes)
    offset, size = episodes.observation_offset, episodes.observations.shape[1]
    if offset is not None and (offset.shape != (size,) or not np.isfinite(offset).all()):
        raise UserError(f"{name}: observation_offset must be {size} finite numbers, one for each column. {_REPAIR}")
    if episodes.action_shape is not None and math.prod(episodes.action_shape) != episodes.actions.shape[1]:
        size = episodes.actions.shape[1]
        raise UserError(f"{name}: action_shape={episodes.action_shape} does not hold {size} numbers. {_REPAIR}")
    return episodes


def _check_values(episodes: Episodes, field: str, dimensions: int) -> None:
    values, steps = getattr(episodes, field), int(episodes.lengths.sum())
    if values.ndim != dimensions or values.shape[0] != steps or 0 in values.shape:
        expected = f"expected {steps} steps of {dimensions}-d data"
        raise UserError(f"{episodes.name}: {field} have shape {values.shape}; {expected}. {_REPAIR}")
    if not np.isfinite(values).all():
        place = tuple(np.argwhere(~np.isfinite(values))[0])
        episode = _episode_of(episodes, place[0])
        raise UserError(
            f"{episodes.name}: episode {episode}, {field}, step {place[0] - episodes.starts[episode]}: found "
            f"{values[place]}. Every value must be finite; repair or drop that episode."
        )


def _check_bounds(episodes: Episodes) -> None:
    name, low, high = episodes.name, episodes.action_low, episodes.action_high
    if low is None and high is None:
        return
    size = episodes.actions.shape[1]
    if low is None or high is None or low.shape != (size,) or high.shape != (size,):
        raise UserError(f"{name}: action_low and action_high must both be given, one number per action. {_REPAIR}")
    if not (np.isfinite(low).all() and np.isfinite(high).all() and (low <= high).all()):
        raise UserError(f"{name}: action_low={low} and action_high={high} are no finite, ordered bounds. {_REPAIR}")


def _episode_of(episodes: Episodes, step: int) -> int:
    return int(np.searchsorted(np.cumsum(episodes.lengths), step, side="right"))


def _take_off(episodes: Episodes) -> Episodes:
    """Takes the mean off columns that vary far from 0, where float32 cannot hold them; see ``spaces.far_offset``."""
    values = np.asarray(episodes.observations)
    if episodes.observation_offset is not None or values.dtype.kind not in "fiu" or values.ndim != 2 or not values.size:
        return episodes
    offset = far_offset(values)
    if offset.any():
        offset = np.where(values.min(0) < values.max(0), offset, 0.0)
        return dataclasses.replace(episodes, observations=values - offset, observation_offset=offset)
    return episodes


def _convert(episodes: Episodes) -> Episodes:
    """Converts every field whose values allow it; a float32 overflow becomes inf, which the checker finds."""
    converted = {}
    for field, kind in _TYPES.items():
        if getattr(episodes, field) is None:
            continue
        values = np.asarray(getattr(episodes, field))
        fits = values.dtype.kind in "fiub"
        with np.errstate(over="ignore", invalid="ignore"):
            converted[field] = values.astype(kind, copy=False) if fits else values
        if not (fits and (kind is np.float32 or np.array_equal(converted[field], values))):
            raise UserError(
                f"{episodes.name}: {field} have type {values.dtype}, with values that do not fit {kind.__name__}. "
                "Convert them when reading."
            )
    return dataclasses.replace(episodes, **converted)


def check_rewards(episodes: Episodes, learner: str) -> None:
    """Refuses rewards that say nothing to whoever learns a value from them and from nothing else.

    Raises:
        UserError: every reward is 0, or all are equal and no episode ends in a terminal step.
    """
    low, high = float(episodes.rewards.min()), float(episodes.rewards.max())
    if low == high and (low == 0.0 or not episodes.terminated.any()):  # else a value counts the steps to the end
        raise UserError(
            f"{episodes.name}: every reward is {low:g}, so that no action is worth more than another and {learner} has "
            "no value to learn. Name the column of rewards when importing the data, or choose a variant that learns no "
            "value, such as BC or RDT."
        )
