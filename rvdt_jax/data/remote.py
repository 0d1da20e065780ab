"""Downloading from Minari's servers, through Minari, whole or not at all."""

from __future__ import annotations

import logging
import os
import re

from rvdt_jax.data.minari.writer import DatasetExists, staging
from rvdt_jax.errors import UserError, one_line

log = logging.getLogger(__name__)

_TIMEOUT = 3.0  # seconds that the server gets to answer the first request


class Unreachable(UserError):
    """The servers cannot be reached, do not carry the data set, or broke off."""


def download(dataset_id: str) -> None:
    """Downloads a data set into the local Minari root, whole or not at all; Minari shows the progress.

    ``$MINARI_REMOTE`` names other servers, as for Minari itself.

    Raises:
        Unreachable: with the reason. Without a network it comes within seconds.
    """
    import minari

    if not re.fullmatch(r".*-v\d+", dataset_id):
        raise Unreachable(f"Minari's servers did not give {dataset_id}: an id ends in its version, such as -v0")
    log.info("%s is not on this machine: asking Minari's servers", dataset_id)
    try:
        _ask_hugging_face(dataset_id)
        with staging(dataset_id):
            minari.download_dataset(dataset_id)
    except DatasetExists:
        return  # another process was faster
    except Exception as error:  # whatever the client library raises for a lost connection or an unknown id
        raise Unreachable(
            f"Minari's servers did not give {dataset_id} ({type(error).__name__}: {one_line(error)})"
        ) from error


def _ask_hugging_face(dataset_id: str) -> None:
    """Raises if Hugging Face does not answer, or has no such group of data sets.

    One request with the client's own time-out: those of ``minari.download_dataset`` are repeated for half a minute.
    """
    kind, _, name = os.environ.get("MINARI_REMOTE", "hf://farama-minari").partition("://")
    if kind != "hf":
        return
    from huggingface_hub import HfApi

    HfApi().dataset_info(f"{name}/{dataset_id.split('/')[0]}", timeout=_TIMEOUT)
