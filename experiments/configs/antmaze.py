"""D4RL's antmaze tasks. QT's settings of the task fill what is unset; ``antmaze.py:small`` is a size for a CPU."""

from ml_collections import ConfigDict

from rvdt_jax.config.defaults import default_config


def get_config(size: str = "reference") -> ConfigDict:
    """The defaults on antmaze-umaze-v0."""
    config = default_config()
    config.size, config.task = size, "antmaze-umaze-v0"
    return config
