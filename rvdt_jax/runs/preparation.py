"""What a run needs before it trains: data that all processes share, checked against settings and environment."""

from __future__ import annotations

import dataclasses
import logging
import pathlib
from typing import TYPE_CHECKING

import numpy as np

from rvdt_jax import __version__
from rvdt_jax.acting.selection import make_actor
from rvdt_jax.algorithms.base import Spec
from rvdt_jax.config.serialization import to_json
from rvdt_jax.config.settings import Config
from rvdt_jax.data.contract import check_rewards
from rvdt_jax.data.episodes import Episodes, draw_episodes, keep_episodes
from rvdt_jax.data.rebalance import ExpertSet, select_expert_episodes
from rvdt_jax.data.summary import describe_data
from rvdt_jax.errors import UserError, not_installed
from rvdt_jax.evaluation.target import Scoring, choose_scoring
from rvdt_jax.runs.processes import Group
from rvdt_jax.runs.workdir import check_workdir
from rvdt_jax.tasks import Environment
from rvdt_jax.train.checkpoint import versions
from rvdt_jax.types import Normalizer

if TYPE_CHECKING:
    from rvdt_jax.evaluation.evaluator import Evaluator

log = logging.getLogger(__name__)
_MOST_TIMESTEPS = 10_000  # later ones share the last embedding: a million rows would be most of the parameters
_APART = 0x4E1D  # separates the draw of the held-out trajectories from that of ``data.fraction``


@dataclasses.dataclass(frozen=True)
class Data:
    """What a run learns from."""

    episodes: Episodes  # checked
    experts: ExpertSet
    provenance: dict  # as ``results.json`` records it
    scoring: Scoring | None  # what can score policies trained on them; None in processes that do not lead
    environment: Environment | None  # what scores this run's; None with config.env=none, or where there is none
    held: Episodes | None  # trajectories that are held out


def sizes_of(episodes: Episodes) -> dict[str, int]:
    """What of the data decides the shapes of networks: S, A, and how many timesteps have an embedding of their own."""
    return {
        "observation_size": episodes.observations.shape[1],
        "action_size": episodes.actions.shape[1],
        "max_timestep": min(int(episodes.lengths.max()), _MOST_TIMESTEPS),
    }


def to_agree_on(config: Config, resume: bool) -> dict:
    """What must be the same in all processes; places of files need not be."""
    settings = {name: value for name, value in to_json(config).items() if name != "workdir"}
    settings["data"] = {name: value for name, value in settings["data"].items() if name != "path"}
    return {"config": settings, "resume": resume, "versions": {"rvdt_jax": __version__} | versions()}


def prepare(
    config: Config,
    episodes: Episodes,
    provenance: dict,
    folder: pathlib.Path,
    group: Group,
    resume: bool,
    held: Episodes | None = None,
) -> Data:
    """Checks what only the data could tell, and says what the run learns from.

    Raises:
        UserError: data, settings, environment and work directory do not fit each other, or processes have other data.
    """
    digest = episodes.digest()
    group.agree({"data": provenance["dataset_id"], "content_digest": digest})

    def lead() -> tuple:
        check_workdir(folder, config, resume)
        scoring = choose_scoring(config, episodes, provenance)
        environment = None if config.env == "none" else scoring.environment
        check_fit(config, episodes, environment)
        return scoring, environment

    scoring, environment = group.attempt(lead if group.leads else lambda: (None, None))
    expert = config.expert
    how = {"fraction": expert.fraction, "threshold": expert.threshold, "measure": expert.measure}
    experts = select_expert_episodes(episodes, by=expert.by, **how)
    horizon = config.eval.horizon if environment is None else environment.horizon
    for line in describe_data(episodes, config.eval.targets, horizon):
        log.info("data: %s", line)
    log.info("expert set: %s", experts.describe())
    provenance = {name: value for name, value in provenance.items() if name != "env_spec"}  # now in ``scoring``
    provenance |= {"content_digest": digest, "expert_set": experts.describe()}
    return Data(episodes, experts, provenance, scoring, environment, held)


def hold_out(config: Config, episodes: Episodes, provenance: dict) -> tuple[Episodes, Episodes | None, dict]:
    """The trajectories to learn from, those that ``config.data.holdout`` keeps apart, and a provenance that says so.

    Raises:
        UserError: none would be left to learn from.
    """
    data, count = config.data, episodes.lengths.size
    if not data.holdout:
        return episodes, None, provenance
    apart = draw_episodes(count, data.holdout, np.random.SeedSequence([data.subset_seed, _APART]))
    if apart.all():
        raise UserError(
            f"config.data.holdout={data.holdout:g} holds out all of {count} trajectories. Lower it, or set 0."
        )
    held = keep_episodes(episodes, apart)
    about = {"share": data.holdout, "seed": data.subset_seed, "episodes": held.lengths.size, "of": count}
    log.info("data.holdout=%g: %d of %d trajectories are held out", data.holdout, held.lengths.size, count)
    return keep_episodes(episodes, ~apart), held, provenance | {"holdout": about | {"steps": held.rewards.size}}


def take_share(config: Config, episodes: Episodes, provenance: dict) -> tuple[Episodes, dict]:
    """The share of the trajectories that ``config.data.fraction`` keeps, and a provenance that says so."""
    if config.data.fraction >= 1.0:
        return episodes, provenance
    data, count = config.data, episodes.lengths.size
    kept = draw_episodes(count, data.fraction, data.subset_seed)
    share = {"regime": data.regime, "fraction": data.fraction, "seed": data.subset_seed}
    share |= {"episodes": int(kept.sum()), "of": count}
    log.info("data.fraction=%g keeps %d of %d trajectories", data.fraction, share["episodes"], count)
    return keep_episodes(episodes, kept), provenance | {"subset": share}


def check_fit(config: Config, episodes: Episodes, environment: Environment | None) -> None:
    """Refuses by a UserError a context that does not fit the data, and data that the environment cannot score."""
    longest = int(episodes.lengths.max())
    if config.model.context_length > longest:
        raise UserError(
            f"config.model.context_length={config.model.context_length} is longer than every episode of "
            f"{episodes.name} (the longest has {longest} steps). Set it to {longest} or less."
        )
    if config.loss.q_guidance and config.model.context_length < 2:
        if longest > 1:
            raise UserError("config.model.context_length must be at least 2 with Q-guidance: TD needs a next step.")
        if not episodes.terminated.any():
            raise UserError(
                f"{episodes.name}: every episode is one step, and none is terminal: there is no value to learn. Mark "
                "the steps as terminal, or choose a variant without Q-guidance, such as RDT."
            )
        log.info("every episode is one step: windows have one step, and the critics learn its reward")
    if config.data.relabel != "none":
        check_rewards(episodes, config.variant)
    if environment is None:
        return
    try:
        from rvdt_jax.envs.vector import try_environment
    except ImportError:
        return  # nothing is scored on this machine
    sizes, expected = (episodes.observations.shape[1], episodes.actions.shape[1]), try_environment(environment)
    if sizes != expected:
        raise UserError(
            f"{episodes.name}: observations and actions have sizes {sizes}, but {environment.id}, which scores "
            f"them, has {expected}. Choose config.task, config.env or the data to fit each other; config.env=none "
            "trains without scores."
        )


def make_evaluator(config: Config, spec: Spec, normalizer: Normalizer, data: Data) -> Evaluator | None:
    """None where nothing is scored: so it was chosen, or no simulator is installed, which training does not need."""
    if config.env == "none":
        log.info("nothing will be scored: config.env=none")
    if data.environment is None:
        return None
    try:
        from rvdt_jax.evaluation.evaluator import Evaluator
    except ImportError as error:
        log.warning("nothing will be scored: %s", not_installed(error) or error)
        return None
    return Evaluator(
        data.environment,
        make_actor(config, spec.policy, spec.critic),
        normalizer,
        seeds=config.seeds,
        targets=config.eval.targets,
        return_scale=config.policy.return_scale,
        return_range=data.episodes.return_range,
        processes=config.eval.processes,
        parallel_episodes=config.eval.parallel_episodes,
    )
