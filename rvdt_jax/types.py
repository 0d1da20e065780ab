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
    next_observations: Array | None  # (B, K-1, S) prediction of steps 1..K-1; None without that head


@flax.struct.dataclass
class Coefficients:
    """The scalars of the objective. Traced: another value compiles nothing anew."""

    eta: Array  # weight of Q-guidance, eq. (3)
    alpha: Array  # weight of rebalancing, eqs. (1) and (2)
    gamma: Array  # discount of the TD target
    eta_warmup: Array  # updates in which eta rises from 0 on a line; 0: none
    learning_rate: Array  # peak learning rate of policy and expert model
    critic_learning_rate: Array  # peak learning rate of the critic
    lr_decay_steps: Array  # updates in which the learning rate falls to 0 on a cosine
    grad_clip_norm: Array  # global-norm clip
    weight_decay: Array  # L2 coefficient on the policy
    target_rate: Array  # Polyak rate of the target critic
    ema_decay: Array  # decay of the EMA policy
    ema_every: Array  # updates between two EMA updates
    ema_start: Array  # first update after which the EMA lags; before, it is a copy
    state_prediction: Array  # weight of QT's state-prediction loss
    targets: Array  # (C,) returns that inference will ask for, scaled as returns-to-go


@flax.struct.dataclass
class TrainState:
    """Everything that one seed's training carries from update to update; parts not in use are None."""

    step: Array  # () int32, updates done
    key: Array  # typed PRNG key of this seed; never used up, only folded with ``step``
    policy: Params
    policy_optimizer: Any
    ema_policy: Params | None  # bootstraps the TD target
    critic: Params | None
    critic_optimizer: Any
    target_critic: Params | None
    expert: Params | None  # pi_e(a|s) of ``kl_explicit``
    expert_optimizer: Any


@flax.struct.dataclass
class Normalizer:
    """Observation statistics of the training data; they travel with the checkpoint."""

    mean: Array  # (S,)
    std: Array  # (S,), never zero

    def __call__(self, observations):
        """Normalises (..., S) observations."""
        return (observations - self.mean) / self.std
