"""Data of your own, named with --config.data.minari_id: no task, so targets and scales come from the data."""

from ml_collections import ConfigDict

from rvdt_jax.config.defaults import default_config


def get_config(size: str = "reference") -> ConfigDict:
    """The defaults; ``own.py:small`` is a size for a CPU."""
    config = default_config()
    config.size = size
    return config
