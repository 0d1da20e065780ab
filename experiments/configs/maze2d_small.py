"""D4RL's maze2d tasks with a model small enough for two CPU cores: one setting for all of them."""

from ml_collections import ConfigDict

from rvdt_jax.defaults import default_config


def get_config() -> ConfigDict:
    """One setting for all tasks and variants; each variant takes from it what concerns it."""
    config = default_config()
    config.task = "maze2d-umaze-v1"
    config.seeds = (0, 1, 2)
    config.train.steps = 10_000
    config.train.log_every = 100
    config.train.lr_decay_steps = 10_000  # to the end of training
    config.train.learning_rate = 1e-3  # a small model bears more than QT's 3e-4
    config.train.grad_clip_norm = 9.0
    config.model.width = 32
    config.model.layers = 1
    config.model.heads = 2
    config.model.context_length = 5
    config.model.dropout = 0.0  # a few passes over the data do not overfit
    config.model.critic_width = 128
    config.loss.gamma = 0.98
    config.loss.target_rate = 0.02  # ripe in 10,000 updates, where QT has 50,000
    config.ema.every = 1
    config.eval.every = 2000
    return config


def overrides(task: str, variant: str) -> dict[str, object]:
    """What a sweep sets besides."""
    from rvdt_jax.tasks import get_task
    from rvdt_jax.variants import get_variant

    # The return that scores 100: the same rule for every task, and known before any run.
    fields: dict[str, object] = {"eval.targets": f"{get_task(task).ref_max_return:g},"}
    if get_variant(variant).q_guidance:
        fields["loss.eta"] = 3.0
    return fields
