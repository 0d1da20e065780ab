"""D4RL's Adroit tasks (pen, hammer); QT's settings per task are filled in where a field is left unset."""

from ml_collections import ConfigDict

from rvdt_jax.config.defaults import default_config


def get_config() -> ConfigDict:
    """The defaults, on pen-human-v1."""
    config = default_config()
    config.task = "pen-human-v1"
    return config
