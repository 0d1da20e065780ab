"""D4RL's maze2d tasks; QT's settings per task are filled in where a field is left unset."""

from ml_collections import ConfigDict

from rvdt_jax.config.defaults import default_config


def get_config() -> ConfigDict:
    """The defaults, on maze2d-umaze."""
    config = default_config()
    config.task = "maze2d-umaze-v1"
    return config
