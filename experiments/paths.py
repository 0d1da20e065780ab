"""Draws where the policies of several runs go in one maze, from the same starts, and films the last run.

    python experiments/paths.py --runs=runs/umaze/DT,runs/umaze/QT,runs/umaze/RVDT --out=runs/umaze/paths

Writes ``paths.png``, one panel for each run, and ``paths.gif``. The evaluator plays the episodes; their starts are the
first ones of the seed's own evaluations.
"""

import pathlib

from absl import app, flags

from launcher import keep_compiled_programs, parse_flags, report_errors
from rvdt_jax.errors import UserError

_RUNS = flags.DEFINE_list(
    "runs", None, "Run directories, all of one maze2d task; the last one is filmed.", required=True
)
_OUT = flags.DEFINE_string("out", None, "Folder of the two files.", required=True)
_EPISODES = flags.DEFINE_integer("episodes", 20, "Episodes of each run.", lower_bound=1)
_SEED = flags.DEFINE_integer("seed", None, "The training seed of every run's policy; unset: the first run's first.")


def main(argv: list[str]) -> int:
    """Plays, draws, films."""
    keep_compiled_programs()
    from reporting.mazes import draw_film, draw_paths
    from reporting.playing import check_same_starts, labelled, record_paths

    folders, played = [pathlib.Path(folder) for folder in _RUNS.value], []
    if not folders:
        raise UserError("--runs is empty; name at least one run directory.")
    for folder in folders:
        seed = played[0].seed if played else _SEED.value
        played.append(record_paths(folder, episodes=_EPISODES.value, seed=seed))
    check_same_starts(played)
    panels, out = labelled(played, folders), pathlib.Path(_OUT.value)
    out.mkdir(parents=True, exist_ok=True)
    draw_paths(panels, out / "paths.png")
    draw_film(*panels[-1], out / "paths.gif")
    for label, paths in panels:
        print(f"{label}: {paths.verdict} over {len(paths.returns)} episodes of seed {paths.seed}")
    print(f"Picture and film: {out}")
    return 0


if __name__ == "__main__":
    app.run(report_errors(main), flags_parser=parse_flags)
