"""The records that rooms hand to each other, with the shape of every field declared once.

Shape letters, used in every docstring of the package:
    B  batch of windows            K  context length, in environment steps
    S  observation size            A  action size
    N  steps in the data set       M  steps that belong to expert episodes
    E  episodes
"""

from __future__ import annotations

from typing import Any

import flax.struct
import jax

Array = jax.Array
Params = Any  # a pytree of arrays, as flax modules keep them


@flax.struct.dataclass
class Store:
    """A data set as flat arrays on the device, episode after episode; made by ``data.store.make_store``."""

    observations: Array  # (N, S) float32, normalised
    actions: Array  # (N, A) float32, in [-1, 1]
    rewards: Array  # (N,) float32, as the critic learns from them
    returns_to_go: Array  # (N,) float32, undiscounted sum to the episode's end, divided by the task's scale
    timesteps: Array  # (N,) int32, position within the episode
    last_steps: Array  # (N,) int32, index of the last step of the same episode
    terminals: Array  # (N,) bool, True where the MDP ended; a time-out is not terminal
    expert: Array  # (N,) bool, True on every step of an expert episode
    expert_steps: Array  # (M,) int32, the indices where ``expert`` holds
    raised: Array | None = None  # (N,) float32, >= 0: what a window that ends here adds to its returns-to-go


@flax.struct.dataclass
class Batch:
    """B windows of K consecutive steps of one episode each, valid steps first, padding behind them."""

    observations: Array  # (B, K, S)
    actions: Array  # (B, K, A)
    rewards: Array  # (B, K)
    returns_to_go: Array  # (B, K)
    timesteps: Array  # (B, K) int32
    terminals: Array  # (B, K) bool
    mask: Array  # (B, K) float32, 1 on valid steps, 0 on padding
    expert: Array  # (B,) float32, 1 where the window comes from an expert episode
    returns: Array  # (B,) return of the whole episode that the window comes from, scaled as returns-to-go


@flax.struct.dataclass
class PolicyOutput:
    """What the policy says at every step of a window: a factorised Gaussian (or only its mean)."""

    mean: Array  # (B, K, A), in (-1, 1)
    log_std: Array  # (B, K, A); of no meaning for a deterministic head
    next_observations: Array | None = None  # (B, K-1, S) prediction of steps 1..K-1; None without that head


@flax.struct.dataclass
class Learner:
    """One network in training."""

    params: Params
    optimizer: Any  # its optimiser's state
    target: Params | None = None  # a slow copy of the parameters; None: this learner has none


@flax.struct.dataclass
class TrainState:
    """Everything that one seed's training carries from update to update, whatever the algorithm."""

    step: Array  # () int32, updates done
    key: Array  # typed PRNG key of this seed; never used up, only folded with ``step``
    learners: dict[str, Learner]  # by name: "policy", "critic", ...


@flax.struct.dataclass
class Normalizer:
    """Observation statistics of the training data; they travel with the checkpoint."""

    mean: Array  # (S,)
    std: Array  # (S,), never zero

    def __call__(self, observations):
        """Normalises (..., S) observations."""
        return (observations - self.mean) / self.std
