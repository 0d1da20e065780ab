"""Loading a saved policy: a run directory in, something that acts out. Needs neither a data set nor a simulator."""

from __future__ import annotations

import dataclasses
import math
import pathlib
from typing import Literal

import jax
import numpy as np

from rvdt_jax.acting.episodes import EPISODE_STREAM, Acting, action_keys
from rvdt_jax.acting.saved import read_checkpoint
from rvdt_jax.acting.selection import Actor, make_actor
from rvdt_jax.algorithms.base import Algorithm, get_algorithm
from rvdt_jax.config.checks import check_config, check_targets
from rvdt_jax.config.settings import Config
from rvdt_jax.data.spaces import entry_of, flatten_observations, one_step, unscale_actions
from rvdt_jax.errors import UserError
from rvdt_jax.types import Learner, Normalizer, Params, TrainState


@dataclasses.dataclass(frozen=True)
class SavedRun:
    """What a checkpoint holds of a run, for acting and scoring."""

    config: Config  # the settings it was trained with
    actor: Actor
    params: Params  # as the algorithm's ``acting_params`` gives them; every leaf has a leading axis R of seeds
    normalizer: Normalizer
    step: int  # the update that it was written at
    return_range: tuple[float, float]  # least and largest return-to-go of the data, raw; infinite in older runs
    spaces: (
        dict  # ``observation_keys``, ``action_low`` and ``action_high``, as in ``tasks.Environment``; ``action_shape``
    )
    scoring: dict  # what scores its policies, the JSON form of ``evaluation.target.Scoring``
    provenance: dict  # where its data come from


class Policy:
    """A trained policy with its memory of the episodes in progress.

        policy = rvdt_jax.load_policy("runs/maze2d-umaze-v1/RVDT")
        policy.reset(target_return=150.0)
        action = policy.act(observation)  # then step the environment, and from the second step on
        action = policy.act(observation, previous_reward=reward)

    Args:
        saved: a run.
        seed: which of its training seeds'; also of the randomness of ``eval.action_selection`` other than ``mean``.

    Attributes:
        config: the settings it was trained with.
    """

    def __init__(self, saved: SavedRun, seed: int):
        self.config = saved.config
        row = saved.config.seeds.index(seed)
        self._params = jax.tree.map(lambda leaf: leaf[row : row + 1], saved.params)
        self._saved, self._actor = saved, saved.actor
        self._observation_keys = tuple(saved.spaces["observation_keys"])
        self._offset = tuple(saved.spaces.get("observation_offset", ()))  # older runs have none
        self._bounds = [np.array(saved.spaces[name], np.float32) for name in ("action_low", "action_high")]
        shape = saved.spaces.get("action_shape")  # older runs do not say
        self._action_shape = (saved.actor.policy.action_size,) if shape is None else tuple(shape)
        self._seed, self._episode, self._acting = seed, 0, None

    def reset(self, target_return: float | np.ndarray | None = None) -> None:
        """Begins one episode, or several in parallel.

        Args:
            target_return: the return to aim at, in raw reward units: a number for one episode, (F,) for F parallel
                ones. None takes the first of ``eval.targets``; where the critic selects, all of them as candidates (a
                target given here is then the only candidate, and the critic has no choice).

        Raises:
            ValueError: a target that is not finite, or has more than one dimension.
        """
        default = self.config.eval.targets if self._actor.asks_all else self.config.eval.targets[:1]
        targets = np.asarray(default[0] if target_return is None else target_return, np.float64)
        if targets.ndim > 1 or targets.size == 0 or not np.isfinite(targets).all():
            raise ValueError(f"target_return is {target_return}; give one finite number, or one for each episode.")
        self._single = targets.ndim == 0
        candidates = np.asarray(default)[:, None] if target_return is None else np.atleast_1d(targets)[None]
        self._episodes = candidates.shape[1]  # F
        self._acting = Acting(
            self._actor,
            self._params,
            self._saved.normalizer,
            return_scale=self.config.policy.return_scale,
            return_range=self._saved.return_range,
            keys=action_keys((self._seed,), EPISODE_STREAM, self._episode),
            targets=candidates[None],
        )
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
        actions = unscale_actions(actions, *self._bounds) if self._bounds[0].size else actions
        return actions.reshape(self._action_shape if self._single else (-1, *self._action_shape))

    def _flatten(self, observation, episodes: int) -> np.ndarray:
        """(F, S) float32 of what ``act`` was given."""
        rows = one_step(observation) if self._single else observation
        flat = flatten_observations(rows, self._observation_keys, self._offset)
        expected = (episodes, self._actor.policy.observation_size)
        if flat.shape != expected:
            given = "entries of other sizes" if isinstance(observation, dict) else f"shape {np.shape(observation)}"
            raise ValueError(f"observation has {given}; expected {expected[1:] if self._single else expected}.")
        if not np.isfinite(flat).all():
            parts = {key: entry_of(observation, key) for key in self._observation_keys} or {"observation": observation}
            name, values = next(item for item in parts.items() if not np.isfinite(item[1]).all())
            place = np.argwhere(~np.isfinite(values))[0].tolist()
            raise ValueError(f"{name}{place or ''} is {np.asarray(values)[tuple(place)]}; every number must be finite.")
        return flat


def load_policy(
    run_dir: str | pathlib.Path,
    *,
    seed: int | None = None,
    step: int | Literal["best"] | None = None,
    selection: str | None = None,
) -> Policy:
    """The policy of a run; statistics, scales and settings come out of its checkpoint.

    Args:
        run_dir: the run directory.
        seed: which training seed's; None takes the first.
        step: which checkpoint's; None takes the newest, ``"best"`` that of the evaluation during training whose mean
            return over seeds was best: a maximum over noisy evaluations, whose score flatters.
        selection: how actions are chosen, as ``eval.action_selection``; None: as the run's evaluations chose them.

    Raises:
        UserError: no such run, checkpoint or seed; the message names those there are. Or the selection does not fit
            the run.
    """
    saved = load_run(run_dir, step=step, selection=selection)
    seeds = saved.config.seeds
    seed = seeds[0] if seed is None else seed
    if seed not in seeds:
        raise UserError(f"{run_dir}: has no seed {seed}; trained were {', '.join(map(str, seeds))}.")
    return Policy(saved, seed)


def load_run(
    run_dir: str | pathlib.Path,
    *,
    step: int | Literal["best"] | None = None,
    selection: str | None = None,
    targets: tuple[float, ...] | None = None,
) -> SavedRun:
    """Everything that it takes to act with a run's policies or to score them, of every seed; see ``load_policy``.

    It comes out of the checkpoint, onto this machine's first device, wherever it was trained. ``targets`` take the
    place of the run's ``eval.targets``.
    """
    folder = pathlib.Path(run_dir)
    step, config, about, arrays = read_checkpoint(folder, step)
    config = _choose_selection(config, about, selection, folder / "checkpoints" / str(step))
    config = _choose_targets(config, targets)
    algorithm = get_algorithm(config.variant)
    spec = algorithm.make_spec(config, **about["sizes"])
    return SavedRun(
        config,
        make_actor(config, spec.policy, spec.critic),
        _acting_params(algorithm, arrays["states"]),
        Normalizer(**arrays["normalizer"]),
        step,
        tuple(about.get("return_range", (-math.inf, math.inf))),
        **{name: about[name] for name in ("spaces", "scoring", "provenance")},
    )


def _choose_selection(config: Config, about: dict, selection: str | None, path: pathlib.Path) -> Config:
    """The settings with the selection that is asked for, checked against the run."""
    if selection is not None:
        config = dataclasses.replace(config, eval=dataclasses.replace(config.eval, action_selection=selection))
        check_config(config)
    if config.eval.action_selection == "critic" and "return_range" not in about:
        raise UserError(
            f"{path}: an older version wrote this checkpoint. Its eval.action_selection=critic chose differently, and "
            "the range of returns that today's needs was not recorded. Name another selection: mean, sample or best_of."
        )
    return config


def _choose_targets(config: Config, targets: tuple[float, ...] | None) -> Config:
    if targets is None:
        return config
    if not config.policy.condition_on_return:
        raise UserError(f"--targets: {config.variant} sees no target return. Leave it unset.")
    targets = check_targets(targets, "--targets")
    return dataclasses.replace(config, eval=dataclasses.replace(config.eval, targets=targets))


def _acting_params(algorithm: Algorithm, states: dict) -> dict[str, Params | None]:
    """What acts, out of the restored states."""
    if "learners" not in states:  # formats up to 4, which held the RVDT family alone
        return {"policy": states["policy"], "critic": states["target_critic"]}
    learners = {name: Learner(**parts) for name, parts in states["learners"].items()}
    return algorithm.acting_params(TrainState(states["step"], states["key"], learners))
