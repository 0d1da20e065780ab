"""Small local Minari data sets for tests."""

from __future__ import annotations

import json
import pathlib
import warnings

import minari
import numpy as np
from gymnasium.spaces import Box
from minari.data_collector import EpisodeBuffer

from rvdt_jax.data.minari import find_local


def write_minari(dataset_id, episodes, observation_space=None, action_space=None, **metadata) -> pathlib.Path:
    """Writes a local Minari data set; returns the folder of its files.

    ``episodes`` hold the fields of each, of which ``rewards`` (T,) must be there. By default observations (T + 1, 3)
    without bounds and actions (T, 2) from -1 to 1 are random, and the last step is truncated. ``metadata`` are further
    entries of ``metadata.json``.
    """
    rng, buffers = np.random.default_rng(0), []
    for fields in episodes:
        length = len(fields["rewards"])
        defaults = {
            "observations": rng.normal(size=(length + 1, 3)).astype(np.float32),
            "actions": rng.uniform(-1, 1, (length, 2)).astype(np.float32),
            "terminations": np.zeros(length, bool),
            "truncations": np.arange(length) == length - 1,
        }
        buffers.append(EpisodeBuffer(**defaults | fields, infos={}))
    spaces = {"observation_space": observation_space or Box(-np.inf, np.inf, (3,))}
    spaces |= {"action_space": action_space or Box(-1.0, 1.0, (2,))}
    with warnings.catch_warnings(action="ignore"):  # Minari asks for an author, an address and a link to the code
        minari.create_dataset_from_buffers(dataset_id, buffers, **spaces, data_format="hdf5")
    folder = find_local(dataset_id)
    set_metadata(folder, **metadata)
    return folder


def set_metadata(folder: pathlib.Path, **changes) -> None:
    """Changes entries of ``metadata.json``, also those that Minari does not let be changed."""
    path = folder / "metadata.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
