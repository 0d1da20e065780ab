"""Downloading through Minari: whole or not at all, and without a network an error instead of long retries."""

import json
import pathlib
import shutil
import socket

import huggingface_hub
import minari
import minari.storage.remotes
import numpy as np
import pytest
from conftest import halve
from minari.storage.remotes.cloud_storage import CloudStorage
from minari_sets import write_minari

from rvdt_jax.data import remote
from rvdt_jax.data.minari import content_digest, find_local, list_local, minari_root
from rvdt_jax.data.minari.reader import read_minari
from rvdt_jax.data.remote import Unreachable, download

DATASET = "toy/walk-v1"


class Folder(CloudStorage):
    """A server whose data sets lie in a folder of this machine; ``meanwhile`` happens when one has come down."""

    def __init__(self, name, token=None):
        self.root = pathlib.Path(name)

    def list_datasets(self, prefix=None):
        for path in sorted(self.root.rglob("data/metadata.json")):
            dataset_id = path.parent.parent.relative_to(self.root).as_posix()
            if dataset_id.startswith(prefix or ""):
                yield dataset_id

    def get_dataset_metadata(self, dataset_id):
        return json.loads((self.root / dataset_id / "data" / "metadata.json").read_text())

    def download_dataset(self, dataset_id, path):
        shutil.copytree(self.root / dataset_id, path / dataset_id)
        self.meanwhile(path / dataset_id / "data")

    def meanwhile(self, data):
        pass

    def list_namespaces(self):
        return [path.parent.relative_to(self.root).as_posix() for path in self.root.rglob("namespace_metadata.json")]

    def download_namespace_metadata(self, namespace, path):
        shutil.copy(self.root / namespace / "namespace_metadata.json", path / namespace)

    upload_dataset = upload_namespace = None


@pytest.fixture
def server(tmp_path, monkeypatch):
    """Minari's server, which carries ``toy/walk-v1``; the folder of its data sets."""
    publish(tmp_path / "server", monkeypatch, DATASET)
    monkeypatch.setitem(minari.storage.remotes._registry, "folder", lambda: Folder)
    monkeypatch.setenv("MINARI_REMOTE", f"folder://{tmp_path / 'server'}")
    return tmp_path / "server"


def publish(folder, monkeypatch, dataset_id, **metadata):
    """Puts a data set of one episode on the server."""
    folder.joinpath(dataset_id).parent.mkdir(parents=True, exist_ok=True)
    with monkeypatch.context() as patch:
        patch.setenv("MINARI_DATASETS_PATH", str(folder))
        write_minari(dataset_id, [{"rewards": np.zeros(3)}], **metadata)


def everything() -> set[str]:
    """Every file and folder of the Minari root."""
    return {path.relative_to(minari_root()).as_posix() for path in minari_root().rglob("*")}


def test_what_is_downloaded_is_what_the_server_has(server, caplog, monkeypatch):
    monkeypatch.setattr(huggingface_hub.HfApi, "dataset_info", lambda *_, **__: pytest.fail("Hugging Face was asked"))
    with caplog.at_level("INFO", logger="rvdt_jax"):
        download(DATASET)
    assert f"{DATASET} is not on this machine: asking Minari's servers" in caplog.text
    folder = find_local(DATASET)
    assert content_digest(folder) == content_digest(server / DATASET / "data")
    assert read_minari(DATASET, folder).lengths.tolist() == [3]
    assert list_local() == list(minari.list_local_datasets()) == [DATASET]
    assert not [name for name in everything() if name.startswith(".")]


def test_nothing_is_seen_before_it_is_whole(server, monkeypatch):
    seen, root = [], minari_root()

    def look(self, data):
        seen.append((data.is_dir(), any(not entry.name.startswith(".") for entry in root.iterdir())))

    monkeypatch.setattr(Folder, "meanwhile", look)
    download(DATASET)
    assert seen == [(True, False)]
    assert find_local(DATASET)


@pytest.mark.parametrize("error", [OSError("connection lost"), EOFError(), KeyboardInterrupt(), SystemExit()])
def test_a_download_that_breaks_off_leaves_nothing_behind_and_can_be_repeated(server, monkeypatch, error):
    def break_off(self, data):
        halve(data / "main_data.hdf5")
        raise error

    kind = Unreachable if isinstance(error, Exception) else type(error)
    with monkeypatch.context() as patch:
        patch.setattr(Folder, "meanwhile", break_off)
        with pytest.raises(kind) as refused:
            download(DATASET)
    if kind is Unreachable:
        assert f"did not give {DATASET} ({type(error).__name__}: {error})" in str(refused.value)
    assert everything() == set()
    download(DATASET)
    assert content_digest(find_local(DATASET)) == content_digest(server / DATASET / "data")


def test_another_process_may_be_faster(server, monkeypatch):
    other = minari_root() / DATASET / "data"

    def write_first(self, data):
        other.mkdir(parents=True)
        (other / "metadata.json").write_text("the other's")

    monkeypatch.setattr(Folder, "meanwhile", write_first)
    download(DATASET)
    assert (other / "metadata.json").read_text() == "the other's"
    assert not [name for name in everything() if name.startswith(".")]


def test_a_combined_data_set_brings_its_parts(server, monkeypatch):
    publish(server, monkeypatch, "toy/part-v0")
    publish(server, monkeypatch, "toy/whole-v0", combined_datasets=["toy/part-v0"])
    download("toy/whole-v0")
    assert list_local() == ["toy/part-v0", "toy/whole-v0"]


def test_minaris_word_on_a_namespace_comes_along(server):
    (server / "toy" / "namespace_metadata.json").write_text('{"description": "walks"}')
    download(DATASET)
    assert json.loads((minari_root() / "toy" / "namespace_metadata.json").read_text()) == {"description": "walks"}


@pytest.mark.parametrize(
    ("dataset_id", "words"),
    [
        ("mujoco/hopper/medium-v0", r".*find any version"),
        ("walk-v1", r".*find any version"),
        ("toy/walk-v7", r".*toy/walk-v1"),  # the one that they have
        ("toy/walk", ": .*version"),
        ("toy/future-v1", r" .*compatible"),  # of a Minari that does not exist yet
    ],
)
def test_an_id_that_the_servers_do_not_have_is_named(server, monkeypatch, dataset_id, words):
    publish(server, monkeypatch, "toy/future-v1", minari_version="99.0.0")
    with pytest.raises(Unreachable, match=f"did not give {dataset_id}{words}"):
        download(dataset_id)
    assert everything() == set()


@pytest.fixture
def hugging_face(monkeypatch):
    """A function that makes an address the server, with no proxy between; Minari, which would try again, fails."""
    for name in ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    monkeypatch.delenv("MINARI_REMOTE", raising=False)
    monkeypatch.setattr(minari, "download_dataset", lambda dataset_id: pytest.fail("it went on"))
    original = huggingface_hub.HfApi.__init__

    def choose(address):
        monkeypatch.setattr(huggingface_hub.HfApi, "__init__", lambda self: original(self, endpoint=address))

    return choose


def test_a_server_that_never_answers_is_given_up(hugging_face, monkeypatch):
    monkeypatch.setattr(remote, "_TIMEOUT", 0.05)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        hugging_face(f"http://127.0.0.1:{silent.getsockname()[1]}")
        with pytest.raises(Unreachable, match=r"Timeout"):
            download(DATASET)


@pytest.mark.parametrize("address", ["https://minari.invalid", "mirror.example"])  # no such name (RFC 2606), no scheme
def test_an_address_that_leads_nowhere_is_an_error(hugging_face, address):
    hugging_face(address)
    with pytest.raises(Unreachable, match=f"did not give {DATASET} "):
        download(DATASET)
    assert not minari_root().exists()
