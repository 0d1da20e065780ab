"""How well fitted Q evaluation ranks policies: its estimates beside the returns that were played.

    python experiments/evaluate.py --workdir=runs/tables/maze2d-umaze-v1/DT --fqe --targets=300    # and so on
    python experiments/fqe_correlation.py --runs=runs/tables/maze2d-umaze-v1/DT,... --out=experiments/results/fqe

Every seed of every run is one policy: its estimate at the headline target, of the newest ``fqe-*.json`` of the final
checkpoint, and its mean return in ``results.json``.
"""

import pathlib

from absl import app, flags
from scipy.stats import spearmanr

from launcher import parse_flags, report_errors
from rvdt_jax.errors import UserError
from rvdt_jax.report.records import read_json, write_json

_RUNS = flags.DEFINE_list("runs", None, "Run directories.", required=True)
_OUT = flags.DEFINE_string("out", None, "Folder for correlation.json.", required=True)


def main(argv: list[str]) -> int:
    """Reads, correlates, writes."""
    rows = [row for folder in map(pathlib.Path, _RUNS.value) for row in _rows(folder)]
    if len(rows) < 3:
        raise UserError(f"--runs: {len(rows)} policies give no rank correlation; name runs with three or more.")
    found = spearmanr([row["estimate"] for row in rows], [row["return"] for row in rows])
    record = {"spearman": float(found.statistic), "p_value": float(found.pvalue), "policies": rows}
    out = pathlib.Path(_OUT.value)
    out.mkdir(parents=True, exist_ok=True)
    write_json(out / "correlation.json", record)
    print(
        f"Spearman's rank correlation over {len(rows)} policies: {record['spearman']:.2f} (p {record['p_value']:.2g})"
    )
    return 0


def _rows(folder: pathlib.Path) -> list[dict]:
    """One row per seed of a run.

    Raises:
        UserError: the run was not played, or a seed has no return or no estimate at its headline target.
    """
    results = read_json(folder / "results.json")
    target = results["headline_target"]
    if target is None:
        raise UserError(
            f"{folder}: was never played in an environment, so there is no return to compare with. Leave it out."
        )
    files = sorted(folder.glob(f"fqe-{results['steps']}*.json"), key=lambda path: path.stat().st_mtime)
    if not files:
        raise UserError(f"{folder}: run experiments/evaluate.py --workdir={folder} --fqe first.")
    record, played = read_json(files[-1]), results["final"][target]["seeds"]
    estimates = {each["seed"]: each["estimate"] for each in record["estimates"] if str(each["target"]) == target}
    about = {"task": results["task"], "variant": results["variant"], "step": results["steps"], "gamma": record["gamma"]}
    rows = []
    for seed, cell in played.items():
        if cell["return"] is None:
            raise UserError(f"{folder}: seed {seed} has no return, as an episode of it failed. Leave this run out.")
        if int(seed) not in estimates:
            raise UserError(
                f"{files[-1]}: has no estimate of seed {seed} at the target {target} of results.json. Run "
                "evaluate.py --fqe with that --targets; a run whose actions the critic chooses has no single one: "
                "leave it out."
            )
        rows.append(about | {"seed": int(seed), "estimate": estimates[int(seed)], "return": cell["return"]})
    return rows


if __name__ == "__main__":
    app.run(report_errors(main), flags_parser=parse_flags)
