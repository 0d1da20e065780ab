"""D4RL's original files as local Minari data sets, ``d4rl-hdf5/<task>``.

The file is checked to its last value before anything is written, read block by block both times, and never changed.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import pathlib
from collections.abc import Iterator
from importlib import metadata

import numpy as np

from rvdt_jax.data.d4rl_hdf5 import D4rlFile, open_d4rl
from rvdt_jax.data.d4rl_recording import Expected, Recording, check_recording, episodes_of
from rvdt_jax.data.minari import find_local
from rvdt_jax.data.minari_writer import About, check_free, write_dataset
from rvdt_jax.errors import UserError, did_you_mean, nearest
from rvdt_jax.files import read_text
from rvdt_jax.tasks import all_tasks, d4rl_files

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

_DESCRIPTION = (
    "One of D4RL's data sets (Fu et al. 2020, D4RL: Datasets for Deep Data-Driven Reinforcement Learning, "
    "arXiv:2004.07219), {name}, imported from the file {file}; D4RL publishes it at {url}. That the file is D4RL's own "
    "is the word of who imported it; its layout was checked. Licence of D4RL's data: CC BY 4.0."
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
_ANTMAZE_V0_NOTE = (
    "The time-outs of antmaze -v0 are known to be out of step with the real resets (D4RL issue 77; -v2 mended them): "
    "some episodes hold a jump from one run to the next."
)


@dataclasses.dataclass(frozen=True)
class _Facts:
    """What D4RL says of a task; the fields are those of ``tasks.Task``, ``About`` and ``Expected``."""

    name: str
    url: str
    env_id: str
    ref_min_return: float
    ref_max_return: float
    observation_size: int
    action_size: int
    expected: Expected


def import_d4rl(task_name: str, path: str | pathlib.Path, *, overwrite: bool = False, progress: bool = True) -> str:
    """Writes the local Minari data set ``d4rl-hdf5/<task_name>`` from one of D4RL's files, whole or not at all.

    Args:
        task_name: D4RL's name, one of ``tasks.d4rl_files()``.
        path: the file.
        overwrite: replace a data set of the same id, once the new one is complete.
        progress: show progress bars.

    Returns:
        The Minari id.

    Raises:
        UserError: an unknown task, or a file that is not D4RL's for this task; the message names the file, the key,
            the row and the remedy.
        DatasetExists: the data set does (a UserError too).
    """
    facts, path = _facts(task_name), pathlib.Path(path).expanduser()
    named = _names_of_files().get(path.name, task_name)
    if named != task_name:
        raise UserError(
            f"{path}: --task={task_name}: D4RL's file of that name belongs to {named}. Pass --task={named}, or rename "
            "the file if it holds something else."
        )
    dataset_id = f"d4rl-hdf5/{task_name}"
    check_free(dataset_id, overwrite=overwrite)
    with open_d4rl(path, facts.url) as file:
        _check_sizes(file, facts)
        before = _state(path)
        recording = check_recording(file, facts.expected, progress=progress)
        about = _about(facts, file, recording)

        def make_episodes() -> Iterator[dict]:
            yield from episodes_of(file, recording, progress=progress)
            if _state(path) != before:
                raise UserError(f"{path}: the file was changed while it was read. Import it again.")

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
    raise UserError(f"{path}: {name!r} is none of D4RL's file names.{hint} Say what it holds with --task.")


def describe_import(dataset_id: str) -> str:
    """What an import made, in a few lines: how much, how it ends, what it returns, and what was noticed."""
    about = json.loads(read_text(find_local(dataset_id) / "metadata.json"))
    counts, (lowest, highest) = about["counts"], about["return_range"]
    lines = [
        f"{counts['episodes']} episodes, {counts['steps']} steps; {counts['terminated']} episodes terminated, "
        f"{counts['truncated']} truncated",
        f"returns from {lowest:g} to {highest:g}",
        *(f"noticed: {what}" for what in about["noticed"]),
    ]
    return "\n".join(f"  {line}" for line in lines)


def _names_of_files() -> dict[str, str]:
    """D4RL's file names -> the tasks they belong to."""
    return {url.rsplit("/", 1)[-1]: name for name, url in d4rl_files().items()}


def _facts(name: str) -> _Facts:
    urls, tasks = d4rl_files(), all_tasks()
    if name not in urls:
        hint = did_you_mean(name, urls)
        raise UserError(f"--task={name}: D4RL has no such task here.{hint} Known tasks: {', '.join(urls)}.")
    family = name.split("-")[0]
    if name in tasks:
        task = tasks[name]
        env_id, horizon = task.source("import").env_id, task.horizon
        references = task.ref_min_return, task.ref_max_return
    else:  # antmaze -v2: an environment of ours for each, horizons and references as those of -v0
        env_id, horizon = f"rvdt/{name}", 700 if "-umaze" in name else 1000
        references = 0.0, 1.0
    rewards = {"kitchen": "counts", "antmaze": "sparse", "maze2d": "dense" if "-dense" in name else "sparse"}
    return _Facts(
        name,
        urls[name],
        # Gymnasium knows our own environments once the package that registers them is imported.
        f"rvdt_jax.envs:{env_id}" if env_id.startswith("rvdt/") else env_id,
        *references,
        *_SIZES[family],
        Expected(horizon, rewards.get(family, "any"), is_ant=family == "antmaze"),
    )


def _check_sizes(file: D4rlFile, facts: _Facts) -> None:
    found, expected = (file.observation_size, file.action_size), (facts.observation_size, facts.action_size)
    fitting = [name for name in d4rl_files() if _SIZES[name.split("-")[0]] == found]
    for key, size, right in zip(("observations", "actions"), found, expected, strict=True):
        if size != right:
            what = f"it would fit {', '.join(fitting)}" if fitting else "it fits no task that is known here"
            wrong = f"its rows have {size} numbers, those of {facts.name} {right}"
            raise file.error(key, wrong, f"{what}: check --task and --file")


def _about(facts: _Facts, file: D4rlFile, recording: Recording) -> About:
    returns, terminated = recording.returns, recording.terminations[recording.ends]
    noticed = _noticed(facts, file, recording)
    notes = [_DESCRIPTION.format(name=facts.name, file=file.path.name, url=facts.url)]
    notes += [_FAMILY_NOTES[family] for family in _FAMILY_NOTES if facts.name.startswith(family)]
    notes += [_ANTMAZE_V0_NOTE] if facts.name.startswith("antmaze") and facts.name.endswith("-v0") else []
    with file.path.open("rb") as raw:
        digest = hashlib.file_digest(raw, "sha256").hexdigest()
    return About(
        env_id=facts.env_id,
        observation_size=facts.observation_size,
        action_size=facts.action_size,
        algorithm="see D4RL",
        description=" ".join([*notes, *(f"Noticed on import: {what}." for what in noticed)]),
        ref_min_return=facts.ref_min_return,
        ref_max_return=facts.ref_max_return,
        facts={
            "d4rl_task": facts.name,
            "original_file": {"name": file.path.name, "bytes": file.path.stat().st_size, "sha256": digest},
            "counts": {
                "episodes": int(recording.ends.size),
                "steps": file.steps,
                "terminated": int(terminated.sum()),
                "truncated": int((~terminated).sum()),
                "clipped_steps": recording.clipped_steps,
                "trailing_steps": recording.trailing_steps,
            },
            "return_range": [float(returns.min()), float(returns.max())],
            "noticed": noticed,
            "final_observation": "repeated" if recording.last_observations is None else "next_observations",
            "versions": {name: metadata.version(name) for name in ("h5py", "gymnasium", "minari", "numpy")},
        },
    )


def _noticed(facts: _Facts, file: D4rlFile, recording: Recording) -> list[str]:
    """What a user should know of this file, one sentence each."""
    episodes, single = recording.ends.size, int((recording.lengths == 1).sum())
    both = int((recording.terminations & recording.truncations).sum())
    trailing = recording.trailing_steps
    cut = int(recording.truncations.sum()) - (trailing > 0)
    clipped, largest = recording.clipped_steps, recording.largest_action
    terminals_in_maze2d = facts.name.startswith("maze2d") and bool(recording.terminations.any())
    said = (
        (
            not recording.has_timeouts,
            f"no time-outs in the file: episodes are cut after {facts.expected.horizon} steps, as in D4RL's "
            f"environment: {cut} cut",
        ),
        (trailing, f"steps behind the last flag, kept as a truncated episode: {trailing}"),
        (both, f"steps both terminal and time-out, counted as terminated: {both}"),
        (single, f"episodes of one step: {single} of {episodes}"),
        (clipped, f"steps with actions beyond +-1, clipped: {clipped} of {file.steps}, up to {largest:.8g}"),
        (recording.jumps, f"jumps of the ant inside an episode, resets without a flag: {recording.jumps}"),
        (terminals_in_maze2d, "D4RL's maze2d files have no terminals, this one has: they are taken for terminations"),
        (np.ptp(recording.rewards) == 0, f"every reward is {recording.rewards[0]:g}"),
    )
    return [sentence for holds, sentence in said if holds]


def _state(path: pathlib.Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_size, status.st_mtime_ns
