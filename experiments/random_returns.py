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

_EPISODES = flags.DEFINE_integer("episodes", 100, "Per environment.", lower_bound=2)
_OUTPUT = flags.DEFINE_string("output", "runs/random-returns", "Folder for the records and the table.")
_SEED = flags.DEFINE_integer("seed", 0, "Of starts and actions.", lower_bound=0)
_COPIES = 20  # side by side: a kitchen takes 70 to 220 MB

# For comparison: environments of Gymnasium-Robotics that those of the tasks replace.
_COMPARED = {"pen": "AdroitHandPen-v1", "hammer": "AdroitHandHammer-v1"}


def main(argv: list[str]) -> int:
    """Plays the episodes, writes the records and prints the table."""
    from rvdt_jax.report.provenance import installed_versions
    from rvdt_jax.report.records import write_json
    from rvdt_jax.tasks import all_tasks

    folder = pathlib.Path(_OUTPUT.value)
    path = folder / "random_returns.json"
    if path.exists():
        raise UserError(f"--output={folder}: holds {path.name} already. Choose another folder; nothing was touched.")
    folder.mkdir(parents=True, exist_ok=True)
    jobs = {(env_id, task.horizon): task for task in all_tasks().values() for env_id in _environments(task)}
    records = []
    for (env_id, horizon), task in tqdm(jobs.items(), unit="environment"):
        returns = play(env_id, horizon, _EPISODES.value, _SEED.value)
        records.append(
            {
                "environment": env_id,
                "horizon": horizon,
                "task": task.name,
                "ref_min_return": task.ref_min_return,
                "ref_max_return": task.ref_max_return,
                "returns": returns.tolist(),
            }
        )
    write_json(path, {"seed": _SEED.value, "versions": installed_versions(), "records": records})
    table = format_table(records)
    (folder / "table.txt").write_text(table + "\n", encoding="utf-8")
    print(f"{table}\n\nRecords: {path}")
    return 0


def _environments(task) -> list[str]:
    """Every evaluation environment of the task, by source, and the one for comparison."""
    from_sources = [source.env_id or f"{task.sources[0].env_id.removesuffix('-v4')}-v5" for source in task.sources]
    compared = [env_id for start, env_id in _COMPARED.items() if task.name.startswith(start)]
    return list(dict.fromkeys(from_sources + compared))


def play(env_id: str, horizon: int, episodes: int, seed: int) -> np.ndarray:
    """(episodes,) raw returns of actions uniform in [-1, 1]."""
    from rvdt_jax.envs.vector import make_vector_env
    from rvdt_jax.tasks import Environment

    keys = _observation_keys(env_id)
    env = make_vector_env(Environment(id=env_id, horizon=horizon, observation_keys=keys), _COPIES)
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
            raise RuntimeError(f"{env_id}: {failed[0]}")
        returns.append(totals)
    env.close()
    return np.concatenate(returns)[:episodes]


def _observation_keys(env_id: str) -> tuple[str, ...]:
    from rvdt_jax.tasks import all_tasks

    sources = [source for task in all_tasks().values() for source in task.sources]
    return next((source.observation_keys for source in sources if source.env_id == env_id), ())


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
