"""Recreates data sets by their published recipes. Their metadata say so: recreated data is never called D4RL's data."""

from __future__ import annotations

from importlib import metadata, util
from typing import TYPE_CHECKING

from rvdt_jax.errors import UserError

if TYPE_CHECKING:
    from rvdt_jax.recreate.rollouts import Recipe
    from rvdt_jax.tasks import Task

_PACKAGES = ("mujoco", "gymnasium", "gymnasium-robotics", "minari", "numpy")
_DESCRIPTION = (
    "Recreated data: collected anew by D4RL's published recipe for {name} ({how}). It is not one of D4RL's files, and "
    "scores from it are scores on recreated data."
)


def recreate(
    task_name: str,
    *,
    steps: int | None = None,
    seed: int = 0,
    overwrite: bool = False,
    progress: bool = True,
    replay: str | None = None,
) -> str:
    """Collects a task's data set into the local Minari root, whole or not at all.

    Args:
        task_name: e.g. ``maze2d-umaze-v1``.
        steps, seed: how many, None for the recipe's own number; and what fixes them.
        overwrite: replace a data set of the same id, once the new one is complete.
        progress: show progress bars.
        replay: for ``*-medium-replay``, the buffer of ``experiments/train_collectors.py``; None takes its default path.

    Returns:
        The Minari id; see ``recreated_id``.

    Raises:
        UserError: unknown task, no recipe for it, ``steps`` or ``seed`` out of range, no buffer, or an environment
            failed.
        DatasetExists: the data set exists (a UserError too).
    """
    from rvdt_jax.data.minari.writer import About, write_dataset
    from rvdt_jax.tasks import all_tasks, get_task

    task = get_task(task_name)
    source = task.source("recipe")
    if source is None:
        known = ", ".join(name for name, other in all_tasks().items() if other.source("recipe"))
        raise UserError(f"--task={task_name}: there is no recipe for it. Tasks that can be recreated: {known}.")
    recipe = _recipe(task, steps, seed, replay)
    # No task needs all of them.
    installed = [name for name in _PACKAGES if util.find_spec(name.replace("-", "_"))]
    versions = {name: metadata.version(name) for name in installed}
    dataset_id = recreated_id(task, recipe.steps if recipe.seed else steps, recipe.seed)
    references = {"ref_min_score": task.ref_min_return, "ref_max_score": task.ref_max_return}
    about = About(
        env_id=source.env_id,
        observation_size=recipe.observation_size,
        action_size=recipe.action_size,
        algorithm=recipe.algorithm,
        description=_DESCRIPTION.format(name=task.name, how=recipe.description),
        facts={"recreated": True, "seed": recipe.seed, "versions": versions} | recipe.facts | references,
    )
    return write_dataset(dataset_id, about, lambda: _watch(task, recipe, progress), overwrite=overwrite)


def recreated_id(task: Task, steps: int | None = None, seed: int = 0) -> str:
    """The Minari id of a recreated data set: the task's own for the recipe's length and seed 0, else one with both."""
    dataset_id = task.source("recipe").dataset_id
    if seed == 0 and steps in (None, task.recipe_steps):
        return dataset_id
    stem, version = dataset_id.rsplit("-", 1)
    return f"{stem}-{steps}-steps-seed-{seed}-{version}"


def _recipe(task: Task, steps: int | None, seed: int, replay: str | None) -> Recipe:
    if steps is not None and steps < 1:
        raise UserError(f"--steps={steps}: collect at least one step.")
    if seed < 0:
        raise UserError(f"--seed={seed}: a seed is not negative.")
    if task.name.endswith("-medium-replay-v2"):
        from rvdt_jax.recreate.locomotion import replay_recipe

        return replay_recipe(task, steps, seed, replay)
    if replay is not None:
        raise UserError(f"--replay={replay}: {task.name} is collected; only medium-replay is made of a buffer.")
    steps = task.recipe_steps if steps is None else steps
    if task.family == "maze2d":
        from rvdt_jax.recreate.maze2d import maze2d_recipe as make
    elif task.family == "antmaze":
        from rvdt_jax.recreate.antmaze import antmaze_recipe as make
    else:
        from rvdt_jax.recreate.locomotion import locomotion_recipe as make
    return make(task, steps, seed)


def _watch(task: Task, recipe: Recipe, progress: bool):
    """The episodes, with two progress bars: steps that are collected, and episodes that are written."""
    from tqdm import tqdm

    options = {"disable": not progress}
    with tqdm(total=recipe.steps, unit="step", unit_scale=True, desc=f"collecting {task.name}", **options) as bar:
        yield from tqdm(recipe.collect(bar.update), desc="writing", unit="episode", **options)
