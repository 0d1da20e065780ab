"""A trained policy in a user's own loop, of a run or of an export. Loads JAX and NumPy alone."""

from __future__ import annotations

import pathlib
from collections.abc import Sequence

import numpy as np

from rvdt_jax.acting.episodes import EPISODE_STREAM, Acting, Player, action_keys
from rvdt_jax.acting.exported import read_export
from rvdt_jax.data.spaces import entry_of, flatten_observations, one_step, unscale_actions


class Policy:
    """A trained policy with its memory of the episodes in progress.

        policy = rvdt_jax.load_policy("runs/maze2d-umaze-v1/RVDT")  # or rvdt_jax.Policy.from_export("policy")
        policy.reset(target_return=150.0)
        action = policy.act(observation)  # then step the environment, and from the second step on
        action = policy.act(observation, previous_reward=reward)

    Args:
        player: what acts; for one seed.
        targets: raw returns to aim at where ``reset`` is given none.
        observation_keys, observation_offset, action_low, action_high: as in ``tasks.Environment``.
        action_shape: of the data set's action space; None: flat.
        seed: of the randomness of an action selection other than ``mean``.
        config: the settings it was trained with.

    Attributes:
        config: the settings it was trained with: a ``Config``, and of an exported policy the JSON form of it.
    """

    def __init__(
        self,
        player: Player,
        *,
        targets: Sequence[float],
        observation_keys: Sequence[str],
        action_low: Sequence[float],
        action_high: Sequence[float],
        observation_offset: Sequence[float] = (),  # older runs have none
        action_shape: Sequence[int] | None = None,
        seed: int,
        config=None,
    ):
        self.config, self._player, self._targets = config, player, tuple(targets)
        self._observation_keys, self._offset = tuple(observation_keys), tuple(observation_offset)
        self._bounds = [np.array(bound, np.float32) for bound in (action_low, action_high)]
        self._action_shape = (player.action_size,) if action_shape is None else tuple(action_shape)
        self._seed, self._episode, self._acting = seed, 0, None

    @classmethod
    def from_export(cls, folder: str | pathlib.Path) -> Policy:
        """The policy of a folder that ``experiments/export.py`` wrote; it acts as the run's does.

        Needs JAX, NumPy and flatbuffers; this machine's default device runs it: a CPU, a CUDA GPU or a TPU.

        Raises:
            UserError: there is no such folder, it is damaged, or a newer version of this package wrote it.
        """
        player, facts = read_export(pathlib.Path(folder).expanduser())
        return cls(player, **facts)

    def reset(self, target_return: float | np.ndarray | None = None) -> None:
        """Begins one episode, or several in parallel.

        Args:
            target_return: the return to aim at, in raw reward units: a number for one episode, (F,) for F parallel
                ones. None takes the first of ``eval.targets``; where the critic selects, all of them as candidates. A
                target given here replaces them; the largest return of the data stays a candidate, as in evaluations.

        Raises:
            ValueError: a target that is not finite, or has more than one dimension.
        """
        default = self._targets if self._player.asks_all else self._targets[:1]
        targets = np.asarray(default[0] if target_return is None else target_return, np.float64)
        if targets.ndim > 1 or targets.size == 0 or not np.isfinite(targets).all():
            raise ValueError(f"target_return is {target_return}; give one finite number, or one for each episode.")
        self._single = targets.ndim == 0
        candidates = np.asarray(default)[:, None] if target_return is None else np.atleast_1d(targets)[None]
        self._episodes = candidates.shape[1]  # F
        keys = action_keys((self._seed,), EPISODE_STREAM, self._episode)
        self._acting = Acting(self._player, keys=keys, targets=candidates[None])
        self._episode += 1

    def act(self, observation, previous_reward=0.0) -> np.ndarray:
        """The next action.

        Args:
            observation: as the environment gave it: for one episode an array of S numbers in any shape, or the dict
                whose entries were trained on (``data.observation_keys``); for F parallel ones the same with a leading
                axis F.
            previous_reward: () or (F,), what the last action earned; ignored at the first step.

        Returns:
            float32, of the shape of the data set's action space and within its bounds; with a leading axis F for
            parallel episodes.

        Raises:
            ValueError: a shape that does not fit, a number that is not finite, or ``reset`` was not called. The call
                leaves no trace: the same step can be repeated with other values.
        """
        if self._acting is None:
            raise ValueError("call reset(target_return) before act().")
        observation = self._flatten(observation, self._episodes)
        rewards = np.asarray(previous_reward, np.float64)
        if not np.isfinite(rewards).all():
            raise ValueError(f"previous_reward is {previous_reward}; it must be finite.")
        rewards = np.broadcast_to(rewards, (1, self._episodes))
        actions = self._acting.act(observation[None], rewards)[0]
        # Without bounds the actions are a view of what JAX computed, which nobody can write to.
        actions = unscale_actions(actions, *self._bounds) if self._bounds[0].size else np.array(actions)
        return actions.reshape(self._action_shape if self._single else (-1, *self._action_shape))

    def _flatten(self, observation, episodes: int) -> np.ndarray:
        """(F, S) float32 of what ``act`` was given."""
        rows = one_step(observation) if self._single else observation
        flat = flatten_observations(rows, self._observation_keys, self._offset)
        expected = (episodes, self._player.observation_size)
        if flat.shape != expected:
            given = "entries of other sizes" if isinstance(observation, dict) else f"shape {np.shape(observation)}"
            raise ValueError(f"observation has {given}; expected {expected[1:] if self._single else expected}.")
        if not np.isfinite(flat).all():
            raise ValueError(self._not_finite(observation))
        return flat

    def _not_finite(self, observation) -> str:
        """Names the first number that is not finite, or not in single precision."""
        for key in self._observation_keys or (None,):
            values = np.asarray(observation if key is None else entry_of(observation, key))
            with np.errstate(over="ignore"):
                bad = np.argwhere(~np.isfinite(values.astype(np.float32)))
            if len(bad):
                break
        place, name = bad[0].tolist() if len(bad) else [], key or "observation"
        return f"{name}{place or ''} is {values[tuple(place)]}; every number must be finite in single precision."
