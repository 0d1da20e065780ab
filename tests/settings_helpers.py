"""Settings as a user writes them, for the tests of this folder."""

import json
import operator

from rvdt_jax.config.declaration import flat
from rvdt_jax.config.defaults import default_config
from rvdt_jax.config.serialization import to_json
from rvdt_jax.config.settings import resolve


def resolved(overrides=None, **more):
    """The configuration with ``overrides`` by dotted name, as on the command line."""
    settings = default_config()
    settings.update_from_flattened_dict({"task": "maze2d-umaze-v1"} | (overrides or {}) | more)
    return resolve(settings)


def of_own_data(overrides=None, **more):
    """The same for a Minari data set that belongs to no task."""
    return resolved({"data.minari_id": "toy/walk-v1"} | (overrides or {}), **{"task": None} | more)


def get(config, dotted):
    return operator.attrgetter(dotted)(config)


def leaves(config) -> dict:
    """The fields of a resolved configuration by dotted name."""
    return flat(to_json(config))


def from_file(config) -> dict:
    """What ``config.json`` holds of it."""
    return json.loads(json.dumps(to_json(config)))
