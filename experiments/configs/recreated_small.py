"""Locomotion and antmaze with a model small enough for two CPU cores, for first scores on recreated data.

Sizes and rates are those of configs/maze2d_small.py; nothing here was tuned. gamma is QT's .99 again
(what counts is hundreds of steps away), eta each task's own of QT's, and the target is the return that scores 100.
"""

from ml_collections import ConfigDict

from rvdt_jax.config.defaults import default_config


def get_config() -> ConfigDict:
    """One setting for all tasks and variants; each variant takes from it what concerns it."""
    config = default_config()
    config.task = "hopper-medium-replay-v2"
    config.seeds = (0, 1, 2)
    config.train.steps = 8000
    config.train.log_every = 100
    config.train.lr_decay_steps = 8000  # to the end of training
    config.train.learning_rate = 1e-3
    config.model.width = 32
    config.model.layers = 1
    config.model.heads = 2
    config.model.context_length = 5
    config.model.positions = "window"  # evaluation lasts longer than most of the data's episodes
    config.model.dropout = 0.0
    config.model.critic_width = 128
    config.loss.target_rate = 0.02
    config.ema.every = 1
    config.eval.every = 4000
    return config


def overrides(task: str, variant: str) -> dict[str, object]:
    """What a sweep sets besides: the return that scores 100 as the target."""
    from rvdt_jax.tasks import get_task

    return {"eval.targets": f"{get_task(task).ref_max_return:g},"}
