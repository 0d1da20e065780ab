"""Loading a run: its directory in, a policy that acts out. Needs neither a data set nor a simulator."""

from __future__ import annotations

import dataclasses
import math
import pathlib
from typing import Literal

import jax

from rvdt_jax.acting.checkpoints import read_checkpoint
from rvdt_jax.acting.episodes import Player
from rvdt_jax.acting.policy import Policy
from rvdt_jax.acting.selection import Actor, make_actor, make_player
from rvdt_jax.algorithms.base import Algorithm, get_algorithm
from rvdt_jax.config.checks import check_config, check_targets
from rvdt_jax.config.settings import Config
from rvdt_jax.errors import UserError
from rvdt_jax.types import Learner, Normalizer, Params, TrainState


@dataclasses.dataclass(frozen=True)
class SavedRun:
    """What a checkpoint holds of a run, for acting and scoring."""

    folder: pathlib.Path  # the run directory
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
    return policy_of(load_run(run_dir, step=step, selection=selection), seed)


def policy_of(saved: SavedRun, seed: int | None = None) -> Policy:
    """The policy of one training seed of a run; see ``one_seed``."""
    seed, params = one_seed(saved, seed)
    return Policy(player_of(saved, params), seed=seed, config=saved.config, **interface_of(saved))


def one_seed(saved: SavedRun, seed: int | None) -> tuple[int, Params]:
    """A training seed, the first if it is None, and its parameters, with a leading axis R = 1.

    Raises:
        UserError: it is not one of the run's.
    """
    seeds = saved.config.seeds
    seed = seeds[0] if seed is None else seed
    if seed not in seeds:
        raise UserError(f"{saved.folder}: has no seed {seed}; trained were {', '.join(map(str, seeds))}.")
    row = seeds.index(seed)
    return seed, jax.tree.map(lambda leaf: leaf[row : row + 1], saved.params)


def player_of(saved: SavedRun, params: Params) -> Player:
    """What acts with these parameters, as the run does."""
    units = {"return_scale": saved.config.policy.return_scale, "return_range": saved.return_range}
    return make_player(saved.actor, params, saved.normalizer, **units)


def interface_of(saved: SavedRun) -> dict:
    """Arguments of ``Policy``: what it asks for by itself, and the form of its observations and actions."""
    return {"targets": saved.config.eval.targets} | saved.spaces


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
    folder = pathlib.Path(run_dir).expanduser()
    step, config, about, arrays = read_checkpoint(folder, step)
    config = _choose_selection(config, about, selection, folder / "checkpoints" / str(step))
    config = _choose_targets(config, targets)
    algorithm = get_algorithm(config.variant)
    spec = algorithm.make_spec(config, **about["sizes"])
    return SavedRun(
        folder,
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
