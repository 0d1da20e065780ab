"""D4RL's locomotion tasks. QT's settings of the task fill what is unset; ``gym.py:small`` is a size for a CPU."""

from ml_collections import ConfigDict

from rvdt_jax.config.defaults import default_config


def get_config(size: str = "reference") -> ConfigDict:
    """The defaults on hopper-medium-v2."""
    config = default_config()
    config.size, config.task = size, "hopper-medium-v2"
    return config
