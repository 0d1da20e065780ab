"""A small model on maze2d-umaze, for two CPU cores: the size ``demo`` of the benchmark.

It was the demonstration's until that came to use ``maze2d.py:small``; it stays as it was, so that speeds compare.
"""

from ml_collections import ConfigDict

from rvdt_jax.config.defaults import default_config


def get_config() -> ConfigDict:
    """One setting for all variants; each takes from it what concerns it."""
    config = default_config()
    config.task = "maze2d-umaze-v1"
    config.seeds = (0, 1, 2)
    config.train.steps = 6000  # about 13 ms each for RVDT on 2 cores: eight minutes in all, with BC and DT
    config.train.log_every = 100  # four seconds with three seeds
    config.train.lr_decay_steps = 6000  # to the end of training
    config.train.learning_rate = 1e-3  # a small model bears more than QT's 3e-4
    config.model.width = 32
    config.model.layers = 1
    config.model.heads = 2
    config.model.context_length = 5
    config.model.dropout = 0.0  # two passes over the data do not overfit
    config.model.critic_width = 128
    config.loss.gamma = 0.97  # the goal is some 70 steps away; a shorter horizon makes the critic ripe in time
    config.loss.target_rate = 0.02  # ripe in 6000 updates, where QT has 50,000
    config.ema.every = 1
    config.eval.targets = (150.0,)  # about what a score of 90 returns
    return config
