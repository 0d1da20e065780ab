"""Return rebalancing for any trainer, under a short name; see ``rvdt_jax.data.rebalance``. Loads no JAX."""

from rvdt_jax.data.rebalance import (
    ExpertSet,
    expert_mixture,
    expert_weight,
    loss_weights,
    sampling_probabilities,
    select_expert_episodes,
    select_experts,
)

__all__ = [
    "ExpertSet",
    "expert_mixture",
    "expert_weight",
    "loss_weights",
    "sampling_probabilities",
    "select_expert_episodes",
    "select_experts",
]
