"""D4RL's kitchen tasks; QT's settings per task are filled in where a field is left unset."""

from ml_collections import ConfigDict

from rvdt_jax.config.defaults import default_config


def get_config() -> ConfigDict:
    """The defaults, on kitchen-complete-v0."""
    config = default_config()
    config.task = "kitchen-complete-v0"
    return config
