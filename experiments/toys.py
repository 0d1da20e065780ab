"""Two problems with a known answer: DT and RDT cannot solve them, RVDT does, and coverage shows why.

    python experiments/toys.py [--out=runs/toys]

Trains each variant on both with three seeds, about two minutes in all. Prints the returns, and writes ``toys.json`` and
the coverage of each problem's data. The problems are described in ``toy_problems.py``.
"""

import pathlib

from absl import app, flags

from launcher import keep_compiled_programs, parse_flags, report_errors

VARIANTS = ("DT", "RDT", "RVDT")

_OUT = flags.DEFINE_string("out", "runs/toys", "Folder of the results; earlier runs in it are not overwritten.")
_UPDATES = flags.DEFINE_integer("updates", 1500, "Number of updates of each run.", lower_bound=1)


def main(argv: list[str]) -> int:
    """Measures coverage, trains, prints."""
    keep_compiled_programs()
    from toy_problems import TARGETS, bandit_trajectories, corridor_trajectories

    from rvdt_jax.data.contract import check_episodes
    from rvdt_jax.data.coverage import measure_coverage
    from rvdt_jax.data.episodes import Episodes
    from rvdt_jax.data.rebalance import select_expert_episodes
    from rvdt_jax.report.coverage import plot_coverage, verdict
    from rvdt_jax.report.records import write_json

    folder, found = pathlib.Path(_OUT.value), {}
    for name, trajectories in (("bandit", bandit_trajectories), ("corridor", corridor_trajectories)):
        episodes = check_episodes(Episodes(name=name, **trajectories()))
        experts = select_expert_episodes(episodes)
        measured = measure_coverage(episodes, experts, target=TARGETS[name], alpha=1.0, bins=6, groups=6)
        (folder / name).mkdir(parents=True, exist_ok=True)
        write_json(folder / name / "coverage.json", measured)
        plot_coverage(measured, folder / name / "coverage.png", title=name)
        print(f"{name}: {verdict(measured)}")
        found[name] = {variant: train(name, episodes, variant, folder / name / variant) for variant in VARIANTS}
        for variant, returns in found[name].items():
            print(f"{name}, {variant}: mean return " + ", ".join(f"{value:.2f}" for value in returns))
    write_json(folder / "toys.json", found)
    return 0


def train(name: str, episodes, variant: str, workdir: pathlib.Path) -> list[float]:
    """Trains three seeds; returns the mean return of each over 100 episodes, at the last checkpoint."""
    from toy_problems import ENVIRONMENTS, TARGETS

    from rvdt_jax import default_config, fit
    from rvdt_jax.report.records import mean_return, read_lines

    settings = default_config()
    settings.variant, settings.env, settings.workdir = variant, ENVIRONMENTS[name], str(workdir)
    settings.seeds = (0, 1, 2)
    settings.train.update(steps=_UPDATES.value, batch_size=64, learning_rate=3e-3, grad_clip_norm=10.0, log_every=100)
    settings.model.update(width=16, layers=1, heads=1, dropout=0.0, critic_width=32, critic_layers=2)
    settings.model.context_length = min(4, int(episodes.lengths.max()))
    settings.loss.target_rate, settings.loss.reward_scale = 0.05, 1.0
    if variant == "RVDT":
        settings.loss.eta = 10.0
    settings.ema.update(every=1, decay=0.95, start=0)
    settings.eval.update(every=_UPDATES.value, episodes=100, targets=(TARGETS[name],), processes=1)
    run = fit(episodes, settings, progress=False)
    final = [line for line in read_lines(run.folder / "evaluations.jsonl") if line["final"]]
    return [mean_return(line) for line in final]


if __name__ == "__main__":
    app.run(report_errors(main), flags_parser=parse_flags)
