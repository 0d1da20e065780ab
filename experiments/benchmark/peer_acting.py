"""The peer plays: one environment, one forward pass over all candidate conditionings at each of its steps."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from benchmark.peer_update import PUBLIC, Peer, multiplying_as_jax, peer_device
from rvdt_jax.config.settings import Config


def make_loop(
    config: Config, sizes: tuple[int, int, int], env, candidates: np.ndarray, steps: int
) -> Callable[[], float]:
    """A call that plays one episode of ``steps`` steps with a fresh policy, and returns its return.

    Args:
        config: the settings.
        sizes: S, A and the steps of the longest training episode.
        env: a vector environment of one copy.
        candidates: (C,) raw conditionings.
        steps: the episode's length.
    """
    device = peer_device()
    peer = Peer(config, *sizes, PUBLIC, device)
    peer.policy.eval()

    @torch.no_grad()
    @multiplying_as_jax()
    def play() -> float:
        observations, actions, earned = [env.reset([0])[0]], [], 0.0
        returns_to_go = [candidates / config.policy.return_scale]
        for step in range(steps):
            window = _window(observations, actions, returns_to_go, step, config.model.context_length, device)
            last = min(step, config.model.context_length - 1)
            with peer.autocast():
                mean = peer.policy(*window)[:, last]
                values = torch.minimum(*peer.critic(window[0][:, last], mean)).float()
            action = mean[torch.multinomial(values.softmax(0), 1)].float().cpu().numpy()
            seen, reward, _, _ = env.step(action)
            earned += float(reward[0])
            observations.append(seen[0])
            actions.append(action[0])
            returns_to_go.append((candidates - earned) / config.policy.return_scale)
        return earned

    return play


def _window(observations: list, actions: list, returns_to_go: list, step: int, length: int, device: str) -> tuple:
    """The policy's inputs: the last steps, the same for every candidate but for its returns-to-go, padded behind."""
    valid = min(step + 1, length)
    count = len(returns_to_go[0])

    def padded(values: np.ndarray) -> torch.Tensor:
        filled = np.zeros((length, *values.shape[1:]), np.float32)
        filled[: len(values)] = values
        return torch.from_numpy(filled).to(device)

    taken = actions[len(actions) - valid + 1 :]
    last_actions = np.array(taken) if taken else np.zeros((0, 2), np.float32)
    candidates = padded(np.array(returns_to_go[-valid:])).T.contiguous()
    shared = [padded(np.array(observations[-valid:])), padded(last_actions)]
    steps = torch.arange(max(0, step - length + 1), max(0, step - length + 1) + length, device=device)
    mask = (torch.arange(length, device=device) < valid).float()
    seen, done = (tensor.expand(count, *tensor.shape) for tensor in shared)
    return seen, done, candidates, steps.expand(count, length), mask.expand(count, length)
