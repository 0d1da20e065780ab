"""Measures how often a data set reaches the return that a policy is conditioned on, before and after rebalancing.

    python experiments/coverage.py --task=maze2d-umaze-v1
    python experiments/coverage.py --minari_id=my/data-v0 --target=90 --alpha=4 --by=return

Prints four lines on the data, as every run does, and a verdict; writes ``coverage.json`` and ``coverage.png`` into
``--out``. Grouping and binning are documented in ``rvdt_jax/data/coverage.py``.
"""

import pathlib

from absl import app, flags

from launcher import parse_flags, report_errors
from rvdt_jax.errors import UserError

_TASK = flags.DEFINE_string("task", None, "A task of the table.")
_DATASET = flags.DEFINE_string("minari_id", None, "A Minari data set; with --task, instead of the task's own.")
_TARGET = flags.DEFINE_float("target", None, "Raw return that inference is conditioned on; unset: the headline target.")
_ALPHA = flags.DEFINE_float("alpha", 1.0, "Strength of the rebalancing.", lower_bound=0.0)
_BY = flags.DEFINE_enum(
    "by", "start", ["start", "return"], "Rank trajectories by return among those that start alike, or among all."
)
_MEASURE = flags.DEFINE_enum("measure", "return", ["return", "mean_reward"], "What of a trajectory is compared.")
_FRACTION = flags.DEFINE_float("fraction", 0.1, "Share of the trajectories, the best ones, that is expert.")
_THRESHOLD = flags.DEFINE_float("threshold", None, "Raw return of an expert trajectory or more; instead of --fraction.")
_BINS = flags.DEFINE_integer("bins", 20, "Bins of return.", lower_bound=1)
_GROUPS = flags.DEFINE_integer("groups", 8, "Groups of initial states.", lower_bound=1)
_OUT = flags.DEFINE_string("out", None, "Folder of the results; unset: runs/coverage/<task or data set>.")


def main(argv: list[str]) -> int:
    """Reads the data, measures, prints and writes."""
    from rvdt_jax.config.defaults import default_config
    from rvdt_jax.config.settings import complete_config, resolve
    from rvdt_jax.data.coverage import measure_coverage
    from rvdt_jax.data.rebalance import select_expert_episodes
    from rvdt_jax.data.summary import describe_data
    from rvdt_jax.evaluation.target import choose_scoring
    from rvdt_jax.report.coverage import plot_coverage, verdict
    from rvdt_jax.report.records import write_json
    from rvdt_jax.report.results import data_label
    from rvdt_jax.runs.load import load_episodes

    if not _TASK.value and not _DATASET.value:
        raise UserError("name the data: --task=maze2d-umaze-v1, or --minari_id=ID for a Minari data set.")
    settings = default_config()
    settings.variant, settings.task, settings.data.minari_id = "DT", _TASK.value, _DATASET.value
    config = resolve(settings)
    episodes, provenance = load_episodes(config)
    longest = int(episodes.lengths.max())
    reachable = episodes.reachable_return(config.eval.horizon or longest)
    targets = complete_config(config, episodes.returns, longest, reachable=reachable).eval.targets
    targets = targets if _TARGET.value is None else (_TARGET.value,)
    environment = choose_scoring(config, episodes, provenance).environment
    how = {"fraction": _FRACTION.value, "threshold": _THRESHOLD.value, "measure": _MEASURE.value}
    experts = select_expert_episodes(episodes, by=_BY.value, **how)
    measured = measure_coverage(
        episodes, experts, target=targets[0], alpha=_ALPHA.value, bins=_BINS.value, groups=_GROUPS.value
    )
    measured = {"task": _TASK.value, "data": data_label(provenance)} | measured
    name = _TASK.value or _DATASET.value
    folder = pathlib.Path(_OUT.value or pathlib.Path("runs", "coverage", name))
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "coverage.json", measured)
    plot_coverage(measured, folder / "coverage.png", title=f"{name} ({measured['data']})")
    print("\n".join(describe_data(episodes, targets, environment and environment.horizon)))
    print(f"{measured['data']}\nexpert set: {experts.describe()}\n{verdict(measured)}\n\nNumbers and picture: {folder}")
    return 0


if __name__ == "__main__":
    app.run(report_errors(main), flags_parser=parse_flags)
