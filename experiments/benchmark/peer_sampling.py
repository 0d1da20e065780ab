"""Batches for the peer: the public code bases' loop over trajectories, and a vectorised gather from flat arrays."""

from __future__ import annotations

import numpy as np
import torch

from benchmark.peer_update import PeerBatch
from rvdt_jax.data.episodes import Episodes

_FLOATS = ("observations", "actions", "rewards", "returns_to_go", "mask", "expert")


class TrajectorySampler:
    """Public style: a list of trajectories, a Python loop over the batch, returns-to-go summed anew for every sample.

    Args:
        episodes: the data.
        experts: (E,) bool, which of them are expert.
        batch_size, context_length: B and K.
        return_scale: divides the returns-to-go.
        device: where batches go.
        seed: of the draws.
    """

    def __init__(
        self,
        episodes: Episodes,
        experts: np.ndarray,
        batch_size: int,
        context_length: int,
        return_scale: float,
        device: str,
        seed: int = 0,
    ):
        self._trajectories = [
            {
                "observations": episodes.observations[start : start + length],
                "actions": episodes.actions[start : start + length],
                "rewards": episodes.rewards[start : start + length],
                "terminals": np.arange(length) == (length - 1 if ended else length),
                "expert": float(expert),
            }
            for start, length, ended, expert in zip(
                episodes.starts, episodes.lengths, episodes.terminated, experts, strict=True
            )
        ]
        self._mean, self._std = episodes.observations.mean(0), episodes.observations.std(0) + 1e-6
        self._probabilities = episodes.lengths / episodes.lengths.sum()  # steps count alike, not trajectories
        self._batch_size, self._length, self._scale = batch_size, context_length, return_scale
        self._device, self._rng = device, np.random.default_rng(seed)

    def sample(self) -> PeerBatch:
        """A batch, padded behind."""
        chosen = self._rng.choice(len(self._trajectories), size=self._batch_size, p=self._probabilities)
        windows = [self._window(self._trajectories[index]) for index in chosen]
        arrays = {name: np.stack([window[name] for window in windows]) for name in windows[0]}
        return _to_device(arrays, self._device)

    def _window(self, trajectory: dict) -> dict[str, np.ndarray]:
        start = int(self._rng.integers(trajectory["rewards"].shape[0]))
        part = slice(start, start + self._length)
        rewards = trajectory["rewards"][part]
        valid = rewards.shape[0]
        padding = self._length - valid

        def padded(values: np.ndarray) -> np.ndarray:
            return np.concatenate([values, np.zeros((padding, *values.shape[1:]), values.dtype)], axis=0)

        return {
            "observations": padded((trajectory["observations"][part] - self._mean) / self._std),
            "actions": padded(trajectory["actions"][part]),
            "rewards": padded(rewards),
            "returns_to_go": padded(returns_to_go(trajectory["rewards"][start:])[:valid] / self._scale),
            "timesteps": padded(np.arange(start, start + valid)),
            "terminals": padded(trajectory["terminals"][part]),
            "mask": np.concatenate([np.ones(valid), np.zeros(padding)]),
            "expert": np.asarray(trajectory["expert"]),
        }


def returns_to_go(rewards: np.ndarray) -> np.ndarray:
    """(T,) sums of the rewards from each step on, step by step from the end, as the public code bases do."""
    sums = np.zeros_like(rewards)
    total = 0.0
    for step in reversed(range(rewards.shape[0])):
        total += rewards[step]
        sums[step] = total
    return sums


class FlatSampler:
    """Strong style: precomputed flat tensors on the device, and one gather a field; see ``data.sampler``."""

    def __init__(
        self,
        episodes: Episodes,
        experts: np.ndarray,
        batch_size: int,
        context_length: int,
        return_scale: float,
        device: str,
        seed: int = 0,
    ):
        lengths, starts = episodes.lengths, episodes.starts
        steps, first = np.arange(int(lengths.sum())), np.repeat(starts, lengths)
        last = np.repeat(starts + lengths - 1, lengths)
        mean, std = episodes.observations.mean(0), episodes.observations.std(0) + 1e-6
        flat = {
            "observations": (episodes.observations - mean) / std,
            "actions": episodes.actions,
            "rewards": episodes.rewards,
            "returns_to_go": episodes.returns_to_go() / return_scale,
            "timesteps": steps - first,
            "terminals": np.repeat(episodes.terminated, lengths) & (steps == last),
            "mask": np.ones(steps.size),
            "expert": np.repeat(experts, lengths),
        }
        self._flat, self._last = _to_device(flat, device), torch.from_numpy(last).to(device)
        self._offsets = torch.arange(context_length, device=device)
        self._batch_size, self._generator = batch_size, torch.Generator(device).manual_seed(seed)

    def sample(self) -> PeerBatch:
        """A batch; padding repeats the last step, the mask keeps it out of every loss."""
        size = (self._batch_size,)
        starts = torch.randint(self._last.shape[0], size, generator=self._generator, device=self._last.device)
        steps, last = starts[:, None] + self._offsets, self._last[starts][:, None]
        index = torch.minimum(steps, last)
        return PeerBatch(
            *(values[index] for values in self._flat[:6]),
            mask=(steps <= last).float(),
            expert=self._flat.expert[starts],
        )


def _to_device(arrays: dict[str, np.ndarray], device: str) -> PeerBatch:
    kinds = dict.fromkeys(_FLOATS, torch.float32) | {"timesteps": torch.int64, "terminals": torch.bool}
    return PeerBatch(
        **{name: torch.from_numpy(np.asarray(values)).to(device, kinds[name]) for name, values in arrays.items()}
    )
