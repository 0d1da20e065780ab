"""TD3+BC and IQL in PyTorch, one seed, eager, as their public code bases write them.

MLPs with ReLU, one ``torch.optim.Adam`` a network, a replay buffer of tensors with one gather a field, loops over
parameters for the target networks, and losses read with ``.item()`` at every update.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rvdt_jax.config.settings import Config
from rvdt_jax.data.episodes import Episodes

_LOG_2PI = math.log(2.0 * math.pi)


class Batch(NamedTuple):
    """B transitions."""

    observations: Tensor  # (B, S)
    actions: Tensor  # (B, A)
    rewards: Tensor  # (B,)
    next_observations: Tensor  # (B, S)
    continues: Tensor  # (B,) 0 where the MDP ended


class ReplayBuffer:
    """All transitions whose successor was recorded."""

    def __init__(self, episodes: Episodes, batch_size: int, device: str, seed: int = 0):
        mean, std = episodes.observations.mean(0), episodes.observations.std(0) + 1e-6
        observations = (episodes.observations - mean) / std
        ends = episodes.starts + episodes.lengths - 1
        terminal = np.zeros(episodes.rewards.size, bool)
        terminal[ends] = episodes.terminated
        known = terminal.copy()
        known[np.setdiff1d(np.arange(known.size), ends)] = True
        after = np.minimum(np.arange(known.size) + 1, known.size - 1)
        columns = observations, episodes.actions, episodes.rewards, observations[after], ~terminal
        self._columns = [torch.tensor(column[known], dtype=torch.float32, device=device) for column in columns]
        self._batch_size, self._rng = batch_size, np.random.default_rng(seed)

    def sample(self) -> Batch:
        """B of them, each as likely as another."""
        index = torch.from_numpy(self._rng.integers(len(self._columns[0]), size=self._batch_size))
        return Batch(*(column[index] for column in self._columns))


def mlp(inputs: int, outputs: int, width: int, layers: int) -> nn.Sequential:
    """Hidden layers with ReLU."""
    parts: list[nn.Module] = []
    for _ in range(layers):
        parts += [nn.Linear(inputs, width), nn.ReLU()]
        inputs = width
    return nn.Sequential(*parts, nn.Linear(inputs, outputs))


class TransitionPeer:
    """One seed's networks and optimisers; ``update`` is the algorithm's.

    Args:
        config: resolved settings of the variant ``TD3+BC`` or ``IQL``.
        observation_size, action_size: S and A.
        device: where it trains.
    """

    def __init__(self, config: Config, observation_size: int, action_size: int, device: str):
        self.config, self.step, model, train = config, 0, config.model, config.train
        sizes = model.critic_width, model.critic_layers
        self.policy = mlp(observation_size, action_size, *sizes).to(device)
        self.q1, self.q2 = (mlp(observation_size + action_size, 1, *sizes).to(device) for _ in range(2))
        self.value = mlp(observation_size, 1, *sizes).to(device)
        self.log_std = nn.Parameter(torch.zeros(action_size, device=device))
        self.targets = {name: copy.deepcopy(getattr(self, name)) for name in ("policy", "q1", "q2")}
        critic = [*self.q1.parameters(), *self.q2.parameters()]
        self.critic_optimizer = torch.optim.Adam(critic, lr=train.critic_learning_rate)
        self.value_optimizer = torch.optim.Adam(self.value.parameters(), lr=train.critic_learning_rate)
        actor = [*self.policy.parameters(), *([self.log_std] if config.variant == "IQL" else [])]
        self.policy_optimizer = torch.optim.Adam(actor, lr=train.learning_rate)
        self.schedule = torch.optim.lr_scheduler.CosineAnnealingLR(self.policy_optimizer, train.lr_decay_steps)
        self.update = {"TD3+BC": self._td3_bc, "IQL": self._iql}[config.variant]

    def values(self, observations: Tensor, actions: Tensor, target: bool = False) -> tuple[Tensor, Tensor]:
        """(B,) values of both critics, or of their slow copies."""
        x = torch.cat([observations, actions], 1)
        first, second = (self.targets[name] if target else getattr(self, name) for name in ("q1", "q2"))
        return first(x)[:, 0], second(x)[:, 0]

    def td_targets(self, batch: Batch, noise: Tensor) -> Tensor:
        """TD3's (B,) targets; (B, A) ``noise`` is standard normal."""
        settings = self.config.td3
        noise = (settings.policy_noise * noise).clamp(-settings.noise_clip, settings.noise_clip)
        actions = (torch.tanh(self.targets["policy"](batch.next_observations)) + noise).clamp(-1.0, 1.0)
        following = torch.min(*self.values(batch.next_observations, actions, target=True))
        return batch.rewards + self.config.loss.gamma * batch.continues * following

    def td3_policy_loss(self, batch: Batch) -> Tensor:
        """The squared error, and the first critic's value over its mean size."""
        actions = torch.tanh(self.policy(batch.observations))
        value = self.q1(torch.cat([batch.observations, actions], 1))
        return F.mse_loss(actions, batch.actions) - self.config.loss.eta / value.abs().mean().detach() * value.mean()

    def value_loss(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """IQL's expectile regression, and the (B,) advantages."""
        with torch.no_grad():
            of_data = torch.min(*self.values(batch.observations, batch.actions, target=True))
        advantages = of_data - self.value(batch.observations)[:, 0]
        weights = torch.abs(self.config.iql.expectile - (advantages < 0).float())
        return (weights * advantages.square()).mean(), advantages.detach()

    def iql_policy_loss(self, batch: Batch, advantages: Tensor) -> Tensor:
        """Advantage-weighted likelihood."""
        weights = torch.exp(self.config.iql.temperature * advantages).clamp(max=100.0)
        z = (batch.actions - torch.tanh(self.policy(batch.observations))) * torch.exp(-self.log_std)
        return (weights * (0.5 * z.square() + self.log_std + 0.5 * _LOG_2PI).sum(1)).mean()

    def _td3_bc(self, batch: Batch) -> dict[str, float]:
        self.step += 1
        with torch.no_grad():
            targets = self.td_targets(batch, torch.randn_like(batch.actions))
        losses = {"td_loss": self._update_critic(batch, targets, 1.0)}
        if self.step % self.config.td3.policy_every == 0:
            loss = self.td3_policy_loss(batch)
            losses["policy_loss"] = loss.item()
            _descend(self.policy_optimizer, loss)
            self._follow("policy", "q1", "q2")
        return losses

    def _iql(self, batch: Batch) -> dict[str, float]:
        with torch.no_grad():
            following = self.value(batch.next_observations)[:, 0]
        loss, advantages = self.value_loss(batch)
        losses = {"value_loss": loss.item()}
        _descend(self.value_optimizer, loss)
        targets = batch.rewards + self.config.loss.gamma * batch.continues * following
        losses["td_loss"] = self._update_critic(batch, targets, 0.5)
        self._follow("q1", "q2")
        loss = self.iql_policy_loss(batch, advantages)
        losses["policy_loss"] = loss.item()
        _descend(self.policy_optimizer, loss)
        self.schedule.step()
        return losses

    def _update_critic(self, batch: Batch, targets: Tensor, weight: float) -> float:
        first, second = self.values(batch.observations, batch.actions)
        loss = weight * (F.mse_loss(first, targets) + F.mse_loss(second, targets))
        _descend(self.critic_optimizer, loss)
        return loss.item()

    @torch.no_grad()
    def _follow(self, *names: str) -> None:
        rate = self.config.loss.target_rate
        for name in names:
            for new, slow in zip(getattr(self, name).parameters(), self.targets[name].parameters(), strict=True):
                slow.data.copy_((1.0 - rate) * slow.data + rate * new.data)


def _descend(optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


def make_transition_peer(
    config: Config, episodes: Episodes, sizes: tuple[int, int, int], updates: int, device: str
) -> tuple[Callable[[], None], dict]:
    """A call that does ``updates`` updates, batches drawn on the way, and notes on it; as ``peer.make_peer``."""
    buffer = ReplayBuffer(episodes, config.train.batch_size, device)
    peer = TransitionPeer(config, *sizes[:2], device)

    def call(count: int = updates) -> None:
        for _ in range(count):
            peer.update(buffer.sample())
        if device == "cuda":
            torch.cuda.synchronize()

    begun = time.perf_counter()
    call(2)
    notes = {"device": device, "threads": torch.get_num_threads(), "compiled": False}
    return call, notes | {"warm_up_seconds": round(time.perf_counter() - begun, 2)}
