"""Collecting policies: small networks in NumPy files, which act with NumPy alone.

A file holds the layers of a squashed Gaussian policy of SAC (Haarnoja et al. 2018) in half precision, and as JSON the
command that made it, seed, steps, versions, and its mean return over 100 episodes.
"""

from __future__ import annotations

import dataclasses
import json
import pathlib

import numpy as np

from rvdt_jax.errors import UserError
from rvdt_jax.files import atomic_write

_LOG_STD = (-20.0, 2.0)  # SAC's bounds


@dataclasses.dataclass(frozen=True)
class Collector:
    """A policy tanh(N(mean, std)); its network has ReLUs.

    Attributes:
        hidden: (kernel (in, out), bias (out,)) of every hidden layer.
        mean, log_std: the same of the two heads.
        about: its origin, JSON values.
    """

    hidden: tuple[tuple[np.ndarray, np.ndarray], ...]
    mean: tuple[np.ndarray, np.ndarray]
    log_std: tuple[np.ndarray, np.ndarray]
    about: dict = dataclasses.field(default_factory=dict)

    @property
    def observation_size(self) -> int:
        """S."""
        return self.hidden[0][0].shape[0]

    @property
    def action_size(self) -> int:
        """A."""
        return self.mean[1].shape[0]

    def act(self, observations: np.ndarray, rng: np.random.Generator | None = None) -> np.ndarray:
        """(..., A) actions in [-1, 1] for (..., S) observations: drawn with ``rng``, else the mean's."""
        features = np.asarray(observations, np.float32)
        for kernel, bias in self.hidden:
            features = np.maximum(features @ kernel + bias, 0.0)
        action = features @ self.mean[0] + self.mean[1]
        if rng is not None:
            log_std = np.clip(features @ self.log_std[0] + self.log_std[1], *_LOG_STD)
            action = action + np.exp(log_std) * rng.standard_normal(action.shape, np.float32)
        return np.tanh(action)


def rounded(collector: Collector) -> Collector:
    """The collector as it is after saving and loading."""

    def each(layer):
        return tuple(part.astype(np.float16).astype(np.float32) for part in layer)

    hidden = tuple(each(layer) for layer in collector.hidden)
    return dataclasses.replace(collector, hidden=hidden, mean=each(collector.mean), log_std=each(collector.log_std))


def save_collector(path: pathlib.Path, collector: Collector) -> None:
    """Writes a policy, compressed and in half precision."""
    arrays = {}
    for place, layer in enumerate((*collector.hidden, collector.mean, collector.log_std)):
        arrays[f"kernel_{place}"], arrays[f"bias_{place}"] = (part.astype(np.float16) for part in layer)
    with atomic_write(path) as partial:
        np.savez_compressed(partial, about=np.array(json.dumps(collector.about)), **arrays)


def load_collector(path: pathlib.Path) -> Collector:
    """Reads a policy.

    Raises:
        UserError: the file is missing or no policy.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            count = sum(name.startswith("kernel_") for name in file)
            layers = [
                tuple(file[f"{part}_{place}"].astype(np.float32) for part in ("kernel", "bias"))
                for place in range(count)
            ]
            about = json.loads(str(file["about"]))
        *hidden, mean, log_std = layers
    except Exception as error:  # a damaged zip file makes NumPy raise almost anything
        raise UserError(f"{path}: holds no collector policy ({type(error).__name__}: {error}).") from error
    return Collector(tuple(hidden), mean, log_std, about)
