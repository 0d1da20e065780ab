"""D4RL's kitchen tasks. QT's settings of the task fill what is unset; ``kitchen.py:small`` is a size for a CPU."""

from ml_collections import ConfigDict

from rvdt_jax.config.defaults import default_config


def get_config(size: str = "reference") -> ConfigDict:
    """The defaults on kitchen-complete-v0."""
    config = default_config()
    config.size, config.task = size, "kitchen-complete-v0"
    return config
