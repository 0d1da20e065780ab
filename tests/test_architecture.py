"""Who may import whom: the rules are one table, and every import of the package, lazy ones included, is held to it."""

import ast
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

    ours: str | None = ""  # the other rooms, or ANYTHING
    never: set[str] = frozenset()  # foreign packages, besides those closed to the whole package


# A room is a module or a folder directly inside the package. "absl" and the launchers are closed to all of them, and
# "ml_collections" to all but "config".
RULES = {
    "types": Rule(never=SIMULATORS),
    "errors": Rule(never=JAX | SIMULATORS),
    "files": Rule(never=JAX | SIMULATORS),
    "tasks": Rule(never=JAX | SIMULATORS),
    "config": Rule("tasks algorithms", never=JAX | SIMULATORS),
    "data": Rule("types tasks"),
    "rebalance": Rule("data", never=JAX | SIMULATORS),
    "models": Rule("types", never=SIMULATORS | {"optax"}),
    "algorithms": Rule("types models data", never=SIMULATORS | {"matplotlib", "tqdm"}),
    "train": Rule("types models algorithms data", never=SIMULATORS | {"matplotlib", "tqdm"}),
    "acting": Rule("types models algorithms data config report", never=SIMULATORS | {"optax", "matplotlib"}),
    "envs": Rule("tasks data", never=JAX | {"minari"}),
    "evaluation": Rule("types acting envs tasks config data report models", never={"optax", "minari"}),
    "report": Rule("tasks algorithms", never=JAX | SIMULATORS),
    "sweep": Rule("report tasks algorithms", never=JAX | SIMULATORS),
    "recreate": Rule("envs tasks data", never=JAX),
    "theory": Rule(never=JAX | SIMULATORS),
    # Where the rooms meet.
    "__init__": Rule(ANYTHING),
    "runs": Rule(ANYTHING),
}

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


def imports(source: str, module: str, is_package: bool = False) -> list[tuple[str, int]]:
    """Every import in ``source``, its full name and line: at the top, inside functions, for type checkers, and
    ``import_module("literal")``."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [(alias.name, node.lineno) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = module.split(".")
                parents = parents[: len(parents) - node.level + is_package]
                base = ".".join(filter(None, [*parents, base]))
            # Of the package itself a name may be a room: `from rvdt_jax import losses`.
            names = [f"{base}.{alias.name}" for alias in node.names] if base == PACKAGE else [base]
            found += [(name, node.lineno) for name in names]
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            function = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", None)
            if function in ("import_module", "__import__") and isinstance(node.args[0].value, str):
                found.append((node.args[0].value, node.lineno))
    return found


def room_of(module: str) -> str:
    """``rvdt_jax.algorithms.losses`` -> ``algorithms``; the package itself is ``__init__``."""
    return [*module.split("."), "__init__"][1]


def offences(source: str, module: str, is_package: bool = False) -> list[str]:
    """What ``source``, as the module of that name, imports against the rules; one sentence each."""
    room = room_of(module)
    if room not in RULES:
        return [f"{module}: the room {room!r} has no row in RULES: decide what it may import"]
    ours, never = RULES[room]
    closed = never | LAUNCHERS | {"absl"} | (set() if room == "config" else {"ml_collections"})
    wrong = []
    for name, line in imports(source, module, is_package):
        top = name.split(".")[0]
        if top == PACKAGE and ours is not ANYTHING and name != f"{PACKAGE}.__version__":
            allowed = room_of(name) in {room, *ours.split(), *FOR_ALL}
        else:
            allowed = top not in closed
        if not allowed:
            wrong.append(f"{module}:{line}: {room} may not import {name}")
    return wrong


FILES = sorted((ROOT / PACKAGE).rglob("*.py"))
# Name -> file of every module of the package.
MODULES = {".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path for path in FILES}


@pytest.mark.parametrize("module", MODULES)
def test_a_module_keeps_to_its_room_and_is_read_on_a_few_screens(module):
    text = MODULES[module].read_text(encoding="utf-8")
    wrong = offences(text, module, is_package=MODULES[module].name == "__init__.py")
    assert not wrong, "\n".join(wrong)
    assert len(text.splitlines()) <= 300
    functions = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef)]
    long = [f"{node.name}:{node.lineno}" for node in functions if node.end_lineno - node.lineno >= 50]
    assert not long, f"functions of more than 50 lines: {', '.join(long)}"


def test_launchers_do_not_lean_on_tests_and_raise_what_is_shown_in_one_line():
    for path in sorted((ROOT / "experiments").rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        tops = {name.split(".")[0] for name, _ in imports(text, path.stem)}
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
    modules = [name for name in MODULES if f"{name}.".startswith(f"{package}.") and package != PACKAGE] or [PACKAGE]
    script = f"import sys\nfor name in {modules}: __import__(name)\nprint(*sys.modules)"
    said = subprocess.check_output([sys.executable, "-c", script], cwd=ROOT, text=True)
    loaded = {name.split(".")[0] for name in said.split()}
    assert package.split(".")[0] in loaded
    assert not loaded & NOT_LOADED[package]


def test_the_top_level_stays_small():
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False).stdout
    names = {line.split("/")[0].strip('"') for line in tracked.splitlines()}  # none outside a git checkout
    assert {name for name in names if not name.startswith(".")} <= TOP_LEVEL
