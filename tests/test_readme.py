"""The README does what it says: its commands run, its Python runs, its links and numbers have their sources."""

import os
import pathlib
import re
import shlex
import subprocess
import sys

import pytest

from rvdt_jax.algorithms.variants import VARIANTS
from rvdt_jax.report.comparison import format_table
from rvdt_jax.report.records import read_json, read_lines, summarise
from rvdt_jax.tasks import all_tasks

pytestmark = pytest.mark.slow

ROOT = pathlib.Path(__file__).resolve().parents[1]
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
# What makes a command of the README small; nothing else is changed.
TINY = [
    f"--config.{setting}"
    for setting in (
        "train.steps=2",
        "train.batch_size=8",
        "train.log_every=2",
        "model.width=8",
        "model.layers=1",
        "model.critic_width=8",
        "eval.every=2",
        "eval.episodes=1",
        "eval.curve_episodes=1",
    )
]


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", TEXT, flags=re.MULTILINE | re.DOTALL)


def commands() -> list[str]:
    return [line for block in blocks("bash") for line in block.splitlines() if line.strip()]


@pytest.fixture
def short_recipes(tmp_path):
    """A start-up file that makes all recipes short, for processes that a test starts."""
    folder = tmp_path / "site"
    folder.mkdir()
    text = "import rvdt_jax.tasks as tasks\nfor name in tasks._RECIPE_STEPS: tasks._RECIPE_STEPS[name] = 3000\n"
    (folder / "sitecustomize.py").write_text(text)
    return folder


def run(arguments, short_recipes, cwd):
    path = os.pathsep.join([str(short_recipes), str(ROOT)])
    environment = os.environ | {"PYTHONPATH": path}
    environment.pop("XLA_FLAGS", None)  # as a user's machine has it: one device, and all optimisations
    result = subprocess.run(
        [sys.executable, *arguments], cwd=cwd, env=environment, capture_output=True, text=True, check=False, timeout=300
    )
    assert result.returncode == 0, result.stderr
    return result


def test_every_make_target_exists():
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE)
    named = [line.split()[1] for line in commands() if line.startswith("make ")]
    assert {"demo", "test"} <= set(named) <= set(targets)


# toys.py: as it is, by test_toys.py
@pytest.mark.parametrize("command", [line for line in commands() if line.startswith("python ") and "toys" not in line])
def test_commands_run(command, short_recipes, tmp_path):
    _, script, *flags = shlex.split(command, comments=True)
    place = f"--workdir={tmp_path / 'run'}"
    if script.endswith("run.py"):
        flags = [flag for flag in flags if not flag.startswith("--workdir")] + [*TINY, place]
    elif script.endswith("evaluate.py"):  # of the run that the command before made
        run([str(ROOT / "experiments" / "run.py"), "--config=configs/maze2d.py", *TINY, place], short_recipes, ROOT)
        small = {"--workdir": place, "--episodes": "--episodes=1", "--video": f"--video={tmp_path / 'umaze.gif'}"}
        flags = [small.get(flag.partition("=")[0], flag) for flag in flags]
    elif script.endswith(("coverage.py", "theory.py")):
        small = ["--mdps=5"] if script.endswith("theory.py") else []
        flags = [*flags, *small, f"--out={tmp_path / 'out'}"]
    run([str(ROOT / script), *flags], short_recipes, ROOT)


def test_the_table_of_tasks_is_that_of_the_package():
    for task in all_tasks().values():
        remote, file = task.source("remote"), task.file_url.rsplit("/", 1)[-1]
        ways = [f"`{remote.dataset_id}` (download)"] if remote else []
        if task.source("recipe"):
            ways.append("recreated by itself" if task.recipe_steps else "recreated after training")
        other = ", or ".join(ways)
        assert f"| `{task.name}` | {other} | `{file}` | {task.horizon} |" in TEXT
    assert len(re.findall(r"^\| `[a-z0-9-]+-v\d` \|", TEXT, flags=re.MULTILINE)) == len(all_tasks())


def test_python_runs(short_recipes, tmp_path):
    run([str(ROOT / "experiments" / "recreate.py"), "--task=maze2d-umaze-v1"], short_recipes, ROOT)
    shrink = "".join(f"settings.{flag.removeprefix('--config.')}\n" for flag in TINY)
    for number, block in enumerate(blocks("python")):
        script = tmp_path / f"block{number}.py"
        script.write_text(re.sub(r"^(settings\.task.*)$", rf"\1\n{shrink}", block, flags=re.MULTILINE))
        run([str(script)], short_recipes, tmp_path)


def test_the_result_is_that_of_the_committed_records():
    folder = ROOT / "experiments" / "results" / "demo"
    runs = [read_json(folder / variant / "results.json") for variant in ("DT", "QT", "RVDT")]
    for run, variant in zip(runs, ("DT", "QT", "RVDT"), strict=True):
        evaluations = read_lines(folder / variant / "evaluations.jsonl")
        scores = summarise(evaluations, run["ref_min_return"], run["ref_max_return"])
        assert scores["final"] == run["final"]
    references = {"random": 0.0, "D4RL's controller": 100.0, "a controller that re-plans": 144.0}
    assert format_table(runs, references) in TEXT


def test_links_lead_somewhere():
    for target in re.findall(r"\]\(([^)#]+)\)", TEXT) + re.findall(r'<img [^>]*src="([^"]+)"', TEXT):
        assert target.startswith("https://") or (ROOT / target).exists(), target


def test_the_table_of_variants_is_complete():
    section = TEXT.split("## Variants")[1].split("\n## ")[0]
    assert set(re.findall(r"`([A-Z%][A-Za-z%-]*)`", section)) >= set(VARIANTS)


def test_the_table_of_the_toys_is_that_of_the_committed_records():
    found = read_json(ROOT / "experiments" / "results" / "toys" / "toys.json")
    for name, best in (("bandit", "1.30"), ("corridor", "1.00")):
        cells = [", ".join(f"{value:.2f}" for value in found[name][variant]) for variant in ("DT", "RDT", "RVDT")]
        (row,) = re.findall(rf"^\| {name}: .*$", TEXT, flags=re.MULTILINE)
        assert [cell.strip() for cell in row.strip("|").split("|")][1:] == [best, *cells]
