"""Settings: every field with its default, and the way from a file of settings to the frozen ``Config`` of a run."""

from rvdt_jax.config.defaults import default_config
from rvdt_jax.config.settings import Config, complete_config, resolve

__all__ = ["Config", "complete_config", "default_config", "resolve"]
