"""Data of your own: no task, so targets and scales come from the data. Name it with --config.data.minari_id."""

from ml_collections import ConfigDict

from rvdt_jax.config.defaults import default_config


def get_config() -> ConfigDict:
    """The defaults."""
    return default_config()
