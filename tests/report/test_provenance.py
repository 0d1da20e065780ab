"""What a record says of the code that made it."""

import importlib.util
import shutil
import subprocess

import pytest
from launching import ROOT

from rvdt_jax.report import provenance
from rvdt_jax.report.cells import COMMAND_SUFFIX
from rvdt_jax.report.records import read_json

IDENTITY = {"GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@b", "GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@b"}


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
def test_the_commit_is_that_of_the_checkout_and_of_no_repository_around_an_installed_package(tmp_path, monkeypatch):
    for name, value in IDENTITY.items():
        monkeypatch.setenv(name, value)

    def git(*arguments):
        return subprocess.run(["git", *arguments], cwd=tmp_path, check=True, capture_output=True, text=True).stdout

    copy = tmp_path / "package" / "provenance.py"
    copy.parent.mkdir()
    shutil.copyfile(provenance.__file__, copy)
    spec = importlib.util.spec_from_file_location("copied_provenance", copy)
    copied = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(copied)
    assert copied.source_commit() is None
    git("init", "--quiet")
    git("commit", "--quiet", "--allow-empty", "-m", "of a project that has the package in its environment")
    assert copied.source_commit() is None
    git("add", "package/provenance.py")
    git("commit", "--quiet", "-m", "the package")
    commit = copied.source_commit()
    assert (len(commit), git("rev-parse", "HEAD")[:12]) == (12, commit)
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "results.json").touch()
    assert copied.source_commit() == commit
    copy.write_text("changed")
    assert copied.source_commit() == commit + "+"
    monkeypatch.setenv("PATH", "")
    assert copied.source_commit() is None


def test_each_committed_record_of_a_table_says_how_it_was_made():
    paths = list((ROOT / "experiments/results/runs").glob("*/*/results.json"))
    assert len(paths) > 100
    for path in paths:
        record, folder = read_json(path), path.parent
        assert all(record[name] for name in ("commit", "hardware", "seeds", "provenance", "versions")), path
        assert "+" not in record["commit"], path
        assert folder.with_name(folder.name + COMMAND_SUFFIX).exists(), path
