"""Compares the recreated data sets on this machine with D4RL's files, in numbers.

    python experiments/likeness.py [--task=hopper-medium-v2,antmaze-umaze-v0] [--steps=100000] [--out=runs/likeness]

Writes one JSON file per task, and a report of all that are in ``--out``.
"""

import pathlib

from absl import app, flags

from launcher import parse_flags, report_errors
from rvdt_jax.errors import UserError

_TASK = flags.DEFINE_list("task", None, "Tasks; unset: every locomotion and antmaze task that was recreated here.")
_STEPS = flags.DEFINE_integer(
    "steps", None, "Compare data sets that recreate.py made with this --steps; unset: whole ones."
)
_OUT = flags.DEFINE_string("out", "runs/likeness", "Folder of the report.")


def main(argv: list[str]) -> int:
    """Reads each data set as it was recorded, and writes."""
    from reporting.likeness import describe, table

    from rvdt_jax.data.minari import find_local
    from rvdt_jax.data.source import load_local
    from rvdt_jax.recreate import recreated_id
    from rvdt_jax.report.records import read_json, write_json
    from rvdt_jax.tasks import d4rl_datasets, get_task

    folder = pathlib.Path(_OUT.value)
    for name in _TASK.value or d4rl_datasets():
        task = get_task(name)
        if task.source("recipe") is None:
            raise UserError(f"--task={name}: there is no recipe for it.")
        dataset_id = recreated_id(task, _STEPS.value)
        if not find_local(dataset_id):
            if _TASK.value:
                raise UserError(f"--task={name}: no data set {dataset_id} is on this machine; see recreate.py.")
            continue
        episodes, provenance = load_local(dataset_id)
        numbers = describe(name, episodes.lengths, episodes.returns, episodes.rewards, episodes.terminated)
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / f"{dataset_id.rpartition('/')[2]}.json"
        write_json(file, numbers | {"provenance": {key: each for key, each in provenance.items() if key != "env_spec"}})
    found = [read_json(file) for file in folder.glob("*.json")]
    if not found:
        raise UserError(
            "no recreated data set is on this machine: python experiments/recreate.py --task=hopper-medium-v2"
        )
    text = f"{table(found)}\n{policies()}\n"
    (folder / "likeness.md").write_text(text, encoding="utf-8")
    print(f"{text}\nWritten to {folder}.")
    return 0


def policies() -> str:
    """The returns of the policies that collected the data."""
    from reporting.likeness import policies_table

    from rvdt_jax.recreate.locomotion import shipped_collector
    from rvdt_jax.tasks import get_task

    robots = ("halfcheetah", "hopper", "walker2d")
    names = [f"{robot}-{quality}" for robot in robots for quality in ("medium", "best")] + ["ant-goal"]
    about = {name: shipped_collector(name).about for name in names}
    experts = {robot: get_task(f"{robot}-medium-v2").ref_max_return for robot in robots}
    return f"The policies that collect, over 100 episodes:\n\n{policies_table(about, experts)}"


if __name__ == "__main__":
    app.run(report_errors(main), flags_parser=parse_flags)
