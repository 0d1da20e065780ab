"""Imports one of D4RL's original HDF5 files as a local Minari data set, which its task then finds by itself.

python experiments/import_d4rl.py --file=hopper_medium_replay-v2.hdf5 [--task=hopper-medium-replay-v2] [--overwrite]
"""

from absl import app, flags

from launcher import parse_flags, report_errors

_FILE = flags.DEFINE_string("file", None, "The file, as D4RL publishes it.", required=True)
_TASK = flags.DEFINE_string("task", None, "D4RL's name of what is in it; unset: by the file's own name.")
_OVERWRITE = flags.DEFINE_bool("overwrite", False, "Replace an existing data set once the new one is complete.")


def main(argv: list[str]) -> int:
    """Imports, and prints the id of the new data set and what is in it."""
    from rvdt_jax.data.d4rl.importer import describe_import, import_d4rl, task_of_file

    task = task_of_file(_FILE.value) if _TASK.value is None else _TASK.value
    dataset_id = import_d4rl(task, _FILE.value, overwrite=_OVERWRITE.value)
    print(f"{dataset_id}: imported.\n{describe_import(dataset_id)}")
    return 0


if __name__ == "__main__":
    app.run(report_errors(main), flags_parser=parse_flags)
