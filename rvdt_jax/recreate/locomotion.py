"""D4RL's locomotion data sets by their recipe (Fu et al. 2020), from trained policies and replay buffers of SAC.

``medium``: 1e6 steps of a policy whose return is that of D4RL's medium data, actions drawn as in training.
``medium-expert``: 1e6 steps of the medium policy, then 1e6 of the best one. ``medium-replay``: all steps of training up
to the medium policy. The policies come with this package; ``experiments/train_collectors.py`` trained them.
"""

from __future__ import annotations

import functools
import json
import pathlib
from collections.abc import Callable, Iterator

import numpy as np

from rvdt_jax.data.minari.writer import split_recording
from rvdt_jax.errors import UserError
from rvdt_jax.recreate.collector import Collector, load_collector
from rvdt_jax.recreate.rollouts import Recipe, collect
from rvdt_jax.tasks import Environment, Task

REPLAY = "runs/collectors/{robot}-medium/medium-replay.npz"  # where training leaves the buffer
_QUALITIES = {"medium": ("medium",), "medium-expert": ("medium", "best")}
_COLUMNS = {"observations": 2, "next_observations": 2, "actions": 2, "rewards": 1, "dones": 1, "timeouts": 1}


def shipped_collector(name: str) -> Collector:
    """A policy of this package, e.g. ``hopper-medium``.

    Raises:
        UserError: there is none of that name.
    """
    return load_collector(pathlib.Path(__file__).with_name("policies") / f"{name}.npz")


def locomotion_recipe(task: Task, steps: int, seed: int) -> Recipe:
    """``medium`` and ``medium-expert``; the first half of the latter is drawn as ``medium`` is."""
    robot, quality = _split_name(task)
    collectors = [shipped_collector(f"{robot}-{part}") for part in _QUALITIES[quality]]
    bounds = np.linspace(0, steps, len(collectors) + 1).astype(int)
    environment = Environment(task.source("recipe").env_id, horizon=task.horizon)

    def collect_parts(progress: Callable[[int], object]) -> Iterator[dict]:
        for place, (collector, part) in enumerate(zip(collectors, np.diff(bounds).tolist(), strict=True)):
            rng = np.random.default_rng([seed, place])
            act = functools.partial(collector.act, rng=rng)  # drawn actions
            yield from collect(environment, lambda first, act=act: act, part, rng, progress) if part else ()

    return Recipe(
        observation_size=collectors[0].observation_size,
        action_size=collectors[0].action_size,
        algorithm="SAC (D4RL's recipe)",
        description=f"{' then '.join(_QUALITIES[quality])} policy of SAC, actions drawn",
        steps=steps,
        seed=seed,
        facts={
            "recipe": f"{quality}: {steps} steps of SAC's policies ({', '.join(_QUALITIES[quality])})",
            "policies": [collector.about for collector in collectors],
        },
        collect=collect_parts,
    )


def replay_recipe(task: Task, steps: int | None, seed: int, replay: str | None) -> Recipe:
    """``medium-replay``: the buffer of a training run, or its first ``steps`` steps.

    Raises:
        UserError: there is no buffer, it is another robot's or damaged, or ``steps`` or ``seed`` do not fit it.
    """
    robot, _ = _split_name(task)
    path = pathlib.Path(replay or REPLAY.format(robot=robot))
    columns, about = _read_buffer(path, robot)
    held = len(columns["rewards"])
    if steps is not None and steps > held:
        raise UserError(f"--steps={steps}: {path} holds {held} steps.")
    if seed not in (0, about["seed"]):
        raise UserError(f"--seed={seed}: {path} comes from a run with seed {about['seed']}; train one with --seed.")
    columns = {name: values[:steps] for name, values in columns.items()}
    dones, timeouts = columns.pop("dones") > 0, columns.pop("timeouts") > 0
    # If training was interrupted and resumed, a new episode begins there without a flag.
    follows = (columns["observations"][1:] == columns["next_observations"][:-1]).all(axis=1)
    gaps = ~np.append(follows, True) & ~dones

    def cut(progress: Callable[[int], object]) -> Iterator[dict]:
        for episode in split_recording(columns, dones & ~timeouts, (dones & timeouts) | gaps):
            progress(len(episode["rewards"]))
            yield episode

    return Recipe(
        observation_size=columns["observations"].shape[1],
        action_size=columns["actions"].shape[1],
        algorithm="SAC in training (D4RL's recipe)",
        description="all that SAC saw in training up to its medium policy",
        steps=len(dones),
        seed=about["seed"],
        facts={"recipe": f"medium-replay: {len(dones)} steps of SAC's replay buffer", "training": about},
        collect=cut,
    )


def _split_name(task: Task) -> tuple[str, str]:
    """``hopper-medium-expert-v2`` -> ``hopper``, ``medium-expert``."""
    robot, quality = task.name.removesuffix("-v2").split("-", 1)
    return robot, quality


def _read_buffer(path: pathlib.Path, robot: str) -> tuple[dict[str, np.ndarray], dict]:
    """The columns of a buffer, and where it is from."""
    if not path.exists():
        raise UserError(
            f"{path}: there is no replay buffer. Train one: pip install 'rvdt-jax[recreate]', then "
            f"python experiments/train_collectors.py --robot={robot} --goal=medium. Or name one with --replay."
        )
    try:
        with np.load(path, allow_pickle=False) as file:
            about = json.loads(str(file["about"]))
            columns = {name: file[name] for name in _COLUMNS}
        owner, _ = about["robot"], about["seed"]
    except Exception as error:  # a damaged zip file makes NumPy raise almost anything
        raise UserError(f"{path}: holds no replay buffer ({type(error).__name__}: {error}).") from error
    if owner != robot:
        raise UserError(f"{path}: it belongs to the robot {owner}, not {robot}; name another with --replay.")
    shapes = {name: values.shape for name, values in columns.items()}
    lengths = {shape[0] for shape in shapes.values() if shape}
    if len(lengths) != 1 or any(len(shapes[name]) != count for name, count in _COLUMNS.items()):
        raise UserError(f"{path}: its columns do not belong together: {shapes}. Train it anew.")
    return columns, about
