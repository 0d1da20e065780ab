"""Loading a saved policy: a run directory in, something that acts out. Needs neither a data set nor a simulator."""

from __future__ import annotations

import pathlib

import jax
import numpy as np
import orbax.checkpoint as ocp

from rvdt_jax.config import Config, from_json
from rvdt_jax.models.acting import EPISODE_STREAM, Actor, action_keys, choose_actions, empty_windows
from rvdt_jax.models.build import make_critic, make_policy
from rvdt_jax.types import Normalizer, Params


class Policy:
    """A trained policy with its memory of the episodes in progress.

        policy = rvdt_jax.load_policy("runs/maze2d-umaze-v1/RVDT")
        policy.reset(target_return=150.0)
        action = policy.act(observation)  # then step the environment, and from the second step on
        action = policy.act(observation, previous_reward=reward)

    Args:
        config: the settings it was trained with.
        actor: the static part of acting.
        params: ``{"policy": ..., "critic": ...}``; every leaf has a leading axis 1.
        normalizer: the training data's observation statistics.
        seed: of the randomness of ``eval.action_selection`` other than ``mean``.

    Attributes:
        config: as given.
    """

    def __init__(self, config: Config, actor: Actor, params: Params, normalizer: Normalizer, seed: int):
        self.config = config
        self._actor, self._params, self._normalizer = actor, params, normalizer
        self._seed, self._episode, self._windows = seed, 0, None

    def reset(self, target_return: float | np.ndarray | None = None) -> None:
        """Begins one episode, or several in parallel.

        Args:
            target_return: the return to aim at, in raw reward units: a number for one episode, (F,) for F parallel
                ones. None takes the first of ``eval.targets``; where the critic selects, all of them as candidates (a
                target given here is then the only candidate, and the critic has no choice).

        Raises:
            ValueError: a target that is not finite, or has more than one dimension.
        """
        default = self.config.eval.targets if self._actor.selection == "critic" else self.config.eval.targets[:1]
        targets = np.asarray(default[0] if target_return is None else target_return, np.float64)
        if targets.ndim > 1 or targets.size == 0 or not np.isfinite(targets).all():
            raise ValueError(f"target_return is {target_return}; give one finite number, or one for each episode.")
        self._single = targets.ndim == 0
        candidates = np.asarray(default)[:, None] if target_return is None else np.atleast_1d(targets)[None]
        self._remaining = candidates.astype(np.float64)  # (C, F)
        self._windows = empty_windows(1, *self._remaining.shape, self._actor)
        self._step = 0
        self._keys = action_keys((self._seed,), EPISODE_STREAM, self._episode)
        self._episode += 1

    def act(self, observation, previous_reward=0.0) -> np.ndarray:
        """The next action.

        Args:
            observation: (S,) for one episode, (F, S) for F parallel ones; raw, as the environment gave it.
            previous_reward: () or (F,), what the last action earned; ignored at the first step.

        Returns:
            (A,) or (F, A) float32 in [-1, 1].

        Raises:
            ValueError: a shape that does not fit, or ``reset`` was not called.
        """
        if self._windows is None:
            raise ValueError("call reset(target_return) before act().")
        episodes = self._remaining.shape[1]
        size = self._actor.policy.observation_size
        expected = (size,) if self._single else (episodes, size)
        observation = np.asarray(observation, np.float32)
        if observation.shape != expected:
            raise ValueError(f"observation has shape {observation.shape}; expected {expected}.")
        if self._step > 0:
            self._remaining -= np.broadcast_to(np.asarray(previous_reward, np.float64), (episodes,))
        mean, std = np.asarray(self._normalizer.mean), np.asarray(self._normalizer.std)
        normalized = ((observation - mean) / std).reshape(1, episodes, size)
        last = self._windows.write(self._step, normalized, self._remaining / self.config.policy.return_scale)
        actions = choose_actions(self._params, self._windows, last, self._keys, self._step, actor=self._actor)
        actions = np.asarray(actions)
        self._windows.actions[:, :, last] = actions
        self._step += 1
        return actions[0, 0] if self._single else actions[0]


def load_policy(run_dir: str | pathlib.Path, *, seed: int | None = None, step: int | None = None) -> Policy:
    """The policy of a run; statistics, scales and settings come out of its checkpoint.

    Args:
        run_dir: the run directory.
        seed: which training seed's; None takes the first.
        step: which checkpoint's; None takes the newest.

    Raises:
        ValueError: no such run, checkpoint or seed; the message names those there are.
    """
    config, actor, params, normalizer = load_params(run_dir, step=step)
    seed = config.seeds[0] if seed is None else seed
    if seed not in config.seeds:
        raise ValueError(f"{run_dir}: has no seed {seed}; trained were {', '.join(map(str, config.seeds))}.")
    row = config.seeds.index(seed)
    return Policy(config, actor, jax.tree.map(lambda leaf: leaf[row : row + 1], params), normalizer, seed)


def load_params(run_dir: str | pathlib.Path, *, step: int | None = None) -> tuple[Config, Actor, Params, Normalizer]:
    """Settings, modules, the parameters of every seed (leading axis R) and statistics of a run; see ``load_policy``.

    Everything comes out of the checkpoint, onto this machine's first device, wherever it was trained.
    """
    folder = pathlib.Path(run_dir)
    checkpoints = folder / "checkpoints"
    if not checkpoints.is_dir():
        raise ValueError(f"{folder}: holds no run with a checkpoint.")
    options = ocp.CheckpointManagerOptions(create=False)
    handlers = {"arrays": ocp.StandardCheckpointHandler(), "about": ocp.JsonCheckpointHandler()}
    with ocp.CheckpointManager(checkpoints.absolute(), options=options, item_handlers=handlers) as manager:
        steps = sorted(manager.all_steps())
        if not steps or (step is not None and step not in steps):
            known = f"there are those of {', '.join(map(str, steps))}" if steps else "there is none yet"
            raise ValueError(f"{folder}: has no checkpoint{'' if step is None else f' of update {step}'}; {known}.")
        step = steps[-1] if step is None else step
        try:
            about = manager.restore(step, args=ocp.args.Composite(about=ocp.args.JsonRestore()))["about"]
            shapes = manager.item_metadata(step)["arrays"]
            arrays = manager.restore(
                step, args=ocp.args.Composite(arrays=ocp.args.StandardRestore(_on_first_device(shapes)))
            )["arrays"]
            config = from_json(about["config"])
        except Exception as error:  # a damaged file makes Orbax raise almost anything
            raise ValueError(
                f"{checkpoints / str(step)}: the checkpoint cannot be read ({type(error).__name__}: {error})."
            ) from error
    actor = Actor(
        policy=make_policy(config, **about["sizes"]),
        critic=make_critic(config),
        context_length=config.model.context_length,
        selection=config.eval.action_selection,
    )
    params = {name: arrays["states"][name] for name in ("policy", "critic")}
    return config, actor, params, Normalizer(**arrays["normalizer"])


def _on_first_device(shapes):
    sharding = jax.sharding.SingleDeviceSharding(jax.devices()[0])
    return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding), shapes)
