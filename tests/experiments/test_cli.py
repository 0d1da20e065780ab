"""The launchers as a user types them: real processes, their output and exit status."""

import importlib.util
import json
import pathlib
import re
import signal

import pytest
from faults.harness import Place, check_whole
from launching import ROOT, TINY, flags_of, launch, python

from rvdt_jax.data.cache import write_cache
from rvdt_jax.report.records import read_lines

pytestmark = pytest.mark.slow

MAZE = "--config=configs/maze2d.py"
PARSED = "import sys, run; run.parse_flags(sys.argv); config = run._CONFIG.value; "


def refused(script, *flags, cwd=ROOT) -> str:
    """What a launcher says that ends with one line and status 2."""
    result = launch(script, *flags, cwd=cwd)
    assert result.returncode == 2
    assert "Traceback" not in result.stderr
    assert r"\n" not in result.stderr  # words for a reader, not a repr
    return result.stdout + result.stderr


def test_a_run_from_the_repository_root_shows_what_it_does_and_a_second_one_compiles_nothing(episodes, tmp_path):
    write_cache(tmp_path / "data.npz", episodes, {"dataset_id": "test/random", "content_digest": episodes.digest()})
    flags = flags_of(TINY | {"eval.targets": "50,", "data.source": "file", "data.path": tmp_path / "data.npz"})

    def start(name):
        result = launch("run.py", MAZE, *flags, f"--workdir={tmp_path / name}")
        assert result.returncode == 0, result.stderr
        return result, tmp_path / name, {path.name for path in (tmp_path / "cache" / "compiled").glob("*-cache")}

    result, folder, compiled = start("first")
    assert "maze2d-umaze-v1: final checkpoint after 6 updates" in result.stdout
    assert "RVDT" in result.stdout
    assert "6/6" in result.stderr  # the progress bar
    assert "trajectories are expert" in result.stderr
    assert "CheckpointManager" not in result.stderr  # the libraries' own chatter
    assert json.loads((folder / "results.json").read_text())["final"]["50.0"]["aggregate"]["episodes"] == 2
    assert (folder / "learning_curve.png").stat().st_size > 5000
    assert any("train_chunk" in name for name in compiled)
    result, second, compiled_then = start("second")
    assert compiled_then == compiled
    assert "Target machine feature" not in result.stderr  # what XLA says of a program that it cannot take
    assert (second / "metrics.jsonl").read_bytes() == (folder / "metrics.jsonl").read_bytes()


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ([MAZE, "--config.loss.etta=1"], 'etta.*Did you mean "eta"'),
        ([MAZE, "--config.train.steps=abc"], r"train\.steps.*abc"),
        ([MAZE, "--work_dir=x"], "work_dir.*workdir"),
        ([MAZE, "workdir=x"], "unexpected argument.*workdir"),
        ([MAZE, "--confg.variant=DT"], r"confg\.variant.*Did you mean --config\.variant"),
        ([], "--config is missing. Name a configuration file"),
        (["--config=configs/maze3d.py"], r"no file 'configs/maze3d\.py'. This package brings configs/adroit\.py"),
        (["--config=configs/gym.py:tiny"], r"config\.size is 'tiny'; choose one of reference, small"),
        (["--config=configs/benchmark_small.py:small"], "has no sizes, for its get_config takes no argument"),
        (["--flagfile={folder}/flags"], 'etta.*Did you mean "eta"'),
        (["--flagfile={folder}/none"], "error: --flagfile: Unable to open flagfile: "),
    ],
)
def test_a_mistake_ends_with_one_clear_line(flags, words, tmp_path):
    (tmp_path / "flags").write_text(f"{MAZE}:small\n--config.loss.etta=1\n")
    flags = [flag.format(folder=tmp_path) for flag in flags]
    text = refused("run.py", f"--workdir={tmp_path / 'run'}", *flags, cwd=ROOT / "experiments")
    assert re.search(words, text)
    assert not list(tmp_path.glob("run*"))


@pytest.mark.parametrize(
    ("flags", "seeds", "variant"),
    [
        (["--config.seeds=0,1", "--config.seeds=2", "--config.variant=%BC"], [2], "%BC"),
        (["--config.seeds", "0,1", "-config.seeds", "2,3"], [2, 3], "RVDT"),
        (["--flagfile={file}", "--config.seeds=5"], [5], "DT"),
        (["--config.seeds=5", "--flagfile", "{file}"], [7, 8], "DT"),
    ],
)
def test_of_a_field_that_is_given_twice_the_last_value_counts_also_beside_a_file_of_flags(
    flags, seeds, variant, tmp_path
):
    file = tmp_path / "flags"
    file.write_text("# a comment\n--config.variant=DT\n--config.seeds=7,8\n")
    code, flags = PARSED + "print(list(config.seeds), config.variant)", [flag.format(file=file) for flag in flags]
    result = python("-c", code, "--config", "configs/maze2d.py:small", *flags)
    assert result.stdout.strip() == f"{seeds} {variant}", result.stderr


def test_several_values_are_separated_by_commas():
    code = PARSED + "import rvdt_jax; c = rvdt_jax.resolve(config); print(c.eval.targets, c.data.observation_keys)"
    result = python("-c", code, MAZE, "--config.eval.targets=-30.0,", "--config.data.observation_keys=a,b")
    assert result.stdout.strip() == "(-30.0,) ('a', 'b')", result.stderr


BROKEN_CONFIGURATIONS = {
    "def get_config():\n    return {}['gym']\n": ", line 2: KeyError: gym",
    "import a_module_that_is_not_there\n": ", line 1: ModuleNotFoundError: No module named",
    "\ndef get_config(:\n": ", line 2: SyntaxError: invalid syntax",
    "from rvdt_jax import default_config\n\ndef get_config():\n    config = default_config()\n"
    "    config.train.stesp = 3\n    return config\n": ', line 5: AttributeError: Key "stesp" does not exist',
    "def overrides(task, variant):\n    return {}[task]\n": " defines no function get_config().",
}


@pytest.mark.parametrize(("source", "words"), BROKEN_CONFIGURATIONS.items(), ids=BROKEN_CONFIGURATIONS.values())
def test_an_error_in_a_configuration_file_is_shown_with_file_and_line(source, words, tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(source)
    text = refused("run.py", f"--config={path}", "--config.variant=DT", f"--workdir={tmp_path / 'run'}")
    assert text.startswith(f"error: --config: {path}{words}")
    assert text.count("\n") == 1
    if "overrides" in source:  # of a table
        text = refused("sweep.py", "--table=maze2d", f"--config={path}", "--print")
        assert text == f"error: --config: {path}, line 2: KeyError: maze2d-umaze-v1\n"


def test_flags_that_would_be_ignored_or_fail_in_every_cell_are_refused():
    sweep = ["--table=maze2d", "--config=configs/maze2d.py:small", "--print"]
    assert "no field config.train.stpes. Did you mean 'train.steps'" in refused(
        "sweep.py", *sweep, "--set=train.stpes=3"
    )
    assert "0 is given more than once" in refused("sweep.py", *sweep, "--seeds=0,0")
    fqe = ["--workdir=nowhere", "--fqe", "--video=a.gif", "--horizon=3"]
    assert "leave out --video, --horizon" in refused("evaluate.py", *fqe)
    tables = ["--table=maze2d", "--out=nowhere", "--format=csv"]
    assert "--out writes every format, and --html a page: leave out --format" in refused("tables.py", *tables)
    assert "--tasks: maze2d has no row of 'nowhere'. It has" in refused("tables.py", tables[0], "--tasks=nowhere")
    assert "What is written holds every task: leave out --tasks" in refused("tables.py", *tables[:2], "--tasks=x")
    assert "no place for return coverage: leave out --coverage" in refused("tables.py", *tables[:1], "--coverage=x")
    assert "nothing is run: leave out --jobs, --tasks" in refused("tune.py", "--jobs=1", "--tasks=x")
    assert "--table measures nothing: leave out --cases, --only" in refused(
        "benchmark.py", "--table", "--only=peer", "--cases=x"
    )
    assert "--minutes chooses what is measured: leave out --only" in refused(
        "benchmark.py", "--minutes=1", "--only=peer"
    )
    assert "--runs is empty" in refused("paths.py", "--runs=", "--out=nowhere")
    assert "--fqe_updates belongs to --fqe" in refused("evaluate.py", "--workdir=nowhere", "--fqe_updates=3")


def test_a_path_may_begin_with_the_home_folder():
    printed = launch("sweep.py", "--table=maze2d", "--config=configs/maze2d.py:small", "--out=~/runs", "--print").stdout
    assert f"--workdir={pathlib.Path.home()}/runs/maze2d-umaze-v1/DT\n" in printed


def ended_by(statement):
    """How a launcher ends whose main executes ``statement``."""
    code = f"import sys, launcher\nfrom absl import app\ndef main(argv):\n    {statement}\n"
    return python("-c", code + "app.run(launcher.report_errors(main), flags_parser=launcher.parse_flags)")


BUG = "import rvdt_jax.tasks as tasks; tasks._REWARD_TRANSFORMS = {'none': (1,)}; tasks.get_task('maze2d-umaze-v1')"


@pytest.mark.parametrize("statement", [BUG, "{}['x']", "open('/nope/x')", "raise RuntimeError('x')"])
def test_a_bug_ends_in_a_traceback(statement):
    """Also one whose last frame is in the package: a bad unpacking is a ValueError, too."""
    result = ended_by(statement)
    assert result.returncode == 1
    assert "Traceback" in result.stderr


FULL = "Can not write data (No space left on device)"


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("from rvdt_jax.tasks import get_task; get_task('x')", "task: there is no task 'x'."),
        ("open('/dev/null/x')", "[Errno 20] Not a directory: '/dev/null/x'"),
        (f"raise OSError({FULL!r})", FULL),
    ],
)
def test_a_users_error_ends_in_one_line(statement, words):
    result = ended_by(statement)
    assert result.returncode == 2
    assert result.stderr.startswith(f"error: {words}")
    assert result.stderr.count("\n") == 1


def test_jaxs_own_variables_say_where_compiled_programs_are_kept(tmp_path, monkeypatch):
    code = "import launcher; launcher.keep_compiled_programs(); import jax; "
    code += "print(jax.config.jax_compilation_cache_dir, jax.config.jax_enable_compilation_cache)"
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", str(tmp_path / "elsewhere"))
    monkeypatch.setenv("JAX_ENABLE_COMPILATION_CACHE", "false")
    assert python("-c", code).stdout.split() == [str(tmp_path / "elsewhere"), "False"]


def test_ctrl_c_saves_and_resume_finishes_the_run(tmp_path):
    place = Place(tmp_path, tmp_path / "compiled")
    stop = {"signal": signal.SIGINT, "target": "rvdt_jax.runs.hooks:append_lines", "call": 5, "delay": 0.0}
    said = place.train(fault=stop, wanted=128 + signal.SIGINT)
    assert "continue with --resume" in said
    assert "Traceback" not in said
    assert not (place.run / "results.json").exists()
    place.train()
    check_whole(place)
    assert read_lines(place.run / "metrics.jsonl")[-1]["step"] == 40


def test_recreate_collects_and_refuses_to_replace_and_bad_input():
    flags = ["--task=maze2d-umaze-v1", "--steps=3000", "--seed=4"]
    first = launch("recreate.py", *flags)
    assert first.returncode == 0, first.stderr
    assert "recreated/maze2d-umaze-3000-steps-seed-4-v1: collected. It is recreated data" in first.stdout
    assert "collecting maze2d-umaze-v1" in first.stderr  # the progress bar
    assert "--overwrite" in refused("recreate.py", *flags)
    assert "--steps=0" in refused("recreate.py", "--task=maze2d-umaze-v1", "--steps=0")
    assert "only medium-replay" in refused("recreate.py", "--task=maze2d-umaze-v1", "--replay=buffer.npz")
    assert "no recipe" in refused("recreate.py", "--task=pen-human-v1")


@pytest.mark.skipif(importlib.util.find_spec("sbx") is not None, reason="what trains is installed here")
def test_what_trains_collectors_is_named_where_it_is_not_installed(tmp_path):
    assert "pip install 'rvdt-jax[recreate]'" in refused("train_collectors.py", "--robot=hopper", f"--out={tmp_path}")
    assert not list(tmp_path.iterdir())


def test_likeness_says_what_to_collect(tmp_path):
    assert "experiments/recreate.py --task=" in refused("likeness.py", f"--out={tmp_path / 'out'}")


def test_launchers_say_what_they_are_for():
    for script in sorted((ROOT / "experiments").glob("*.py")):
        if "app.run(" in script.read_text():  # the others are imported by these
            result = launch(script.name, "--help")
            assert script.read_text().split('"""')[1].split("\n")[0] in result.stdout
