"""Data sets collected anew by their published recipes. They say so of themselves: recreated data is not D4RL's data."""

from __future__ import annotations


def recreate(
    task_name: str, *, steps: int | None = None, seed: int = 0, overwrite: bool = False, progress: bool = True
) -> str:
    """Collects a task's data set into the local Minari root, whole or not at all.

    Args:
        task_name: e.g. ``maze2d-umaze-v1``.
        steps: how many; None takes the recipe's own number.
        seed: fixes the collection.
        overwrite: replace a data set of the same id, once the new one is complete.
        progress: show a progress bar.

    Returns:
        The Minari id: the task's own for the recipe's length and seed 0, else one that names both.

    Raises:
        ValueError: unknown task, no recipe for it, ``steps`` or ``seed`` out of range.
        DatasetExists: it does (a ValueError too).
    """
    from rvdt_jax.recreate.maze2d import recreate_maze2d
    from rvdt_jax.tasks import all_tasks, get_task

    task = get_task(task_name)
    if task.source("recipe") is None:
        known = ", ".join(name for name, other in all_tasks().items() if other.source("recipe"))
        raise ValueError(f"--task={task_name}: there is no recipe for it. Tasks that can be recreated: {known}.")
    steps = task.recipe_steps if steps is None else steps
    if steps < 1:
        raise ValueError(f"--steps={steps}: collect at least one step.")
    if seed < 0:
        raise ValueError(f"--seed={seed}: a seed is not negative.")
    return recreate_maze2d(task, steps=steps, seed=seed, overwrite=overwrite, progress=progress)
