"""Our parameters in the peer's layout: what it takes to compare the two, tensor by tensor."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

_NORM = {"scale": "weight", "bias": "bias"}
_DENSE = {"kernel": "weight", "bias": "bias"}


def policy_tensors(params: dict) -> dict[str, Tensor]:
    """Parameters of the policy, of NumPy arrays, as a state dict of ``PeerPolicy``."""
    tensors: dict[str, Tensor] = {"timestep.weight": _tensor(params["timestep"]["embedding"])}
    for name in ("return_to_go", "observation", "action"):
        tensors |= _dense(name, params[name])
    tensors |= _dense("mean", params["action_mean"]) | _norm("embedding_norm", params["embedding_norm"])
    transformer = params["CausalTransformer_0"]
    tensors |= _norm("norm", transformer["LayerNorm_0"])
    for index in range(sum(name.startswith("Block_") for name in transformer)):
        block, place = transformer[f"Block_{index}"], f"blocks.{index}"
        attention = block["CausalSelfAttention_0"]
        joined = {
            name: np.concatenate([attention[part][name] for part in ("query", "key", "value")], axis=-1)
            for name in _DENSE
        }
        tensors |= _dense(f"{place}.attention.projection", joined)
        tensors |= _dense(f"{place}.attention.output", attention["output"])
        tensors |= _norm(f"{place}.norm1", block["LayerNorm_0"]) | _norm(f"{place}.norm2", block["LayerNorm_1"])
        tensors |= _dense(f"{place}.inner", block["Dense_0"]) | _dense(f"{place}.outer", block["Dense_1"])
    return tensors


def critic_tensors(params: dict) -> dict[str, Tensor]:
    """Parameters of the critic, of NumPy arrays, as a state dict of ``PeerCritic``."""
    tensors: dict[str, Tensor] = {}
    for name in ("q1", "q2"):
        tensors |= {f"{name}.{key}": tensor for key, tensor in mlp_tensors(params[name]).items()}
    return tensors


def mlp_tensors(params: dict) -> dict[str, Tensor]:
    """Parameters of an MLP, of NumPy arrays, as a state dict of linear layers with an activation between two."""
    tensors: dict[str, Tensor] = {}
    for index in range(len(params)):
        tensors |= _dense(str(2 * index), params[f"Dense_{index}"])
    return tensors


def _dense(name: str, params: dict) -> dict[str, Tensor]:
    return {f"{name}.{theirs}": _tensor(np.asarray(params[ours]).T) for ours, theirs in _DENSE.items()}


def _norm(name: str, params: dict) -> dict[str, Tensor]:
    return {f"{name}.{theirs}": _tensor(params[ours]) for ours, theirs in _NORM.items()}


def _tensor(array: np.ndarray) -> Tensor:
    return torch.from_numpy(np.array(array, np.float32, order="C"))
