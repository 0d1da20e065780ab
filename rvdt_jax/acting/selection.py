"""How actions are chosen: one compiled function, for rollouts and for a user's own loop."""

from __future__ import annotations

import dataclasses
import functools

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from rvdt_jax.acting.episodes import Player
from rvdt_jax.acting.window import Windows
from rvdt_jax.models.policy import sample_actions
from rvdt_jax.types import Array, Normalizer, Params

_RETURN_NOISE = 0.1  # QT's, on the last return-to-go of a candidate, in scaled units


@dataclasses.dataclass(frozen=True)
class Actor:
    """The static part of acting: hashable, so that every evaluation of a run shares one compiled function.

    An action is chosen by ``selection``:
        ``mean``: the policy's mean at the first target.
        ``sample``: a sample of its Gaussian.
        ``critic``: as QT. Candidates are the means under several returns-to-go: every target, with N(0, .1) on the last
        return-to-go of all but one candidate a target, and one return-to-go that never falls below the largest in the
        data. One is drawn by softmax over the smaller of the target critics' values.
        ``best_of``: candidates are the mean and Gaussian draws around it; the one of the largest such value is taken.
    """

    policy: nn.Module
    critic: nn.Module | None  # needed by ``critic`` and ``best_of``
    context_length: int
    selection: str
    candidates: int = 1  # how many there are to choose from
    std: float = 0.1  # of the draws of ``best_of``, in action units

    @property
    def asks_all(self) -> bool:
        """Whether all targets together are one set of candidates."""
        return self.selection == "critic"


def make_actor(config, policy: nn.Module, critic: nn.Module | None) -> Actor:
    """What acts as ``config`` says."""
    chosen = config.eval.action_selection, config.eval.candidates, config.policy.std
    return Actor(policy, critic, config.model.context_length, *chosen)


def make_player(
    actor: Actor,
    params: Params,
    normalizer: Normalizer,
    *,
    return_scale: float,
    return_range: tuple[float, float],
) -> Player:
    """The actor with its parameters, see ``choose_actions``, and with the units of its data, see ``Player``."""
    return Player(
        functools.partial(choose_actions, params, actor=actor),
        context_length=actor.context_length,
        observation_size=actor.policy.observation_size,
        action_size=actor.policy.action_size,
        asks_all=actor.asks_all,
        mean=np.asarray(normalizer.mean),
        std=np.asarray(normalizer.std),
        return_scale=return_scale,
        return_range=return_range,
    )


@functools.partial(jax.jit, static_argnames=("actor",))
def choose_actions(params: Params, windows: Windows, last: Array, keys: Array, step: Array, *, actor: Actor) -> Array:
    """The actions of all episodes at one time step; parameters are arguments, so new ones compile nothing.

    Args:
        params: ``{"policy": ..., "critic": ...}``, every leaf with a leading axis R of seeds; the critic is the target
            critic, and may be None where the selection needs none.
        windows: the recent past; see ``Windows``.
        last: () int32, the index of the current step in the windows.
        keys: (R,) PRNG keys of this evaluation.
        step: () int32 time step, folded into the keys.
        actor: static.

    Returns:
        (R, F, A) in [-1, 1].
    """
    (seeds, _, episodes, length), policy = windows.returns_to_go.shape, actor.policy
    chex.assert_shape(windows.observations, (seeds, episodes, length, policy.observation_size))
    chex.assert_shape(windows.actions, (seeds, episodes, length, policy.action_size))
    chex.assert_shape(keys, (seeds,))

    def one_seed(params: Params, observations: Array, actions: Array, returns_to_go: Array, key: Array) -> Array:
        def one_conditioning(returns_to_go: Array):
            times = jnp.broadcast_to(windows.timesteps, returns_to_go.shape)
            inputs = (observations, actions, returns_to_go, times)
            return policy.apply({"params": params["policy"]}, *inputs, step=jnp.full(times.shape[0], last))

        draw_key, choice_key = jax.random.split(key)
        if actor.selection == "critic":
            returns_to_go = spread_returns(returns_to_go, last, actor.candidates, draw_key)
        output = jax.vmap(one_conditioning)(returns_to_go)
        mean, log_std = output.mean[:, :, 0], output.log_std[:, :, 0]  # (C, F, A)
        if actor.selection == "mean":
            return mean[0]
        if actor.selection == "sample":
            return sample_actions(mean[0], log_std[0], key)
        if actor.selection == "best_of":
            mean = spread_actions(mean[0], actor.candidates, actor.std, draw_key)
        states = jnp.broadcast_to(observations[None, :, last], (*mean.shape[:2], observations.shape[-1]))
        values = actor.critic.apply({"params": params["critic"]}, states, mean).min(0)
        if actor.selection == "best_of":
            chosen = values.argmax(0)
        else:
            chosen = jax.random.categorical(choice_key, values, axis=0)
        return jnp.take_along_axis(mean, chosen[None, :, None], axis=0)[0]

    keys = jax.vmap(jax.random.fold_in, in_axes=(0, None))(keys, step)
    return jax.vmap(one_seed)(params, windows.observations, windows.actions, windows.returns_to_go, keys)


def spread_returns(returns_to_go: Array, last: Array, candidates: int, key: Array) -> Array:
    """Candidates around (C, F, K) conditionings, as QT spreads them: at least ``candidates``, a multiple of C.

    Each conditioning occurs equally often, once as it is and else with N(0, .1) on its last return-to-go.
    """
    conditionings = returns_to_go.shape[0]
    copies = -(-candidates // conditionings)
    noise = _RETURN_NOISE * jax.random.normal(key, (copies, *returns_to_go.shape[:2])).at[0].set(0.0)
    spread = jnp.broadcast_to(returns_to_go, (copies, *returns_to_go.shape))
    is_last = jnp.arange(returns_to_go.shape[-1]) == last
    return (spread + noise[..., None] * is_last).reshape(-1, *returns_to_go.shape[1:])


def spread_actions(mean: Array, candidates: int, std: float, key: Array) -> Array:
    """(C, F, A) candidates: the (F, A) mean, and C - 1 Gaussian draws around it, clipped to the action bounds."""
    noise = std * jax.random.normal(key, (candidates, *mean.shape)).at[0].set(0.0)
    return jnp.clip(mean + noise, -1.0, 1.0)
