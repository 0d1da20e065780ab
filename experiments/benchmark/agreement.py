"""Do our update and the PyTorch peer's compute the same function? One update of each, number by number.

Both start from the same parameters and see the same batch and the same random draws; dropout is off, for its masks are
drawn differently (``tests/benchmark`` compare its distribution). The update compared is the one that is timed,
``train_chunk``.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import optax
import torch

from benchmark.peer_update import Draws, Peer, PeerBatch, Style
from benchmark.peer_weights import critic_tensors, policy_tensors
from rvdt_jax.algorithms.base import update_key
from rvdt_jax.algorithms.sequence import SEQUENCE, draw_batch
from rvdt_jax.algorithms.sequence_spec import Coefficients, Spec, make_coefficients, make_spec
from rvdt_jax.config.settings import Config
from rvdt_jax.train.driver import init_states, train_chunk
from rvdt_jax.types import Array, Learner, Params, Store, TrainState

TOLERANCE = 1e-4  # relative, in float32; of a tensor: the norm of the difference over the norm
MOVE_TOLERANCE = 2e-2  # of parameters' moves: Adam's first step is +-lr, whatever the gradient's size, rounding's too


def for_agreement(config: Config, batch_size: int) -> Config:
    """The same settings in float32, without dropout, in small batches; the clip bites, and the EMA lags at once."""
    return dataclasses.replace(
        config,
        model=dataclasses.replace(config.model, dropout=0.0, dtype="float32"),
        train=dataclasses.replace(config.train, batch_size=batch_size, grad_clip_norm=0.1),
        ema=dataclasses.replace(config.ema, start=0, every=1, decay=0.9),
    )


def measure_agreement(
    config: Config, store: Store, max_timestep: int, style: Style, seed: int = 0, device: str = "cpu"
) -> dict[str, float]:
    """Relative deviations of the peer's update from ours: of every loss, of gradients, of what they move.

    Args:
        config: settings as ``for_agreement`` returns them.
        store: the data.
        max_timestep: steps of the longest episode.
        style: of the peer.
        seed: of parameters, batch and draws.
        device: where the peer computes.

    Returns:
        By name: ``loss/*`` of a loss's value; ``gradient/*`` of Adam's first moment, a tenth of the clipped gradient
        with its decay; ``move/*`` of the change of parameters, targets and EMA.
    """
    sizes = store.observations.shape[1], store.actions.shape[1], max_timestep
    spec, coefficients = make_spec(config, *sizes), make_coefficients(config)
    before = _perturbed(init_states(jnp.asarray([seed], jnp.int32), SEQUENCE, spec), seed)
    peer = Peer(config, *sizes, style, device)
    start = _load(peer, before)
    batch, draws = inputs_of_update(jax.tree.map(lambda leaf: leaf[0], before), store, coefficients, spec, device)
    theirs = peer.update(batch, draws)
    donated = jax.tree.map(jnp.copy, before)
    static = {"algorithm": SEQUENCE, "spec": spec, "updates": 1, "map_seeds": "loop"}
    after, ours = train_chunk(donated, store, coefficients, **static)
    ours = {name: float(value[0]) for name, value in ours.items()}
    if not theirs:  # the strong style reads nothing back
        theirs = {name: value.item() for name, value in _losses(peer, batch, draws, start).items()}
    return _compare_losses(ours, theirs, config.loss.eta) | _compare_tensors(peer, start, after)


def inputs_of_update(
    state: TrainState, store: Store, coefficients: Coefficients, spec: Spec, device: str
) -> tuple[PeerBatch, Draws]:
    """The batch and the random numbers that ``sequence.update`` is about to use, for the peer.

    It follows that function's keys: a change of them there shows here as a deviation.
    """
    batch_key, td_key, policy_key = jax.random.split(update_key(state), 3)
    batch = draw_batch(batch_key, store, coefficients, spec)
    _, action_key, swap_key = jax.random.split(policy_key, 3)
    sizes = spec.batch_size, spec.context_length, spec.policy.action_size

    def tensor(values: Array) -> torch.Tensor:
        return torch.from_numpy(np.array(values)).to(device)

    fields = {name: tensor(getattr(batch, name)) for name in PeerBatch._fields}
    fields["timesteps"] = fields["timesteps"].long()
    draws = Draws(
        next_action=tensor(jax.random.normal(td_key, (sizes[0], sizes[2]))),
        action=tensor(jax.random.normal(action_key, sizes)),
        swap=bool(jax.random.bernoulli(swap_key)),
    )
    return PeerBatch(**fields), draws


def _perturbed(states: TrainState, seed: int) -> TrainState:
    """No bias is zero, and the slow copies are no copies, so that nothing can stand in for another unnoticed."""
    draws = np.random.default_rng(seed)

    def perturb(leaf: Array) -> Array:
        return leaf + 0.05 * draws.standard_normal(leaf.shape, np.float32)

    def perturbed(learner: Learner) -> Learner:
        params = jax.tree.map(perturb, learner.params)
        return learner.replace(params=params, target=jax.tree.map(perturb, learner.target))

    return states.replace(learners={name: perturbed(learner) for name, learner in states.learners.items()})


def _ours(states: TrainState, name: str) -> Params:
    """The first seed's parameters, as NumPy arrays, of what the peer calls by that name."""
    learner, part = {
        "policy": ("policy", "params"),
        "ema_policy": ("policy", "target"),
        "critic": ("critic", "params"),
        "target_critic": ("critic", "target"),
    }[name]
    return jax.tree.map(lambda leaf: np.asarray(leaf[0]), getattr(states.learners[learner], part))


def _networks(peer: Peer) -> dict[str, tuple[torch.nn.Module, Callable[[dict], dict]]]:
    """The peer's networks by name, with what converts ours."""
    networks = {"policy": (peer.policy, policy_tensors)}
    if peer.config.loss.q_guidance:
        networks |= {
            "ema_policy": (peer.ema_policy, policy_tensors),
            "critic": (peer.critic, critic_tensors),
            "target_critic": (peer.target_critic, critic_tensors),
        }
    return networks


def _load(peer: Peer, states: TrainState) -> dict[str, dict[str, torch.Tensor]]:
    """Puts the first seed's parameters into the peer; returns them, in its layout."""
    loaded = {}
    for name, (network, convert) in _networks(peer).items():
        loaded[name] = convert(_ours(states, name))
        network.load_state_dict(loaded[name])
    return loaded


def _losses(peer: Peer, batch: PeerBatch, draws: Draws, start: dict) -> dict[str, torch.Tensor]:
    """The losses at the parameters ``start``, of a peer that did not report them, in the order of its update."""
    now = {name: copy_state(network) for name, (network, _) in _networks(peer).items()}
    critic_loss, policy_loss = peer.losses
    losses = {}
    for name, (network, _) in _networks(peer).items():
        network.load_state_dict(start[name])
    if peer.config.loss.q_guidance:
        losses["td_loss"] = critic_loss(batch, draws.next_action)
        peer.critic.load_state_dict(now["critic"])
    loss, nll, weighted, guidance = policy_loss(batch, draws.action, draws.swap)
    losses |= {"loss": loss, "nll": nll, "weighted_nll": weighted, "guidance": guidance}
    for name, (network, _) in _networks(peer).items():
        network.load_state_dict(now[name])
    return losses


def copy_state(network: torch.nn.Module) -> dict[str, torch.Tensor]:
    """The network's parameters, in memory of their own."""
    return {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}


def _compare_losses(ours: dict[str, float], theirs: dict[str, float], eta: float) -> dict[str, float]:
    pairs = {name: (ours[f"policy/{name}"], theirs[name]) for name in ("nll", "weighted_nll", "loss")}
    if "td_loss" in theirs:
        pairs["td_loss"] = ours["critic/td_loss"], theirs["td_loss"]
        pairs["guidance"] = (ours["policy/loss"] - ours["policy/weighted_nll"]) / eta, theirs["guidance"]
    sizes = {name: abs(a) for name, (a, _) in pairs.items()}
    if "guidance" in pairs:  # the sum of two terms that can cancel: their rounding is what it cannot be better than
        sizes["loss"] = sizes["weighted_nll"] + eta * sizes["guidance"]
    return {f"loss/{name}": abs(a - b) / max(sizes[name], 1e-12) for name, (a, b) in pairs.items()}


def _compare_tensors(peer: Peer, start: dict, after: TrainState) -> dict[str, float]:
    deviations = {}
    for name, (network, convert) in _networks(peer).items():
        ours = convert(_ours(after, name))
        theirs = {key: value.cpu() for key, value in network.state_dict().items()}
        moved = [{key: tree[key] - start[name][key] for key in tree} for tree in (ours, theirs)]
        deviations[f"move/{name}"] = _distance(*moved)
        if name in ("policy", "critic"):
            moments = optax.tree_utils.tree_get(after.learners[name].optimizer, "mu")
            moments = jax.tree.map(lambda leaf: np.asarray(leaf[0]), moments)
            optimizer = getattr(peer, f"{name}_optimizer").state
            named = {key: optimizer[value]["exp_avg"].cpu() for key, value in network.named_parameters()}
            deviations[f"gradient/{name}"] = _distance(convert(moments), named)
    return deviations


def _distance(ours: dict[str, torch.Tensor], theirs: dict[str, torch.Tensor]) -> float:
    """|ours - theirs| / |ours| over all tensors together."""
    if ours.keys() != theirs.keys():
        raise ValueError(f"the peer has other parameters: {sorted(ours.keys() ^ theirs.keys())}.")
    apart = sum(float((ours[name] - theirs[name]).double().square().sum()) for name in ours)
    return (apart / sum(float(tensor.double().square().sum()) for tensor in ours.values())) ** 0.5


def worst(deviations: dict[str, float]) -> float:
    """The largest deviation as a multiple of its tolerance; at most 1 where the two agree."""
    limits = {name: MOVE_TOLERANCE if name.startswith("move/") else TOLERANCE for name in deviations}
    return float(np.max([value / limits[name] for name, value in deviations.items()]))  # a NaN stays one
