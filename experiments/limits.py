"""Prints the largest score that any policy can have on the sparse maze2d tasks, beside the published ones.

    python experiments/limits.py

A published score above it is a maximum over evaluations of a few episodes, whose starts happened to lie near the goal.
"""

from absl import app

from launcher import parse_flags, report_errors


def main(argv: list[str]) -> int:
    """Computes and prints."""
    from rvdt_jax.envs.limits import largest_return
    from rvdt_jax.envs.maze2d import MAZES
    from rvdt_jax.report.published import cells_of
    from rvdt_jax.tasks import get_task

    published = {(cell.d4rl_task, cell.method): cell for cell in cells_of("maze2d-reward")}
    print(f"{'task':<18} {'largest return':>15} {'largest score':>14} {'QT, published':>14} {'RVDT, published':>16}")
    for name, maze in MAZES.items():
        task = get_task(f"maze2d-{name}-v{0 if name == 'open' else 1}")
        limit = largest_return(maze)
        scores = [published.get((task.name, method)) for method in ("QT", "RVDT")]
        shown = ["-" if cell is None else f"{cell.mean:.1f}" for cell in scores]
        print(f"{task.name:<18} {limit:>15.1f} {task.normalized_score(limit):>14.1f} {shown[0]:>14} {shown[1]:>16}")
    return 0


if __name__ == "__main__":
    app.run(report_errors(main), flags_parser=parse_flags)
