"""D4RL's Adroit tasks. QT's settings of the task fill what is unset; ``adroit.py:small`` is a size for a CPU."""

from ml_collections import ConfigDict

from rvdt_jax.config.defaults import default_config


def get_config(size: str = "reference") -> ConfigDict:
    """The defaults on pen-human-v1."""
    config = default_config()
    config.size, config.task = size, "pen-human-v1"
    return config
