"""Imports D4RL's original files as local Minari data sets, ``d4rl-hdf5/<task>``.

The whole file is checked before anything is written, and it is never changed.
"""

from __future__ import annotations

import hashlib
import pathlib
from collections.abc import Generator
from importlib import metadata

import numpy as np
from tqdm import tqdm

from rvdt_jax.data.d4rl.hdf5 import D4rlFile, file_state, read_d4rl
from rvdt_jax.data.d4rl.recording import Recording, check_recording
from rvdt_jax.data.minari.writer import About, check_free, split_recording, write_dataset
from rvdt_jax.errors import UserError, did_you_mean, nearest
from rvdt_jax.tasks import all_tasks, d4rl_files, other_counts

# Observation and action size, by the beginning of D4RL's names.
_SIZES = {
    "halfcheetah": (17, 6),
    "hopper": (11, 3),
    "walker2d": (17, 6),
    "pen": (45, 24),
    "hammer": (46, 26),
    "kitchen": (60, 9),
    "maze2d": (4, 2),
    "antmaze": (29, 8),
}

_REWARDS = {"kitchen": "counts", "maze2d": "sparse", "antmaze": "sparse"}  # see ``check_recording``

_DESCRIPTION = (
    "One of D4RL's data sets (Fu et al. 2020, D4RL: Datasets for Deep Data-Driven Reinforcement Learning, "
    "arXiv:2004.07219), {name}, imported from the file {file}; D4RL publishes it at {url}. The layout of the file "
    "was checked; that it is D4RL's own is what the importing user states. Licence of D4RL's data: CC BY 4.0."
)

_FAMILY_NOTES = {
    "kitchen": (
        "Every demonstration ends with terminal=1 whether or not it was solved: terminated means here that the "
        "demonstration was over. Rewards count at every step how many of the four tasks are satisfied (0 to 4), so "
        "that returns reach hundreds, while evaluation gives 1 per task, once, and at most 4: targets for a policy "
        "trained on these returns are on their scale, scores are not."
    ),
    "maze2d": (
        "It is one continuous run. A time-out marks that the collecting controller reached its own goal of the "
        "moment, which is not the task's; the task does not end there. The reward of a step belongs to the observation "
        "of the same step."
    ),
    "antmaze": (
        "Rewards and terminals were computed afterwards from the distance between the next observation and the goal: "
        "while the ant stays there, every step is a terminal, and an episode of one step."
    ),
}
_OWN_DATA = "Any other file is imported with experiments/import_data.py --file=FILE --id=my/data-v0."
_ANTMAZE_V0_NOTE = (
    "The time-outs of antmaze -v0 are known to be out of step with the real resets (D4RL issue 77; corrected in -v2): "
    "some episodes hold a jump from one run to the next."
)


def import_d4rl(
    task_name: str, path: str | pathlib.Path, *, overwrite: bool = False, anyway: bool = False, progress: bool = True
) -> str:
    """Writes the local Minari data set ``d4rl-hdf5/<task_name>`` from one of D4RL's files, whole or not at all.

    Args:
        task_name: D4RL's name, one of ``tasks.d4rl_files()``.
        path: the file; it is read into memory.
        overwrite: replace a data set of the same id, once the new one is complete.
        anyway: import a file with another number of episodes or steps than D4RL's, too.
        progress: show a progress bar.

    Returns:
        The Minari id.

    Raises:
        UserError: an unknown task, or a file that is not D4RL's for this task; the message names the file, the key,
            the row and the remedy.
        DatasetExists: the data set exists (a UserError too).
    """
    urls, path = d4rl_files(), pathlib.Path(path).expanduser()
    if task_name not in urls:
        hint = did_you_mean(task_name, urls)
        raise UserError(
            f"--task={task_name}: this package has no such task.{hint} Its tasks: {', '.join(urls)}. {_OWN_DATA}"
        )
    named = _names_of_files().get(path.name, task_name)
    if named != task_name:
        raise UserError(
            f"{path}: --task={task_name}: D4RL's file of that name belongs to {named}. Pass --task={named}, or rename "
            "the file if it holds something else."
        )
    dataset_id = f"d4rl-hdf5/{task_name}"
    check_free(dataset_id, overwrite=overwrite)
    file = read_d4rl(path, urls[task_name])
    _check_sizes(file, task_name)
    known, family = all_tasks().get(task_name), _family(task_name)
    horizon = known.horizon if known else 700 if "-umaze" in task_name else 1000  # antmaze -v2: that of -v0
    rewards = "dense" if "-dense" in task_name else _REWARDS.get(family, "any")
    recording = check_recording(file, horizon=horizon, rewards=rewards, is_ant=family == "antmaze")
    _check_counts(file, task_name, recording, anyway)
    about = _about(task_name, file, recording)

    def make_episodes() -> Generator[dict]:
        episodes = split_recording(recording.columns, recording.terminations, recording.truncations)
        yield from tqdm(episodes, total=recording.ends.size, desc="writing", unit="episode", disable=not progress)

    return write_dataset(dataset_id, about, make_episodes, overwrite=overwrite)


def task_of_file(path: str | pathlib.Path) -> str:
    """D4RL's name of the task whose file has that name.

    Raises:
        UserError: none has.
    """
    name, known = pathlib.Path(path).name, _names_of_files()
    if name in known:
        return known[name]
    near = nearest(name, known)
    hint = f" The nearest is {near} of {known[near]}." if near else ""
    raise UserError(
        f"{path}: {name!r} is not the file of a task of this package.{hint} Name its task with --task. {_OWN_DATA}"
    )


def _names_of_files() -> dict[str, str]:
    """D4RL's file names -> the tasks they belong to."""
    return {url.rsplit("/", 1)[-1]: name for name, url in d4rl_files().items()}


def _family(task_name: str) -> str:
    return task_name.split("-")[0]


def _check_sizes(file: D4rlFile, task_name: str) -> None:
    found = tuple(file.arrays[key].shape[1] for key in ("observations", "actions"))
    fitting = [name for name in d4rl_files() if _SIZES[_family(name)] == found]
    for key, size, right in zip(("observations", "actions"), found, _SIZES[_family(task_name)], strict=True):
        if size != right:
            what = f"it would fit {', '.join(fitting)}" if fitting else "it fits no task that is known here"
            wrong = f"its rows have {size} numbers, those of {task_name} {right}"
            raise file.error(key, wrong, f"{what}: check --task and --file")


def _check_counts(file: D4rlFile, task_name: str, recording: Recording, anyway: bool) -> None:
    """Refuses a file of another size than D4RL's; with ``anyway`` the difference is noted instead."""
    words = other_counts(task_name, recording.counts)
    if words and not anyway:
        raise UserError(f"{file.path}: {words}. To import it under the task's name, pass --anyway. {_OWN_DATA}")
    recording.noticed.extend(filter(None, [words]))


def _about(task_name: str, file: D4rlFile, recording: Recording) -> About:
    """The metadata of the new data set.

    Raises:
        UserError: the file was changed since it was read.
    """
    task, family, starts = all_tasks().get(task_name), _family(task_name), np.append(0, recording.ends[:-1] + 1)
    returns = np.add.reduceat(recording.columns["rewards"], starts, dtype=np.float64)
    env_id = task.source("import").env_id if task else f"rvdt/{task_name}"
    noticed = list(recording.noticed)
    if family == "maze2d" and recording.terminations.any():
        noticed.append("D4RL's maze2d files have no terminals, this one has: they are taken for terminations")
    notes = [_DESCRIPTION.format(name=task_name, file=file.path.name, url=file.url), _FAMILY_NOTES.get(family, "")]
    notes += [_ANTMAZE_V0_NOTE] if family == "antmaze" and task_name.endswith("-v0") else []
    with file.path.open("rb") as raw:
        digest = hashlib.file_digest(raw, "sha256").hexdigest()
    if file_state(file.path) != file.state:
        raise UserError(f"{file.path}: the file was changed while it was read. Import it again.")
    return About(
        # Gymnasium knows our own environments once the package that registers them is imported.
        env_id=f"rvdt_jax.envs:{env_id}" if env_id.startswith("rvdt/") else env_id,
        observation_size=_SIZES[family][0],
        action_size=_SIZES[family][1],
        algorithm="see D4RL",
        description=" ".join([*filter(None, notes), *(f"Noticed on import: {what}." for what in noticed)]),
        facts={
            "d4rl_task": task_name,
            "original_file": {"name": file.path.name, "bytes": file.path.stat().st_size, "sha256": digest},
            "counts": recording.counts,
            "return_range": [float(returns.min()), float(returns.max())],
            "noticed": noticed,
            "ref_min_score": task.ref_min_return if task else 0.0,
            "ref_max_score": task.ref_max_return if task else 1.0,
            "final_observation": "next_observations" if "next_observations" in recording.columns else "repeated",
            "versions": {name: metadata.version(name) for name in ("h5py", "gymnasium", "minari", "numpy")},
        },
    )
