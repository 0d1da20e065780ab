"""Who may import whom: the rules are one table, and every import of the package, lazy ones included, is held to it."""

import ast
import pathlib
import subprocess
import sys
from typing import NamedTuple

import pytest
from launching import ROOT

PACKAGE = "rvdt_jax"

JAX = {"jax", "jaxlib", "flax", "optax", "orbax", "chex"}
SIMULATORS = {"gymnasium", "gymnasium_robotics", "minari", "mujoco"}
LAUNCHERS = {"experiments", "launcher", "configs", "benchmark", "reporting"}
ANYTHING = None
FOR_ALL = {"errors", "files"}  # rooms that every other may import


class Rule(NamedTuple):
    """What one room of the package may import."""

    ours: frozenset[str] | None  # the other rooms, or ANYTHING
    never: frozenset[str] = frozenset()  # foreign packages, besides those closed to the whole package


def rule(ours="", never=()) -> Rule:
    return Rule(ours if ours is ANYTHING else frozenset(ours.split()), frozenset(never))


# A room is a module or a folder directly inside the package. "absl" and the launchers are closed to all of them, and
# "ml_collections" to all but "config".
RULES = {
    "types": rule(never=SIMULATORS),
    "errors": rule(never=JAX | SIMULATORS),
    "files": rule(never=JAX | SIMULATORS),
    "tasks": rule(never=JAX | SIMULATORS),
    "config": rule("tasks algorithms", never=JAX | SIMULATORS),
    "data": rule("types tasks"),
    "rebalance": rule("data", never=JAX | SIMULATORS),
    "models": rule("types", never=SIMULATORS | {"optax"}),
    "algorithms": rule("types models data", never=SIMULATORS | {"matplotlib", "tqdm"}),
    "train": rule("types models algorithms data", never=SIMULATORS | {"matplotlib", "tqdm"}),
    "acting": rule("types models algorithms data config report", never=SIMULATORS | {"optax", "matplotlib"}),
    "envs": rule("tasks data", never=JAX | {"minari"}),
    "evaluation": rule("types acting envs tasks config data report models", never={"optax", "minari"}),
    "report": rule("tasks algorithms", never=JAX | SIMULATORS),
    "sweep": rule("report tasks algorithms", never=JAX | SIMULATORS),
    "recreate": rule("envs tasks data", never=JAX),
    "theory": rule(never=JAX | SIMULATORS),
    # Where the rooms meet.
    "__init__": rule(ANYTHING),
    "runs": rule(ANYTHING),
}
MAY_USE_ML_COLLECTIONS = {"config"}

TOP_LEVEL = {"setup.py", "README.md", "Makefile", "LICENSE", "rvdt_jax", "experiments", "tests"}

# Module -> what must not be loaded after importing it, by whatever path.
NOT_LOADED = {
    "rvdt_jax": JAX | SIMULATORS | {"matplotlib", "ml_collections"},
    "rvdt_jax.rebalance": JAX | SIMULATORS,
    "rvdt_jax.report": JAX | SIMULATORS,
    "rvdt_jax.sweep": JAX | SIMULATORS | {"matplotlib", "ml_collections"},
    "rvdt_jax.envs": JAX,
    "rvdt_jax.recreate": JAX,
    "rvdt_jax.train": SIMULATORS | {"matplotlib"},
    "rvdt_jax.data": SIMULATORS | {"matplotlib"},
    "rvdt_jax.acting.policy": JAX - {"jax", "jaxlib"} | SIMULATORS | {"matplotlib", "ml_collections", "absl", "tqdm"},
}


class Import(NamedTuple):
    """One imported name, in full, and the line that imports it."""

    name: str
    line: int


def imports(source: str, module: str, is_package: bool = False) -> list[Import]:
    """Every import in ``source``: at the top, inside functions, for type checkers, and ``import_module("literal")``."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [Import(alias.name, node.lineno) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = module.split(".")
                parents = parents[: len(parents) - node.level + is_package]
                base = ".".join([*parents, base] if base else parents)
            # Of the package itself a name may be a room: `from rvdt_jax import losses`.
            names = [f"{base}.{alias.name}" for alias in node.names] if base == PACKAGE else [base]
            found += [Import(name, node.lineno) for name in names]
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            function = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", None)
            if function in ("import_module", "__import__") and isinstance(node.args[0].value, str):
                found.append(Import(node.args[0].value, node.lineno))
    return found


def room_of(module: str) -> str:
    """``rvdt_jax.algorithms.losses`` -> ``algorithms``; the package itself is ``__init__``."""
    return [*module.split("."), "__init__"][1]


def offences(source: str, module: str, is_package: bool = False) -> list[str]:
    """What ``source``, as the module of that name, imports against the rules; one sentence each."""
    room = room_of(module)
    if room not in RULES:
        return [f"{module}: the room {room!r} has no row in RULES: decide what it may import"]
    permitted, wrong = RULES[room], []
    closed = permitted.never | LAUNCHERS | {"absl"}
    if room not in MAY_USE_ML_COLLECTIONS:
        closed |= {"ml_collections"}
    for each in imports(source, module, is_package):
        top = each.name.split(".")[0]
        if top == PACKAGE:
            other = room_of(each.name)
            if other == room or each.name == f"{PACKAGE}.__version__":
                continue
            if permitted.ours is not ANYTHING and other not in permitted.ours | FOR_ALL:
                wrong.append(f"{module}:{each.line}: {room} may not import {each.name}")
        elif top in closed:
            wrong.append(f"{module}:{each.line}: {room} may not import {each.name}")
    return wrong


def package_modules() -> list[tuple[str, pathlib.Path]]:
    """Name and file of every module of the package."""
    modules = []
    for path in sorted((ROOT / PACKAGE).rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        modules.append((".".join(parts[:-1] if parts[-1] == "__init__" else parts), path))
    return modules


@pytest.mark.parametrize(("module", "path"), package_modules(), ids=lambda value: str(value))
def test_modules_keep_to_their_rooms(module, path):
    wrong = offences(path.read_text(encoding="utf-8"), module, is_package=path.name == "__init__.py")
    assert not wrong, "\n".join(wrong)


def test_launchers_do_not_lean_on_tests_and_raise_what_is_shown_in_one_line():
    for path in sorted((ROOT / "experiments").rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        tops = {each.name.split(".")[0] for each in imports(text, path.stem)}
        assert "tests" not in tops, path
        if path.parent.name == "configs":  # they only state settings
            assert not tops & (JAX | SIMULATORS | {"absl"}), path
        if path.parent.name == "experiments":  # a ValueError of theirs would be shown as a bug
            assert "raise ValueError" not in text, f"{path}: raise UserError"


@pytest.mark.parametrize(
    ("module", "source", "culprit"),
    [
        ("rvdt_jax.types", "from rvdt_jax import tasks", "rvdt_jax.tasks"),
        ("rvdt_jax.types", "import rvdt_jax", "rvdt_jax"),
        ("rvdt_jax.models.policy", "def f():\n    import rvdt_jax.algorithms.losses", "rvdt_jax.algorithms.losses"),
        ("rvdt_jax.models.policy", "from ..data import store", "rvdt_jax.data"),
        ("rvdt_jax.train.driver", "from matplotlib import pyplot", "matplotlib"),
        ("rvdt_jax.train.driver", "import importlib\nimportlib.import_module('minari')", "minari"),
        ("rvdt_jax.report.plots", "import jax.numpy as jnp", "jax.numpy"),
        ("rvdt_jax.runs.fit", "def f():\n    from absl import logging", "absl"),
        ("rvdt_jax.runs.fit", "if TYPE_CHECKING:\n    from ml_collections import ConfigDict", "ml_collections"),
        ("rvdt_jax.runs.fit", "import launcher", "launcher"),
        ("rvdt_jax.cellar", "", "no row in RULES"),
    ],
)
def test_the_checker_finds_offences(module, source, culprit):
    wrong = offences(source, module)
    assert len(wrong) == 1
    assert culprit in wrong[0]


@pytest.mark.parametrize("package", NOT_LOADED)
def test_what_importing_a_room_loads(package):
    """Imports every module of the room in a fresh interpreter, so that roundabout ways are seen too."""
    modules = [name for name, _ in package_modules() if f"{name}.".startswith(f"{package}.")]
    if package == PACKAGE:
        modules = [PACKAGE]
    script = f"import sys\nfor name in {modules}: __import__(name)\nprint(*sys.modules)"
    said = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True
    ).stdout
    loaded = {name.split(".")[0] for name in said.split()}
    assert package.split(".")[0] in loaded
    assert not loaded & NOT_LOADED[package]


def test_the_top_level_stays_small():
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if tracked.returncode == 0 and tracked.stdout:
        names = {line.split("/")[0].strip('"') for line in tracked.stdout.splitlines()}
    else:  # not a git checkout; leave out what make and the launchers put here
        names = {path.name for path in ROOT.iterdir()} - {"runs", "build", "dist", "__pycache__", "rvdt_jax.egg-info"}
    strangers = {name for name in names if not name.startswith(".")} - TOP_LEVEL
    assert not strangers, f"only {sorted(TOP_LEVEL)} and dot-files belong at the top level, not {sorted(strangers)}"


@pytest.mark.parametrize(("module", "path"), package_modules(), ids=lambda value: str(value))
def test_files_and_functions_are_read_on_a_few_screens(module, path):
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 300, module
    functions = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef)]
    long = [f"{node.name}:{node.lineno}" for node in functions if node.end_lineno - node.lineno >= 50]
    assert not long, f"{module}: functions of more than 50 lines: {', '.join(long)}"
