"""Files are written whole or not at all, and what they claim is checked before memory is asked for."""

import io
import os
import subprocess
import sys
import zipfile

import h5py
import numpy as np
import pytest

from rvdt_jax.errors import UserError
from rvdt_jax.files import atomic_write, check_hdf5, check_memory, check_npz, check_room, check_stored, owner, read_text


@pytest.mark.parametrize("forged", [False, True])  # then the archive's directory tells the same lie as the array
def test_an_array_that_claims_more_than_its_archive_holds_is_refused(forged, tmp_path):
    path, header = tmp_path / "claim.npz", io.BytesIO()
    about = {"descr": "<f4", "fortran_order": False, "shape": (5 * 10**9,)}
    np.lib.format.write_array_header_1_0(header, about)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("rewards.npy", header.getvalue() + b"\0" * 100)
        (entry,) = archive.filelist
        if forged:
            entry.file_size = entry.compress_size = 20 * 10**9 + len(header.getvalue())
    with pytest.raises(ValueError, match=r"rewards\.npy claims 18\.6 GiB, and \d+ bytes are stored"):
        check_npz(path)


@pytest.mark.parametrize("compression", [None, "gzip", "lzf"])
def test_arrays_of_an_hdf5_file_are_taken_for_what_they_are_and_one_that_claims_more_is_refused(compression, tmp_path):
    with h5py.File(tmp_path / "good.hdf5", "w") as file:
        file.create_dataset("zeros", data=np.zeros(30_000_000, np.float32), compression=compression)
        file.create_dataset("empty", data=np.zeros((0, 3)))
        file.create_dataset("number", data=3)
        file.create_dataset("nothing", data=h5py.Empty("f4"))
        file.create_dataset("words", data=["a", "b"])
        file["type"] = np.dtype("f8")
        check_hdf5(file)
        file.create_dataset("episode_1/rewards", shape=(10**12,), dtype="f4", chunks=(1024,))  # nothing is stored
        with pytest.raises(ValueError, match=r"^episode_1/rewards claims 3\.64 TiB, and 0 bytes are stored"):
            check_hdf5(file)


def test_more_than_the_machine_has_is_refused():
    check_memory(2**20, "it")
    check_stored(2**26, 0, "it")  # a small claim is never refused
    with pytest.raises(ValueError, match=r"^it claims 1\.02e\+03 TiB, and this machine has .* of memory"):
        check_memory(2**50, "it")
    with pytest.raises(UserError, match=r"images, .*, claims 1\.82e\+03 TiB, .* of memory\. Shrink them\."):
        check_room("images", 10**15, "Shrink them.")


def test_a_text_is_read_up_to_its_bound(tmp_path):
    path = tmp_path / "text"
    path.write_bytes(b"x" * 100)
    assert read_text(path, most=100) == "x" * 100
    with pytest.raises(ValueError, match="more than"):
        read_text(path, most=99)


def test_a_file_is_replaced_in_one_move_or_stays(tmp_path):
    path = tmp_path / "results.json"
    for content in ("old", "new"):
        with atomic_write(path) as partial:
            partial.write_text(content)
            assert path.exists() == (content == "new")
        assert path.read_text() == content

    with pytest.raises(KeyError), atomic_write(path) as partial:  # noqa: PT012
        partial.write_text("half")
        raise KeyError
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_what_killed_writers_left_is_removed_by_the_next(tmp_path):
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    host = owner().partition("-")[2]
    names = {pid: f".a.{pid}-{host}.partial.npz" for pid in (ended.pid, os.getppid())}
    for name in (*names.values(), f".a.{ended.pid}-elsewhere.partial.npz", f".b.{ended.pid}-x.partial.npz"):
        (tmp_path / name).touch()
    with atomic_write(tmp_path / "a.npz") as partial:
        partial.touch()
    assert not (tmp_path / names[ended.pid]).exists()
    assert len(list(tmp_path.iterdir())) == 4  # of the living, of another host, of another file, and the new one


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no such device")
def test_a_write_that_fails_names_the_file(tmp_path):
    path = tmp_path / "results.json"
    with pytest.raises(OSError, match="No space left") as error, atomic_write(path) as partial:  # noqa: PT012
        partial.symlink_to("/dev/full")
        partial.write_text("x" * 100_000)
    assert error.value.filename == str(path)
    assert list(tmp_path.iterdir()) == []
