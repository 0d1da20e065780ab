"""Measures the return of random actions in every evaluation environment, beside D4RL's published minimum.

    python experiments/random_returns.py [--episodes=100] [--output=runs/random-returns]

D4RL's minimum is the return of a random policy, so the difference shows how close an environment is to D4RL's own.
The records in experiments/results/random-returns were made with the defaults.
"""

import pathlib

import numpy as np
from absl import app, flags
from tqdm import tqdm

from launcher import parse_flags, report_errors
from rvdt_jax.errors import UserError
from rvdt_jax.tasks import Environment, Task, all_tasks

_EPISODES = flags.DEFINE_integer("episodes", 100, "Per environment.", lower_bound=2)
_OUTPUT = flags.DEFINE_string("output", "runs/random-returns", "Folder for the records and the table.")
_SEED = flags.DEFINE_integer("seed", 0, "Of starts and actions.", lower_bound=0)
_COPIES = 20  # side by side: a kitchen takes 70 to 220 MB

# For comparison: environments of Gymnasium-Robotics that those of the tasks replace.
_COMPARED = {"pen": "AdroitHandPen-v1", "hammer": "AdroitHandHammer-v1"}


def main(argv: list[str]) -> int:
    """Plays the episodes, writes the records and prints the table."""
    from rvdt_jax.report.provenance import installed_versions, source_commit
    from rvdt_jax.report.records import write_json

    folder = pathlib.Path(_OUTPUT.value)
    path = folder / "random_returns.json"
    if path.exists():
        raise UserError(f"--output={folder}: holds {path.name} already. Choose another folder; nothing was touched.")
    folder.mkdir(parents=True, exist_ok=True)
    jobs = {
        Environment(id=env_id, horizon=task.horizon, observation_keys=keys): task
        for task in all_tasks().values()
        for env_id, keys in _environments(task).items()
    }
    records = []
    for environment, task in tqdm(jobs.items(), unit="environment"):
        returns = play(environment, _EPISODES.value, _SEED.value).tolist()
        record = {"environment": environment.id, "horizon": task.horizon, "task": task.name}
        references = {name: getattr(task, name) for name in ("ref_min_return", "ref_max_return")}
        records.append(record | references | {"returns": returns})
    made = {"versions": installed_versions(), "commit": source_commit()}
    write_json(path, {"seed": _SEED.value, **made, "records": records})
    table = format_table(records)
    (folder / "table.txt").write_text(table + "\n", encoding="utf-8")
    print(f"{table}\n\nRecords: {path}")
    return 0


def _environments(task: Task) -> dict[str, tuple[str, ...]]:
    """Every evaluation environment of the task, and the one for comparison, with the entries that are seen in it."""
    stem = task.sources[0].env_id.removesuffix("-v4")
    found = {source.env_id or f"{stem}-v5": source.observation_keys for source in task.sources}
    return found | {env_id: () for start, env_id in _COMPARED.items() if task.name.startswith(start)}


def play(environment: Environment, episodes: int, seed: int) -> np.ndarray:
    """(episodes,) raw returns of actions uniform in [-1, 1]."""
    from rvdt_jax.envs.vector import make_vector_env

    env = make_vector_env(environment, _COPIES)
    rng, returns = np.random.default_rng(seed), []
    for first in range(0, episodes, _COPIES):
        env.reset([seed + first + copy for copy in range(_COPIES)])
        totals, alive = np.zeros(_COPIES), np.ones(_COPIES, bool)
        while alive.any():
            _, rewards, terminated, truncated = env.step(rng.uniform(-1.0, 1.0, (_COPIES, env.action_size)))
            totals += alive * rewards
            alive &= ~(terminated | truncated)
        failed = [reason for reason in env.outcomes().get("failed", ()) if reason]
        if failed:
            raise RuntimeError(f"{environment.id}: {failed[0]}")
        returns.append(totals)
    env.close()
    return np.concatenate(returns)[:episodes]


def format_table(records: list[dict]) -> str:
    """One line an environment: mean +- standard error, D4RL's minimum, and the score that random actions get."""
    lines = [f"{'environment':<36}{'horizon':>8}{'random return':>20}{'D4RL minimum':>14}{'score':>8}{'episodes':>10}"]
    for record in records:
        returns = np.array(record["returns"])
        mean, error = returns.mean(), returns.std(ddof=1) / np.sqrt(returns.size)
        low, high = record["ref_min_return"], record["ref_max_return"]
        lines.append(
            f"{record['environment']:<36}{record['horizon']:>8}{f'{mean:.2f} +- {error:.2f}':>20}{low:>14.2f}"
            f"{100 * (mean - low) / (high - low):>8.2f}{returns.size:>10}"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    app.run(report_errors(main), flags_parser=parse_flags)
