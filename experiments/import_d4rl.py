"""Imports one of D4RL's original HDF5 files as a local Minari data set, where its task finds it.

python experiments/import_d4rl.py --file=hopper_medium_replay-v2.hdf5 [--task=hopper-medium-replay-v2] [--overwrite]

Files of D4RL's layout without a task here are imported with ``import_data.py``.
"""

import json

from absl import app, flags

from launcher import parse_flags, report_errors

_FILE = flags.DEFINE_string("file", None, "The file, as D4RL publishes it.", required=True)
_TASK = flags.DEFINE_string("task", None, "D4RL's name of its task; unset: by the file's own name.")
_OVERWRITE = flags.DEFINE_bool("overwrite", False, "Replace an existing data set once the new one is complete.")
_ANYWAY = flags.DEFINE_bool("anyway", False, "Import a file with other counts of episodes or steps than D4RL's, too.")


def main(argv: list[str]) -> int:
    """Imports the file, and prints the id and a summary of the new data set."""
    from rvdt_jax.data.d4rl.importer import import_d4rl, task_of_file

    task = task_of_file(_FILE.value) if _TASK.value is None else _TASK.value
    dataset_id = import_d4rl(task, _FILE.value, overwrite=_OVERWRITE.value, anyway=_ANYWAY.value)
    print(f"{dataset_id}: imported.\n{describe(dataset_id)}")
    return 0


def describe(dataset_id: str) -> str:
    """A few lines about an imported data set: its size, how episodes end, returns, and what was noticed."""
    from rvdt_jax.data.minari import find_local

    about = json.loads((find_local(dataset_id) / "metadata.json").read_text(encoding="utf-8"))
    counts, (lowest, highest) = about["counts"], about["return_range"]
    lines = [
        f"{counts['episodes']} episodes, {counts['steps']} steps; {counts['terminated']} episodes terminated, "
        f"{counts['truncated']} truncated",
        f"returns from {lowest:g} to {highest:g}",
        *(f"noticed: {what}" for what in about["noticed"]),
    ]
    return "\n".join(f"  {line}" for line in lines)


if __name__ == "__main__":
    app.run(report_errors(main), flags_parser=parse_flags)
