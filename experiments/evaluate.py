"""Scores a saved run again, films it, or estimates its return without a simulator.

    python experiments/evaluate.py --workdir=runs/maze2d-umaze-v1/RVDT --episodes=100 --targets=150,200 --video=out.mp4

The scores are printed and written into the run directory as ``scores-<update>.json``; nothing is overwritten. A run
that was trained without an environment is scored in one that ``--env`` names. ``--fqe`` needs none: fitted Q
evaluation estimates the discounted return from the run's data, and writes ``fqe-<update>.json``.
"""

import os
import pathlib
import sys

from absl import app, flags

from launcher import keep_compiled_programs, parse_flags, refuse_flags, report_errors
from rvdt_jax.errors import UserError

_WORKDIR = flags.DEFINE_string("workdir", None, "The run directory.", required=True)
_STEP = flags.DEFINE_integer("step", None, "The checkpoint's update; unset: the newest.")
_EPISODES = flags.DEFINE_integer("episodes", None, "Per seed and target; unset: as in the run's final evaluation.")
_TARGETS = flags.DEFINE_list("targets", None, "Raw target returns, the first is the headline; unset: the run's.")
_SELECTION = flags.DEFINE_string("action_selection", None, "mean, sample, critic or best_of; unset: the run's.")
_PROCESSES = flags.DEFINE_integer("processes", None, "For simulators; unset: the run's setting.", lower_bound=0)
_PARALLEL = flags.DEFINE_integer("parallel_episodes", None, "Simulators at once; unset: the run's.", lower_bound=1)
_VIDEO = flags.DEFINE_string("video", None, "Film one episode of the first seed into this file, .mp4 or .gif.")
_ENV = flags.DEFINE_string("env", None, "Gymnasium id of the environment to score in; unset: the run's.")
_HORIZON = flags.DEFINE_integer("horizon", None, "Steps after which an episode is cut; unset: the run's.")
_FQE = flags.DEFINE_bool("fqe", False, "Estimate the return from the data by fitted Q evaluation, and play nothing.")
_FQE_UPDATES = flags.DEFINE_integer("fqe_updates", None, "Updates of each Q; unset: as many as the run's training.")


def main(argv: list[str]) -> int:
    """Plays, prints, writes."""
    keep_compiled_programs()
    if _VIDEO.value and sys.platform == "linux" and not os.environ.get("DISPLAY"):
        os.environ.setdefault("MUJOCO_GL", "egl")  # MuJoCo reads it when it is loaded
    folder, targets = pathlib.Path(_WORKDIR.value), _parse_targets(_TARGETS.value)
    _check_flags()
    if _FQE.value:
        from rvdt_jax.runs.fqe import evaluate_fqe, print_fqe

        print_fqe(*evaluate_fqe(folder, step=_STEP.value, targets=targets, updates=_FQE_UPDATES.value))
        return 0
    from rvdt_jax.evaluation.score_run import load_scored, score_run
    from rvdt_jax.evaluation.video import check_video, record_video
    from rvdt_jax.report.results import check_scored, print_results

    video = pathlib.Path(_VIDEO.value) if _VIDEO.value else None
    place = {"env": _ENV.value, "horizon": _HORIZON.value}
    run = load_scored(folder, step=_STEP.value, targets=targets, selection=_SELECTION.value, **place)
    if video is not None:
        check_video(run, video)
    scores, path = score_run(
        run, episodes=_EPISODES.value, processes=_PROCESSES.value, parallel_episodes=_PARALLEL.value
    )
    print_results([scores], path, "Scores and raw returns")
    if video is not None:
        record_video(run, video)
        print(f"Video: {video}")
    check_scored(scores, path)
    return 0


def _check_flags() -> None:
    """Refuses flags that would be ignored."""
    if _FQE.value:
        playing = (_EPISODES, _SELECTION, _PROCESSES, _PARALLEL, _VIDEO, _ENV, _HORIZON)
        refuse_flags("--fqe plays nothing and takes the mean action", *playing)
    elif _FQE_UPDATES.value is not None:
        raise UserError("--fqe_updates belongs to --fqe. Add that, or leave it out.")


def _parse_targets(words: list[str] | None) -> tuple[float, ...] | None:
    if words is None:
        return None
    try:
        return tuple(float(word) for word in words)
    except ValueError:
        raise UserError(f"--targets={','.join(words)}: give numbers, separated by commas.") from None


if __name__ == "__main__":
    app.run(report_errors(main), flags_parser=parse_flags)
