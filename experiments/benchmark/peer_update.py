"""The same update in PyTorch: one seed, eager, in two styles.

``PUBLIC`` is how Decision Transformer's and QT's public code bases do it: eager autograd, a mask for padding in the
attention scores, ``torch.optim.Adam``, ``clip_grad_norm_``, loops over parameters for the EMA and the target networks,
guidance whose gradient also reaches the critic (and is thrown away), and losses read with ``.item()`` at every step.
Kinder than they are: no graph is built for the EMA policy, and the n-step target has no Python loop over windows.

``STRONG`` is what PyTorch offers beyond: ``scaled_dot_product_attention``, ``torch.compile`` of both losses (kept where
it is faster), a fused Adam, ``_foreach`` target updates, a frozen critic under the guidance, no value read back.
"""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn

from benchmark.peer_model import PeerCritic, PeerPolicy
from rvdt_jax.config.settings import Config

_LOG_2PI = math.log(2.0 * math.pi)


class PeerBatch(NamedTuple):
    """B windows of K steps, valid ones first; as ``rvdt_jax.types.Batch``."""

    observations: Tensor  # (B, K, S)
    actions: Tensor  # (B, K, A)
    rewards: Tensor  # (B, K)
    returns_to_go: Tensor  # (B, K)
    timesteps: Tensor  # (B, K) int64
    terminals: Tensor  # (B, K) bool
    mask: Tensor  # (B, K)
    expert: Tensor  # (B,)


class Draws(NamedTuple):
    """The random numbers of one update besides batch and dropout."""

    next_action: Tensor  # (B, A) standard normal, of the bootstrap action
    action: Tensor  # (B, K, A) standard normal, of the guided action
    swap: bool  # which critic guides


def peer_device() -> str:
    """Where the peer computes: on the GPU, where its PyTorch can use it."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def multiply_as_jax() -> str:
    """From now on float32 matrices are multiplied in TF32 on a GPU, as JAX does by default; the precision before."""
    before = torch.get_float32_matmul_precision()
    if torch.cuda.is_available():
        torch.set_float32_matmul_precision("high")
    return before


@contextlib.contextmanager
def multiplying_as_jax() -> Iterator[None]:
    """Within, products are those of ``multiply_as_jax``; the peer's agreement with ours is checked without it."""
    before = multiply_as_jax()
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


@dataclasses.dataclass(frozen=True)
class Style:
    """How the update is written; see the module's docstring."""

    name: str
    strong: bool


PUBLIC, STRONG = Style("public", strong=False), Style("strong", strong=True)


class Peer:
    """Policy, critic, their slow copies and optimisers: one seed's training state.

    Args:
        config: resolved settings; variants DT, QT and RVDT, and what lies between them.
        observation_size, action_size, max_timestep: see ``PeerPolicy``.
        style: ``PUBLIC`` or ``STRONG``.
        device: where it trains.

    Raises:
        ValueError: settings that the peer does not cover.
    """

    def __init__(
        self, config: Config, observation_size: int, action_size: int, max_timestep: int, style: Style, device: str
    ):
        _check(config)
        self.config, self.style, self.device, self.step = config, style, device, 0
        model, train = config.model, config.train
        self.policy = PeerPolicy(observation_size, action_size, max_timestep, model, fused=style.strong).to(device)
        self.critic = PeerCritic(observation_size, action_size, model.critic_width, model.critic_layers).to(device)
        self.ema_policy, self.target_critic = copy.deepcopy(self.policy).eval(), copy.deepcopy(self.critic)
        fused = {"fused": True} if style.strong else {}
        self.policy_optimizer = torch.optim.Adam(
            self.policy.parameters(), lr=train.learning_rate, weight_decay=train.weight_decay, **fused
        )
        self.critic_optimizer = torch.optim.Adam(self.critic.parameters(), lr=train.learning_rate, **fused)
        self.schedulers = [
            torch.optim.lr_scheduler.LambdaLR(optimizer, self._cosine)
            for optimizer in (self.policy_optimizer, self.critic_optimizer)
        ]
        self.losses = (self.critic_loss, self.policy_loss)

    def compile(self) -> None:
        """Compiles both losses with ``torch.compile``; the work is done at the first update."""
        self.losses = (torch.compile(self.critic_loss), torch.compile(self.policy_loss))

    def _cosine(self, step: int) -> float:
        return 0.5 * (1.0 + math.cos(math.pi * min(step / self.config.train.lr_decay_steps, 1.0)))

    def update(self, batch: PeerBatch, draws: Draws | None = None) -> dict[str, float]:
        """One update; returns the losses in the public style, {} in the strong one.

        Args:
            batch: the windows, on the peer's device.
            draws: the random numbers; drawn here where None.
        """
        batch_size, steps, action_size = batch.actions.shape
        if draws is None:
            draws = Draws(
                torch.randn(batch_size, action_size, device=self.device),
                torch.randn(batch_size, steps, action_size, device=self.device),
                bool(torch.rand(()) < 0.5),
            )
        critic_loss, policy_loss = self.losses
        guided, public, losses = self.config.loss.q_guidance, not self.style.strong, {}
        if guided:
            td_loss = critic_loss(batch, draws.next_action)
            self._descend(self.critic, self.critic_optimizer, td_loss)
        self.critic.requires_grad_(public)  # of no use under the guidance; public code lets the gradient flow
        loss, nll, weighted_nll, guidance = policy_loss(batch, draws.action, draws.swap)
        self._descend(self.policy, self.policy_optimizer, loss)
        self.critic.requires_grad_(True)
        if public:
            losses = {"nll": nll.item(), "weighted_nll": weighted_nll.item(), "loss": loss.item()}
            losses |= {"td_loss": td_loss.item(), "guidance": guidance.item()} if guided else {}
        self.step += 1
        for scheduler in self.schedulers[: 1 + guided]:
            scheduler.step()
        if guided:
            self._update_targets()
        return losses

    def _descend(self, module: nn.Module, optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(module.parameters(), self.config.train.grad_clip_norm)
        optimizer.step()

    def autocast(self):
        bfloat16 = self.config.model.dtype == "bfloat16"
        return torch.autocast(torch.device(self.device).type, dtype=torch.bfloat16, enabled=bfloat16)

    def _act(self, mean: Tensor, noise: Tensor) -> Tensor:
        if self.config.policy.head != "gaussian":
            return mean
        return (mean + self.config.policy.std * noise).clamp(-1.0, 1.0)

    def critic_loss(self, batch: PeerBatch, noise: Tensor) -> Tensor:
        """The squared n-step TD error of both critics; the EMA policy and the target critics bootstrap."""
        with self.autocast():
            with torch.no_grad():
                mean = self.ema_policy(*batch[:2], *batch[3:5], batch.mask)
                rows, last = torch.arange(mean.shape[0], device=mean.device), batch.mask.sum(1).long() - 1
                next_action = self._act(mean[rows, last], noise)
                bootstrap = torch.minimum(*self.target_critic(batch.observations[rows, last], next_action))
                targets, trained = n_step_targets(batch, last, bootstrap, self.config.loss.gamma)
            first, second = self.critic(batch.observations, batch.actions)
        error = (first - targets).square() + (second - targets).square()
        return (error * trained).sum() / trained.sum().clamp(min=1.0)

    def policy_loss(self, batch: PeerBatch, noise: Tensor, swap: bool) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The objective, and of it the plain and the weighted likelihood and the guidance."""
        with self.autocast():
            mean = self.policy(*batch[:2], *batch[3:5], batch.mask)
        settings, valid = self.config.loss, batch.mask.sum()
        nll = self._nll(mean, batch.actions)
        alpha = settings.alpha if settings.rebalancing == "kl" else 0.0
        weighted = (nll * (1.0 + alpha * batch.expert)[:, None] * batch.mask).sum() / valid
        nll = (nll * batch.mask).sum() / valid
        if not settings.q_guidance:
            return weighted, nll, weighted, torch.zeros_like(nll)
        with self.autocast():
            values = self.critic(batch.observations, self._act(mean, noise))
        first, second = reversed(values) if swap else values
        scale = ((second.detach().abs() * batch.mask).sum() / valid).clamp(min=1e-6)
        guidance = -(first * batch.mask).sum() / valid / scale
        return weighted + settings.eta * guidance, nll, weighted, guidance

    def _nll(self, mean: Tensor, actions: Tensor) -> Tensor:
        if self.config.policy.head != "gaussian":
            return (mean - actions).square().mean(-1)
        std = self.config.policy.std
        nll = (0.5 * ((actions - mean) / std).square() + math.log(std) + 0.5 * _LOG_2PI).sum(-1)
        return nll * (2.0 * std**2 / mean.shape[-1])

    @torch.no_grad()
    def _update_targets(self) -> None:
        settings, rate = self.config.ema, self.config.loss.target_rate
        decay = 0.0 if self.step <= settings.start else settings.decay
        pairs = [(self.critic, self.target_critic, rate)]
        if decay == 0.0 or self.step % settings.every == 0:
            pairs.append((self.policy, self.ema_policy, 1.0 - decay))
        for new, slow, share in pairs:
            if self.style.strong:
                torch._foreach_lerp_(list(slow.parameters()), list(new.parameters()), share)
                continue
            for parameter, target in zip(new.parameters(), slow.parameters(), strict=True):
                target.data.copy_(share * parameter.data + (1.0 - share) * target.data)


def n_step_targets(batch: PeerBatch, last: Tensor, bootstrap: Tensor, gamma: float) -> tuple[Tensor, Tensor]:
    """(B, K) TD targets to the windows' last valid steps ``last`` (B,), and the mask of the trained steps."""
    steps = torch.arange(batch.mask.shape[1], device=last.device)
    last = last[:, None]
    at_end = steps == last
    ended = (at_end & batch.terminals).any(1, keepdim=True)
    arrives = torch.where(steps < last, batch.rewards, 0.0)
    arrives = torch.where(at_end, torch.where(ended, batch.rewards, bootstrap[:, None]), arrives)
    delay = steps[None, :] - steps[:, None]
    discounts = torch.where(delay >= 0, gamma ** delay.clamp(min=0), 0.0)
    with torch.autocast(arrives.device.type, enabled=False):
        targets = arrives @ discounts.T
    return targets, ((steps < last) | (at_end & ended)).float()


def _check(config: Config) -> None:
    covered = {
        "policy.learn_std": config.policy.learn_std,
        "loss.state_prediction": config.loss.state_prediction > 0,
        "expert.only": config.expert.only,
        "model.positions": config.model.positions != "episode",
    }
    wrong = [name for name, used in covered.items() if used]
    if wrong or config.loss.rebalancing not in ("none", "kl") or not config.policy.condition_on_return:
        raise ValueError(
            f"the PyTorch peer covers DT, QT and RVDT, not variant {config.variant} with {', '.join(wrong) or 'this'}. "
            "Choose one of those, or benchmark without the peer: --only=updates."
        )
