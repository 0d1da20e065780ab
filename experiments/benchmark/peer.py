"""One contestant: the peer with its sampler, warmed up."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import torch

from benchmark.peer_sampling import FlatSampler, TrajectorySampler
from benchmark.peer_transitions import make_transition_peer
from benchmark.peer_update import PUBLIC, STRONG, Draws, Peer, multiply_as_jax, peer_device
from rvdt_jax.config.settings import Config
from rvdt_jax.data.episodes import Episodes

STYLES = {style.name: style for style in (PUBLIC, STRONG)}


def make_peer(
    config: Config, episodes: Episodes, experts: np.ndarray, sizes: tuple[int, int, int], name: str, updates: int
) -> tuple[Callable[[], None], dict]:
    """A call that does ``updates`` updates of one seed, batches drawn on the way, and notes on it.

    Args:
        config: the settings.
        episodes, experts: the data, and (E,) bool which of them are expert.
        sizes: S, A and the steps of the longest episode.
        name: of the style.
        updates: per call.
    """
    device = peer_device()
    multiply_as_jax()
    if config.variant in ("TD3+BC", "IQL"):
        return make_transition_peer(config, episodes, sizes, updates, device)
    style = STYLES[name]
    sampler = (FlatSampler if style.strong else TrajectorySampler)(
        episodes, experts, config.train.batch_size, config.model.context_length, config.policy.return_scale, device
    )
    peer = Peer(config, *sizes, style, device)
    notes = {"device": device, "threads": torch.get_num_threads(), "compiled": False}

    def call() -> None:
        for _ in range(updates):
            peer.update(sampler.sample())
        if device == "cuda":
            torch.cuda.synchronize()

    begun = time.perf_counter()
    if style.strong:
        notes |= _choose_compilation(peer, sampler)
    _warm_up(peer, sampler)
    return call, notes | {"warm_up_seconds": round(time.perf_counter() - begun, 2)}


def _choose_compilation(peer: Peer, sampler) -> dict:
    """Leaves the peer compiled where that works and is faster than eager, by the best of two tries each; says which."""
    eager = peer.losses
    peer.compile()
    compiled = peer.losses
    try:
        _warm_up(peer, sampler)
    except Exception as error:  # no C++ compiler, an unsupported operation: then it competes uncompiled
        peer.losses = eager
        return {"compiled": False, "not_compiled": f"{type(error).__name__}: {error}".splitlines()[0]}
    seconds = {}
    for peer.losses in (eager, compiled) * 2:
        seconds.setdefault(peer.losses, []).append(_warm_up(peer, sampler))
    best = {losses: round(1000 * min(tries) / 2, 3) for losses, tries in seconds.items()}
    peer.losses = min(best, key=best.get)
    tried = {"milliseconds_eager": best[eager], "milliseconds_compiled": best[compiled]}
    return {"compiled": peer.losses == compiled} | tried


def _warm_up(peer: Peer, sampler) -> float:
    """Seconds of an update with either critic guiding: ``torch.compile`` makes one program for each."""
    begun = time.perf_counter()
    for swap in (False, True):
        batch = sampler.sample()
        noise = torch.randn_like(batch.actions)
        peer.update(batch, Draws(noise[:, 0], noise, swap))
    if peer.device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - begun
