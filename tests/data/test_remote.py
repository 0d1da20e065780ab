"""Downloading through Minari: whole or not at all, and a machine without a network is told so within seconds."""

import json
import pathlib
import shutil
import socket
import threading
import time
import warnings

import gymnasium
import minari
import minari.storage.remotes
import numpy as np
import pytest
from minari.data_collector import EpisodeBuffer
from minari.storage.remotes.cloud_storage import CloudStorage

from rvdt_jax.data import remote
from rvdt_jax.data.minari import content_digest, find_local, list_local, minari_root
from rvdt_jax.data.minari.reader import read_minari
from rvdt_jax.data.remote import Unreachable, check_network, download

DATASET = "toy/walk-v1"


class Folder(CloudStorage):
    """A server whose data sets lie in a folder of this machine."""

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

    def list_namespaces(self):
        return [path.parent.relative_to(self.root).as_posix() for path in self.root.rglob("namespace_metadata.json")]

    def download_namespace_metadata(self, namespace, path):
        shutil.copy(self.root / namespace / "namespace_metadata.json", path / namespace)

    def upload_dataset(self, dataset_id):
        raise NotImplementedError

    def upload_namespace(self, namespace):
        raise NotImplementedError


def breaking_off_with(error):
    """A server that gives the metadata and half of the data."""

    class Broken(Folder):
        def download_dataset(self, dataset_id, path):
            super().download_dataset(dataset_id, path)
            data = path / dataset_id / "data" / "main_data.hdf5"
            data.write_bytes(data.read_bytes()[: data.stat().st_size // 2])
            raise error

    return Broken


@pytest.fixture
def serve(tmp_path, monkeypatch):
    """A function: ``serve(kind)`` makes the folder below tmp_path Minari's server, of that kind."""

    def choose(kind=Folder):
        monkeypatch.setitem(minari.storage.remotes._registry, "folder", lambda: kind)
        monkeypatch.setenv("MINARI_REMOTE", f"folder://{tmp_path / 'server'}")

    return choose


@pytest.fixture
def server(tmp_path, monkeypatch, serve):
    """A server that carries ``toy/walk-v1``; the folder of its data sets."""
    publish(tmp_path / "server", monkeypatch, DATASET)
    serve()
    return tmp_path / "server"


def publish(folder, monkeypatch, dataset_id, **metadata):
    """Puts a data set of one episode on the server; its observations are 0, 1, 2."""
    (folder / dataset_id).parent.mkdir(parents=True, exist_ok=True)
    buffer = EpisodeBuffer(
        observations=np.arange(4, dtype=np.float32)[:, None],
        actions=np.zeros((3, 1), np.float32),
        rewards=np.zeros(3),
        terminations=np.zeros(3, bool),
        truncations=np.array([False, False, True]),
        infos={},
    )
    with warnings.catch_warnings(), monkeypatch.context() as patch:
        warnings.simplefilter("ignore")  # Minari asks for an author, an e-mail address and a link to the code
        patch.setenv("MINARI_DATASETS_PATH", str(folder))
        minari.create_dataset_from_buffers(
            dataset_id,
            [buffer],
            observation_space=gymnasium.spaces.Box(-9, 9, (1,)),
            action_space=gymnasium.spaces.Box(-1, 1, (1,)),
            data_format="hdf5",
        )
    path = folder / dataset_id / "data" / "metadata.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | metadata))


def everything() -> set[str]:
    """Every file and folder of the Minari root."""
    return {path.relative_to(minari_root()).as_posix() for path in minari_root().rglob("*")}


# What is downloaded.


def test_what_is_downloaded_is_what_the_server_has(server):
    download(DATASET)
    folder = find_local(DATASET)
    assert content_digest(folder) == content_digest(server / DATASET / "data")
    np.testing.assert_array_equal(read_minari(DATASET, folder).observations[:, 0], [0, 1, 2])
    assert list_local() == [DATASET]
    assert not [name for name in everything() if name.startswith(".")]


def test_minari_itself_finds_what_was_downloaded(server):
    download(DATASET)
    assert list(minari.list_local_datasets()) == [DATASET]
    assert minari.load_dataset(DATASET).total_steps == 3


def test_a_download_says_so(server, caplog):
    with caplog.at_level("INFO", logger="rvdt_jax"):
        download(DATASET)
    assert f"{DATASET} is not on this machine: asking Minari's servers" in caplog.text


def test_nothing_is_seen_before_it_is_whole(server, serve):
    seen = []

    class Watched(Folder):
        def download_dataset(self, dataset_id, path):
            super().download_dataset(dataset_id, path)
            seen.append((path / dataset_id / "data").is_dir())
            root = server.parent / "minari"
            seen.append(any(not entry.name.startswith(".") for entry in root.iterdir()))

    serve(Watched)
    download(DATASET)
    assert seen == [True, False]
    assert find_local(DATASET)


@pytest.mark.parametrize("error", [OSError("connection lost"), RuntimeError("gateway time-out"), EOFError()])
def test_a_download_that_breaks_off_leaves_nothing_behind(server, serve, error):
    serve(breaking_off_with(error))
    with pytest.raises(Unreachable, match=f"did not give {DATASET} ") as refused:
        download(DATASET)
    assert f"{type(error).__name__}: {error}" in str(refused.value)
    assert find_local(DATASET) is None
    assert everything() == set()


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_a_download_that_is_interrupted_leaves_nothing_behind_either(server, serve, error):
    serve(breaking_off_with(error))
    with pytest.raises(error):
        download(DATASET)
    assert everything() == set()


def test_a_second_try_begins_anew(server, serve):
    serve(breaking_off_with(OSError("connection lost")))
    with pytest.raises(Unreachable):
        download(DATASET)
    serve()
    download(DATASET)
    assert content_digest(find_local(DATASET)) == content_digest(server / DATASET / "data")


def test_what_else_is_here_stays_as_it_is(server, serve, monkeypatch):
    publish(minari_root(), monkeypatch, "toy/run-v1")
    before = content_digest(find_local("toy/run-v1"))
    serve(breaking_off_with(OSError("connection lost")))
    with pytest.raises(Unreachable):
        download(DATASET)
    serve()
    download(DATASET)
    assert list_local() == ["toy/run-v1", DATASET]
    assert content_digest(find_local("toy/run-v1")) == before


def test_another_process_may_be_faster(server, serve):
    class Slow(Folder):
        def download_dataset(self, dataset_id, path):
            super().download_dataset(dataset_id, path)
            other = server.parent / "minari" / dataset_id / "data"
            other.mkdir(parents=True)
            (other / "metadata.json").write_text("the other's")

    serve(Slow)
    download(DATASET)
    assert (find_local(DATASET) / "metadata.json").read_text() == "the other's"
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


# What the servers do not have.


@pytest.mark.parametrize("dataset_id", ["toy/run-v1", "mujoco/hopper/medium-v0", "walk-v1"])
def test_an_id_that_the_servers_do_not_know_is_named(server, dataset_id):
    with pytest.raises(Unreachable, match=rf"did not give {dataset_id} \(.*find any version"):
        download(dataset_id)
    assert everything() == set()


def test_a_version_that_the_servers_do_not_have_is_named_with_the_one_that_they_have(server):
    with pytest.raises(Unreachable, match=r"did not give toy/walk-v7 .*toy/walk-v1"):
        download("toy/walk-v7")
    assert everything() == set()


def test_an_id_without_a_version_is_refused_by_what_it_lacks(server):
    with pytest.raises(Unreachable, match=r"did not give toy/walk: .*version"):
        download("toy/walk")


def test_data_that_this_minari_cannot_read_is_not_downloaded(server, monkeypatch):
    publish(server, monkeypatch, "toy/future-v1", minari_version="99.0.0")
    with pytest.raises(Unreachable, match=r"did not give toy/future-v1 .*compatible"):
        download("toy/future-v1")
    assert everything() == set()


def test_a_server_of_no_known_kind_is_named(monkeypatch):
    monkeypatch.setenv("MINARI_REMOTE", "carrier-pigeon://loft")
    with pytest.raises(Unreachable, match=rf"did not give {DATASET} .*carrier-pigeon"):
        download(DATASET)
    assert everything() == set()


# Whether there is a network at all.


@pytest.fixture
def network(monkeypatch):
    """No proxies and no other servers but those that a test names."""
    for name in ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    for name in ("HF_ENDPOINT", "MINARI_REMOTE"):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


@pytest.fixture
def listening():
    """The port of a local socket that takes connections."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.fixture
def closed():
    """A local port that refuses connections: taken, but nobody listens."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        yield holder.getsockname()[1]


@pytest.fixture
def tried(network):
    """The (host, port) of every connection that would have been tried; none succeeds."""
    found = []
    network.setattr(remote, "_try_connection", lambda host, port: found.append((host, port)) or "not in a test")
    return found


@pytest.mark.parametrize(
    ("environment", "place"),
    [
        ({}, ("huggingface.co", 443)),
        ({"MINARI_REMOTE": "hf://somebody-else"}, ("huggingface.co", 443)),
        ({"MINARI_REMOTE": "gcp://minari-datasets"}, ("storage.googleapis.com", 443)),
        ({"HF_ENDPOINT": "https://mirror.example"}, ("mirror.example", 443)),
        ({"HF_ENDPOINT": "http://mirror.example:8080/hub"}, ("mirror.example", 8080)),
        ({"HF_ENDPOINT": "http://mirror.example"}, ("mirror.example", 80)),
        ({"HF_ENDPOINT": "https://mirror.example", "MINARI_REMOTE": "gcp://x"}, ("storage.googleapis.com", 443)),
        ({"HTTPS_PROXY": "http://proxy.example:3128"}, ("proxy.example", 3128)),
        ({"https_proxy": "http://user:word@proxy.example:3128/"}, ("proxy.example", 3128)),
        ({"HTTPS_PROXY": "proxy.example:3128"}, ("proxy.example", 3128)),
        ({"HTTPS_PROXY": "https://proxy.example"}, ("proxy.example", 443)),
        ({"HTTP_PROXY": "http://proxy.example:3128"}, ("huggingface.co", 443)),  # for other addresses
        ({"ALL_PROXY": "http://proxy.example:3128"}, ("proxy.example", 3128)),
        ({"HTTPS_PROXY": "http://proxy.example:3128", "NO_PROXY": "huggingface.co"}, ("huggingface.co", 443)),
        ({"HTTPS_PROXY": "http://proxy.example:3128", "NO_PROXY": "other.example"}, ("proxy.example", 3128)),
    ],
    ids=str,
)
def test_the_first_connection_goes_where_the_download_would_go(network, tried, environment, place):
    for name, value in environment.items():
        network.setenv(name, value)
    with pytest.raises(Unreachable, match=f"cannot be reached: {place[0]}: not in a test"):
        check_network()
    assert tried == [place]


def test_servers_that_we_do_not_know_are_left_to_minari(network, tried):
    network.setenv("MINARI_REMOTE", "folder:///srv/minari")
    check_network()
    assert tried == []


def test_without_a_network_nothing_else_is_tried(tried):
    with pytest.raises(Unreachable, match="not in a test"):
        download(DATASET)
    assert not minari_root().exists()


@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "ALL_PROXY", "HF_ENDPOINT"])
def test_a_proxy_or_a_mirror_that_answers_passes(network, listening, variable):
    network.setenv(variable, f"http://127.0.0.1:{listening}")
    check_network()


@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "HF_ENDPOINT"])
def test_a_proxy_or_a_mirror_that_refuses_is_named_with_the_reason(network, closed, variable):
    network.setenv(variable, f"http://127.0.0.1:{closed}")
    with pytest.raises(Unreachable, match=r"cannot be reached: 127\.0\.0\.1: .*refused"):
        download(DATASET)


def test_a_name_that_does_not_resolve_is_named_within_seconds(network):
    network.setenv("HF_ENDPOINT", "https://minari.invalid")  # no such name will ever be given (RFC 2606)
    begin = time.monotonic()
    with pytest.raises(Unreachable, match=r"cannot be reached: minari\.invalid: \S+"):
        download(DATASET)
    assert time.monotonic() - begin < 20


def test_a_look_up_that_hangs_is_cut_off(network):
    released = threading.Event()

    def hang(*arguments, **options):
        released.wait(60)
        raise OSError("at last")

    network.setattr(socket, "getaddrinfo", hang)
    network.setattr(remote, "_PATIENCE", 0.05)
    begin = time.monotonic()
    try:
        with pytest.raises(Unreachable, match=r"cannot be reached: huggingface\.co: no answer"):
            check_network()
        assert time.monotonic() - begin < 20
    finally:
        released.set()


def test_an_address_that_no_packet_comes_back_from_is_cut_off(network):
    def drop(address, timeout):
        time.sleep(timeout)
        raise TimeoutError("timed out")

    network.setattr(socket, "create_connection", drop)
    network.setattr(remote, "_PATIENCE", 0.05)
    with pytest.raises(Unreachable, match=r"huggingface\.co: timed out"):
        check_network()


@pytest.mark.parametrize(
    "environment",
    [{"HF_ENDPOINT": "mirror.example"}, {"HF_ENDPOINT": "https://"}, {"HTTPS_PROXY": "http://proxy.example:port"}],
    ids=str,
)
def test_an_address_that_is_none_is_named(network, environment):
    ((name, value),) = environment.items()
    network.setenv(name, value)
    with pytest.raises(Unreachable, match=f"{name}|{value}"):
        check_network()
