"""D4RL's maze2d tasks. QT's settings of the task fill what is unset; ``maze2d.py:small`` is a size for a CPU."""

from ml_collections import ConfigDict

from rvdt_jax.config.defaults import default_config


def get_config(size: str = "reference") -> ConfigDict:
    """The defaults on maze2d-umaze-v1."""
    config = default_config()
    config.size, config.task = size, "maze2d-umaze-v1"
    return config
