"""Downloading from Minari's servers, through Minari; a machine without a network is told so within seconds."""

from __future__ import annotations

import logging
import os
import re
import socket
import threading
import urllib.parse
import urllib.request

from rvdt_jax.data.minari.writer import DatasetExists, staging
from rvdt_jax.errors import UserError

log = logging.getLogger(__name__)

_PATIENCE = 3.0  # seconds for a first connection
_HOSTS = {"hf": ("HF_ENDPOINT", "https://huggingface.co"), "gcp": (None, "https://storage.googleapis.com")}


class Unreachable(UserError):
    """The servers cannot be reached, do not carry the data set, or broke off."""


def download(dataset_id: str) -> None:
    """Downloads a data set into the local Minari root, whole or not at all; Minari shows the progress.

    ``$MINARI_REMOTE`` names other servers, as for Minari itself.

    Raises:
        Unreachable: with the reason.
    """
    import minari

    if not re.fullmatch(r".*-v\d+", dataset_id):
        raise Unreachable(f"Minari's servers did not give {dataset_id}: an id ends in its version, such as -v0")
    check_network()
    log.info("%s is not on this machine: asking Minari's servers", dataset_id)
    try:
        with staging(dataset_id):
            minari.download_dataset(dataset_id)
    except DatasetExists:
        return  # another process was faster
    except Exception as error:  # whatever the client library raises for a lost connection or an unknown id
        raise Unreachable(f"Minari's servers did not give {dataset_id} ({type(error).__name__}: {error})") from error


def check_network() -> None:
    """Tries one connection to the server, or to the proxy on the way to it.

    Raises:
        Unreachable: there is none.
    """
    remote = os.environ.get("MINARI_REMOTE", "hf://farama-minari")
    variable, default = _HOSTS.get(remote.partition("://")[0], (None, None))
    if default is None:
        return  # servers that we do not know: Minari will tell
    address = (variable and os.environ.get(variable)) or default
    host, port, scheme = _parse(variable, address)
    proxies = urllib.request.getproxies()
    proxy = proxies.get(scheme) or proxies.get("all")
    if proxy and not urllib.request.proxy_bypass(host):
        host, port, _ = _parse(f"{scheme}_proxy".upper(), proxy if "://" in proxy else f"http://{proxy}")
    problem = _try_connection(host, port)
    if problem:
        raise Unreachable(f"Minari's servers cannot be reached: {host}: {problem}")


def _parse(variable: str | None, address: str) -> tuple[str, int, str]:
    """Host, port and scheme of an address out of the environment."""
    try:
        url = urllib.parse.urlsplit(address)
        host, port = url.hostname, url.port or (443 if url.scheme == "https" else 80)
    except ValueError as error:
        raise Unreachable(f"${variable}={address} is no address ({error})") from error
    if not host or not url.scheme:
        raise Unreachable(f"${variable}={address} is no address; write it as https://HOST")
    return host, port, url.scheme


def _try_connection(host: str, port: int) -> str | None:
    """What is wrong with a connection to a server, if anything.

    In a thread: looking up a name has no time-out of its own.
    """
    outcome = ["no answer"]

    def connect() -> None:
        try:
            socket.create_connection((host, port), timeout=_PATIENCE).close()
            outcome[0] = None
        except OSError as error:
            outcome[0] = str(error)

    thread = threading.Thread(target=connect, daemon=True)
    thread.start()
    thread.join(2 * _PATIENCE)
    return outcome[0]
