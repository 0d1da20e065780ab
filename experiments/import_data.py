"""Imports a log of your own: CSV, Parquet, NPZ or HDF5, one row per step.

    python experiments/import_data.py --file=log.csv --id=my/log-v0 --observations='temp_*,humidity' --actions=valve

What is not named is guessed by the names in use (LeRobot's, D4RL's, robomimic's). The printed summary says what was
read; check it. Train with ``--config=configs/own.py:small --config.data.minari_id=my/log-v0``.
"""

import glob
import pathlib

from absl import app, flags

from launcher import command, parse_flags, report_errors
from rvdt_jax.errors import UserError

_FILE = flags.DEFINE_list("file", None, "Files, or globs of files, that are laid behind each other.", required=True)
_ID = flags.DEFINE_string("id", None, "The id of the data set, such as my/log-v0.", required=True)
_OBSERVATIONS = flags.DEFINE_list("observations", None, "Columns or globs of columns; unset: guessed by the name.")
_ACTIONS = flags.DEFINE_list("actions", None, "Columns or globs of columns; unset: guessed by the name.")
_REWARD = flags.DEFINE_string("reward", None, "The column of rewards; unset: guessed by the name.")
_EPISODE = flags.DEFINE_string("episode", None, "The column of episode ids; unset: guessed; empty: none.")
_TERMINAL = flags.DEFINE_string("terminal", None, "Flags of steps that end the task; unset: guessed; empty: none.")
_TIMEOUT = flags.DEFINE_string("timeout", None, "Flags of steps after which recording was cut; unset: guessed.")
_TIME = flags.DEFINE_string("time", None, "The column that orders the steps of an episode; unset: guessed.")
_GAP = flags.DEFINE_float("gap", None, "The time between two rows from which on they belong to two episodes.")
_GROUP = flags.DEFINE_string("group", None, "HDF5: a glob of groups that hold one episode each, such as data/demo_*.")
_LOW = flags.DEFINE_list("action_low", None, "Lower bounds of the actions: one number, or one each; unset: the data's.")
_HIGH = flags.DEFINE_list("action_high", None, "Upper bounds of the actions.")
_OVERWRITE = flags.DEFINE_bool("overwrite", False, "Replace the data set of that id.")
_ANYWAY = flags.DEFINE_bool(
    "anyway", False, "Import data named as one of D4RL's although its counts differ; scores are then not normalised."
)


def main(argv: list[str]) -> None:
    """Reads, checks, writes and describes."""
    from rvdt_jax.data.contract import check_episodes
    from rvdt_jax.data.episodes import Episodes
    from rvdt_jax.data.imported import check_free, write_imported
    from rvdt_jax.data.importing import import_table
    from rvdt_jax.data.roles import choose_roles
    from rvdt_jax.data.summary import describe_import
    from rvdt_jax.data.tables import open_table

    check_free(_ID.value, overwrite=_OVERWRITE.value)
    table = open_table(files_of(_FILE.value), _GROUP.value)
    roles = (_OBSERVATIONS, _ACTIONS, _REWARD, _EPISODE, _TERMINAL, _TIMEOUT, _TIME)
    named = {flag.name: flag.value for flag in roles}
    bounds = {"low": numbers(_LOW), "high": numbers(_HIGH)}
    imported = import_table(table, choose_roles(table, named), gap=_GAP.value, **bounds)
    episodes = check_episodes(Episodes(name=_ID.value, **imported.arrays))
    path, known = write_imported(imported, episodes, _FILE.value, overwrite=_OVERWRITE.value, anyway=_ANYWAY.value)
    print(describe_import(imported, episodes))
    if "noticed" in known:
        print(f"note: {known['noticed']}")
    elif "d4rl_task" in known:
        print("references of D4RL's {d4rl_task}: {ref_min_score:g} and {ref_max_score:g}".format(**known))
    print(f"\nWritten to {path}. Train on it with:")
    print(f"{command('run')} --config=configs/own.py:small --config.data.minari_id={_ID.value}")


def files_of(patterns: list[str]) -> list[pathlib.Path]:
    """The files that names and globs mean, each glob's in the order of their names."""
    found = []
    for pattern in patterns:
        matches = sorted(glob.glob(pattern, recursive=True)) if glob.has_magic(pattern) else [pattern]
        if not matches:
            raise UserError(f"--file={pattern}: no file matches.")
        found += [pathlib.Path(match).expanduser() for match in matches]
    return found


def numbers(flag: flags.FlagHolder) -> list[float] | None:
    """The numbers of a flag."""
    try:
        return None if flag.value is None else [float(text) for text in flag.value]
    except ValueError as error:
        raise UserError(f"--{flag.name}={','.join(flag.value)}: these are no numbers.") from error


if __name__ == "__main__":
    app.run(report_errors(main), flags_parser=parse_flags)
