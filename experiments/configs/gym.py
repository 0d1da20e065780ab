"""D4RL's locomotion tasks (halfcheetah, hopper, walker2d); QT's settings per task fill what is left unset."""

from ml_collections import ConfigDict

from rvdt_jax.config.defaults import default_config


def get_config() -> ConfigDict:
    """The defaults, on hopper-medium-v2."""
    config = default_config()
    config.task = "hopper-medium-v2"
    return config
