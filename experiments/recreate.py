"""Collects a task's data set by its published recipe into a local Minari data set.

    python experiments/recreate.py --task=maze2d-umaze-v1 [--steps=1000000] [--seed=0] [--overwrite]

The locomotion tasks' *-medium-replay are made from the replay buffer of a training run:

    python experiments/train_collectors.py --robot=hopper --goal=medium
    python experiments/recreate.py --task=hopper-medium-replay-v2
"""

from absl import app, flags

from launcher import parse_flags, report_errors

_TASK = flags.DEFINE_string("task", None, "Name of the task, e.g. maze2d-umaze-v1.", required=True)
_STEPS = flags.DEFINE_integer("steps", None, "How many steps; unset: the recipe's number.")
_SEED = flags.DEFINE_integer("seed", 0, "Fixes the whole collection.")
_REPLAY = flags.DEFINE_string(
    "replay", None, "Buffer for *-medium-replay; unset: the path that train_collectors.py writes."
)
_OVERWRITE = flags.DEFINE_bool("overwrite", False, "Replace an existing data set once the new one is complete.")


def main(argv: list[str]) -> int:
    """Collects the data, and prints the id of the new data set."""
    from rvdt_jax.recreate import recreate

    dataset_id = recreate(
        _TASK.value, steps=_STEPS.value, seed=_SEED.value, overwrite=_OVERWRITE.value, replay=_REPLAY.value
    )
    print(f"{dataset_id}: collected. It is recreated data, not one of D4RL's files.")
    return 0


if __name__ == "__main__":
    app.run(report_errors(main), flags_parser=parse_flags)
