"""setup.py, the tested versions and the Makefile agree with each other and with what the code imports."""

import functools
import os
import re
import runpy
import shutil
import subprocess
import sys
from importlib import metadata

import pytest
import setuptools
from launching import ROOT, TINY, flags_of
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version
from test_architecture import imports

import rvdt_jax
from rvdt_jax.errors import EXTRAS

pytestmark = pytest.mark.slow


@functools.cache
def setup_arguments() -> dict:
    """The keyword arguments of the call to ``setup``."""
    found = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(setuptools, "setup", found.update)
        runpy.run_path(str(ROOT / "setup.py"))
    return found


def requirements() -> list[Requirement]:
    """What ``make`` installs: the core and the extras that the tests need."""
    base, extras = setup_arguments()["install_requires"], setup_arguments()["extras_require"]
    return [Requirement(line) for line in base + extras["all"] + extras["test"]]


@functools.cache
def constraints() -> dict[str, Version]:
    """Tested version of every distribution, by canonical name."""
    lines = (ROOT / ".config" / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pairs = (line.split("==") for line in lines if line and not line.startswith("#"))
    return {canonicalize_name(name): Version(version) for name, version in pairs}


@pytest.mark.parametrize("requirement", requirements(), ids=lambda requirement: requirement.name)
def test_setup_gives_ranges_and_the_tested_version_is_in_them(requirement):
    assert constraints()[canonicalize_name(requirement.name)] in requirement.specifier
    if requirement.name != "ruff":  # another version formats otherwise
        operators = {specifier.operator for specifier in requirement.specifier}
        assert operators & {">=", "<"}
        assert not operators & {"==", "==="}, "exact versions belong in .config/constraints.txt"


def test_dependencies_of_dependencies_are_pinned_too():
    seen, queue = set(), [(requirement.name, requirement.extras) for requirement in requirements()]
    while queue:
        name, extras = queue.pop()
        key = (canonicalize_name(name), frozenset(extras))
        children = [] if key in seen else map(Requirement, metadata.requires(name) or ())
        seen.add(key)
        for child in children:
            if child.marker is None or any(child.marker.evaluate({"extra": extra}) for extra in extras or [""]):
                queue.append((child.name, child.extras))
    missing = sorted({name for name, _ in seen} - constraints().keys())
    assert not missing, f"not in .config/constraints.txt: {missing}"


def names_of(lines: list[str]) -> set[str]:
    return {canonicalize_name(Requirement(line).name) for line in lines}


def test_the_extras_install_what_the_messages_say():
    extras = setup_arguments()["extras_require"]
    owners = {"sbx": ["sbx-rl"], "torch": ["torch"]} | metadata.packages_distributions()
    for package, extra in EXTRAS.items():
        assert names_of(extras[extra]) & {canonicalize_name(name) for name in owners[package]}, package
    assert not {"torch", "sbx-rl"} & names_of(extras["all"] + extras["test"])


def test_every_imported_package_is_required_or_has_an_extra():
    """A package that is only there because another one needs it may be gone tomorrow."""
    base, distributions = names_of(setup_arguments()["install_requires"]), metadata.packages_distributions()
    ours = {"rvdt_jax"} | {path.stem for path in (ROOT / "experiments").rglob("*.py")}
    ours |= {path.name for path in (ROOT / "experiments").iterdir() if path.is_dir()}
    for path in [*(ROOT / "rvdt_jax").rglob("*.py"), *(ROOT / "experiments").rglob("*.py")]:
        tops = {name.split(".")[0] for name, _ in imports(path.read_text(encoding="utf-8"), "rvdt_jax.module")}
        for top in tops - ours - sys.stdlib_module_names - EXTRAS.keys():
            assert {canonicalize_name(name) for name in distributions.get(top, (top,))} & base, path


def test_the_package_has_its_version_its_public_names_and_its_data():
    assert setup_arguments()["version"] == rvdt_jax.__version__
    assert all(getattr(rvdt_jax, name) is not None for name in rvdt_jax.__all__)
    with pytest.raises(AttributeError, match="no_such_name"):
        rvdt_jax.no_such_name  # noqa: B018
    for package, patterns in setup_arguments()["package_data"].items():
        for pattern in patterns:
            assert list((ROOT / package).glob(pattern)), f"{package}/{pattern} matches no file"


EXPORTED = {"bench", "export"}
TARGETS = {"demo": set(), "test": {"all", "test"}, "test-slow": {"all", "test"} | EXPORTED, "bench": EXPORTED}


@pytest.mark.parametrize(("target", "more"), TARGETS.items())
def test_make_installs_what_its_target_needs(target, more, tmp_path):
    for name in ("Makefile", "setup.py", ".config/constraints.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    result = subprocess.run(["make", "-n", target], cwd=tmp_path, capture_output=True, text=True, check=True)
    extras = re.findall(r"-e '\.\[([\w,]+)\]'", result.stdout)
    assert {extra for group in extras for extra in group.split(",")} == {"envs", "data", "plot", "tensorboard"} | more


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The commands of a new virtual environment with the package; what that depends on is borrowed from ours."""
    folder = tmp_path_factory.mktemp("installed")
    for name in ("setup.py", "README.md", "rvdt_jax", "experiments"):
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, folder / name)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder / "venv"], check=True)
    (packages,) = (folder / "venv").glob("lib/python*/site-packages")
    borrowed = dict.fromkeys(path for path in sys.path if path.endswith("site-packages"))
    (packages / "borrowed.pth").write_text("\n".join(borrowed))
    pip, alone = [sys.executable, "-m", "pip", "--quiet"], ["--no-index", "--no-deps"]
    subprocess.run([*pip, "wheel", *alone, "--no-build-isolation", "-w", folder, folder], check=True)
    (wheel,) = folder.glob("*.whl")
    python = folder / "venv" / "bin" / "python"
    subprocess.run([*pip, "--python", python, "install", *alone, wheel], check=True)
    return folder / "venv" / "bin"


def test_pip_install_brings_the_launchers_as_commands(installed, tmp_path):
    """Away from the checkout, with the configurations that the package brings."""
    how = {"cwd": tmp_path, "env": {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}}

    def start(command, *flags):
        return subprocess.run([installed / command, *flags], **how, capture_output=True, text=True, check=False)

    for line in setup_arguments()["entry_points"]["console_scripts"]:
        command, _, launcher = line.partition(" = rvdt_jax_experiments.commands:")
        text = (ROOT / "experiments" / f"{launcher}.py").read_text(encoding="utf-8")
        assert text.split('"""')[1].split("\n")[0] in start(command, "--help").stdout, command
    log = ROOT / "rvdt_jax" / "data" / "examples" / "heating_log.csv"
    columns = ["--observations=temp_*,hour", "--actions=valve", "--episode=day", "--id=example/heating-v0"]
    assert start("rvdt-import", f"--file={log}", *columns).returncode == 0
    flags = ["--config=configs/own.py:small", "--config.data.minari_id=example/heating-v0", "--config.env=none"]
    run = start("rvdt-run", *flags, *flags_of(TINY), "--config.seeds=0", "--workdir=run")
    assert run.returncode == 0, run.stderr
    assert (tmp_path / "run" / "results.json").exists()
    assert start("rvdt-tables", "--table=maze2d").stderr.startswith("error: --records is missing")


def test_cleaning_spares_runs_and_data(tmp_path):
    kept = ["runs/demo/results.json", "runs/checkpoints/0/state", "data/set.hdf5", "notes.txt", "rvdt_jax/types.py"]
    removed = [".venv/bin/python", "build/lib/x.py", "rvdt_jax.egg-info/PKG-INFO", "rvdt_jax/__pycache__/types.pyc"]
    for name in kept + removed:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    shutil.copy(ROOT / "Makefile", tmp_path)
    subprocess.run(["make", "clean"], cwd=tmp_path, capture_output=True, check=True)
    left = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    assert left == {"Makefile", *kept}


def test_ci_runs_the_tests():
    script = ROOT / ".ci" / "run"
    assert script.stat().st_mode & 0o100, "not executable"
    assert "make test" in script.read_text(encoding="utf-8")
    subprocess.run(["bash", "-n", str(script)], check=True)
