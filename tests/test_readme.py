"""The READMEs do what they say: commands and Python blocks run, links and numbers have their sources."""

import os
import re
import shlex
import subprocess
import sys

import pytest
from launching import ROOT, TINY, flags_of
from reporting.comparison import format_table

from rvdt_jax.algorithms.variants import VARIANTS
from rvdt_jax.report.records import read_json, read_lines, summarise
from rvdt_jax.tasks import all_tasks

pytestmark = pytest.mark.slow

FOLDERS = ("rvdt_jax", "experiments", "tests")
READMES = [ROOT / "README.md", *sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("README.md"))]
TEXTS = {path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8") for path in READMES}
TEXT = TEXTS["README.md"]
RECORDS = ROOT / "experiments" / "results"
# What makes a training run of a README small; nothing else is changed.
SMALL = TINY | {"train.steps": 2, "eval.episodes": 1}


def blocks(language: str) -> list[str]:
    """The blocks of that language in all READMEs; those of ``text`` are not meant to be run."""
    pattern = re.compile(rf"^```{language}\n(.*?)^```", flags=re.MULTILINE | re.DOTALL)
    return [block for text in TEXTS.values() for block in pattern.findall(text)]


def commands(program: str) -> list[str]:
    lines = [line.strip() for block in blocks("bash") for line in block.splitlines()]
    return list(dict.fromkeys(line for line in lines if line.startswith(f"{program} ")))


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """The environment of the processes that tests start: recipes are short, data sets and caches are shared."""
    folder = tmp_path_factory.mktemp("home")
    text = "import rvdt_jax.tasks as tasks\nfor name in tasks._RECIPE_STEPS: tasks._RECIPE_STEPS[name] = 3000\n"
    (folder / "sitecustomize.py").write_text(text)
    names = {"MINARI_DATASETS_PATH": "minari", "RVDT_JAX_CACHE": "cache", "RVDT_JAX_DATA": "data"}
    environment = os.environ | {name: str(folder / place) for name, place in names.items()}
    environment.pop("XLA_FLAGS", None)  # as a user's machine has it: one device, and all optimisations
    return environment | {"PYTHONPATH": os.pathsep.join([str(folder), str(ROOT)])}


def run(arguments, home, cwd=ROOT, **substitutes):
    """Runs a Python program to its end; flags of those names get other values."""
    changed = {f"--{name}": f"--{name}={value}" for name, value in substitutes.items()}
    command = [sys.executable, *(changed.get(word.partition("=")[0], word) for word in map(str, arguments))]
    result = subprocess.run(command, cwd=cwd, env=home, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


@pytest.fixture(scope="module")
def trained(home, tmp_path_factory):
    """The directory of a run that a command of the README made."""
    command = next(line for line in commands("python") if line.startswith("python experiments/run.py"))
    folder = tmp_path_factory.mktemp("trained") / "run"
    run([*shlex.split(command)[1:], *flags_of(SMALL)], home, workdir=folder)
    return folder


def test_every_make_target_exists():
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE)
    named = re.findall(r"^make ([a-z-]+)", "\n".join(blocks("bash") + blocks("text")), flags=re.MULTILINE)
    assert {"demo", "test"} <= set(named) <= set(targets)


# toys.py: as it is, by test_toys.py
@pytest.mark.parametrize("command", [line for line in commands("python") if "toys" not in line])
def test_commands_run(command, home, tmp_path, request):
    _, script, *flags = shlex.split(command, comments=True)
    resumes = "--resume" in flags
    more = {
        "experiments/run.py": flags_of(SMALL | {"train.steps": 4 if resumes else 2}),
        "experiments/coverage.py": [f"--out={tmp_path / 'out'}"],
        "experiments/theory.py": ["--mdps=5", f"--out={tmp_path / 'out'}"],
        "experiments/recreate.py": ["--overwrite"],  # another command may have needed the data set before
    }.get(script, [])
    instead = {"workdir": tmp_path / "run", "episodes": 1, "video": tmp_path / "umaze.gif"}
    if resumes or script.endswith(("evaluate.py", "export.py")):  # the run that an earlier command made
        instead["workdir"] = request.getfixturevalue("trained")
    if script.endswith("export.py"):
        instead["out"] = tmp_path / "policy"
    run([script, *flags, *more], home, **instead)


def test_python_runs(home, tmp_path):
    """Block by block, each as a program of its own."""
    run([ROOT / "experiments" / "recreate.py", "--task=maze2d-umaze-v1", "--overwrite"], home)
    shrink = "".join(f"settings.{name} = {value}\n" for name, value in SMALL.items())
    (tmp_path / "rvdt_jax").symlink_to(ROOT / "rvdt_jax")  # they name a file of the package
    for number, block in enumerate(blocks("python")):
        script = tmp_path / f"block{number}.py"
        script.write_text(re.sub(r"^(settings = .*default_config.*)$", rf"\1\n{shrink}", block, flags=re.MULTILINE))
        run([script], home, tmp_path)


def test_the_readme_stays_short_and_the_tables_of_algorithms_and_tasks_are_those_of_the_package():
    assert len(TEXT.encode()) <= 12 * 1024
    section = TEXT.split("## Algorithms")[1].split("\n## ")[0]
    assert set(re.findall(r"^\| `([A-Z%][A-Za-z0-9+%-]*)`", section, flags=re.MULTILINE)) == set(VARIANTS)
    text = TEXTS["experiments/README.md"]
    for task in all_tasks().values():
        remote = task.source("remote")
        ways = [f"`{remote.dataset_id}` (download)"] if remote else []
        if task.source("recipe"):
            ways.append("recreated by itself" if task.recipe_steps else "recreated after training")
        assert f"| `{task.name}` | {', or '.join(ways)} | {task.horizon} |" in text
    assert len(re.findall(r"^\| `[a-z0-9-]+-v\d` \|", text, flags=re.MULTILINE)) == len(all_tasks())


def test_the_result_is_that_of_the_committed_records():
    folders = [RECORDS / "demo" / variant for variant in ("DT", "QT", "RVDT")]
    runs = [read_json(folder / "results.json") for folder in folders]
    for folder, results in zip(folders, runs, strict=True):
        references = results["ref_min_return"], results["ref_max_return"]
        assert summarise(read_lines(folder / "evaluations.jsonl"), *references)["final"] == results["final"]
    references = {"random": 0.0, "D4RL's controller": 100.0, "a controller that re-plans": 144.0}
    assert format_table(runs, references) in TEXT


@pytest.mark.parametrize("name", TEXTS)
def test_links_lead_somewhere(name):
    folder = (ROOT / name).parent
    text = re.sub(r"^```.*?^```", "", TEXTS[name], flags=re.MULTILINE | re.DOTALL)
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", text) + re.findall(r'<img [^>]*src="([^"]+)"', text):
        assert target.startswith("https://") or (folder / target).exists(), target
