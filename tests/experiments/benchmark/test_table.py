"""The README's speed table is that of the committed results, and neither JAX nor PyTorch is needed to make it."""

import ast
import pathlib
import subprocess
import sys

from benchmark.table import MARKERS, MISSING, load_results, speed_table
from reporting.sections import section_of

ROOT = pathlib.Path(__file__).resolve().parents[3]
RESULTS = ROOT / "experiments" / "results"


def content(platform="cpu", **sections):
    versions = {"jax": "1.2.3", "torch": "4.5.6"}
    machine = {
        "platform": platform,
        "device": "Box",
        "devices": 1,
        "cores": 2,
        "date": "2026-01-02T",
        "versions": versions,
    }
    return {"machine": machine, **sections}


def row(**changes):
    times = {"median": 12.5, "min": 12.0, "max": 13.0, "all": [12.0, 12.5, 13.0]}
    peer = {"compiled": False, "milliseconds_per_update": times | {"median": 50.0}, "ratio": times | {"median": 4.0}}
    return {
        "size": "demo",
        "variant": "RVDT",
        "dtype": "float32",
        "seeds": 1,
        "map_seeds": "loop",
        "milliseconds_per_update": times,
        "updates_per_second": 80.0,
        "tokens_per_second": 307_200.0,
        "executed_flops_per_second": 76e9,
        "share_of_peak": 0.61,
        "program_bytes": 2**20,
        "trace_seconds": 1.0,
        "compile_seconds": 6.0,
        "cores_busy_with_other_work": 0.0,
        "peers": {"public": peer, "strong": {"failed": "ImportError"}},
    } | changes


def test_the_readme_has_the_table_of_the_committed_results():
    section = section_of((RESULTS / "README.md").read_text(encoding="utf-8"), MARKERS)
    assert section is not None, f"experiments/results/README.md has no lines {MARKERS}"
    assert section == speed_table(load_results(RESULTS))


def test_a_row():
    peak = {"float32": {"jax": {"best": 125e9}, "torch": None}}
    table = speed_table([content(updates={"x": row()}, matmul_peak=peak)])
    assert "Box, 2 cores, 2026-01-02: JAX 1.2.3, PyTorch 4.5.6; matmul peak, GFLOP/s: float32 125." in table
    cells = (
        "Box, 2 cores | demo | RVDT | float32 | 1 | 12.5 | 80 | 307,200 | 76 | 61 % | 1 MiB | 7 s | 50 ms, **4.00 x**"
    )
    assert f"| {cells} | {MISSING} |" in table


def test_what_was_not_measured_is_said():
    table = speed_table([content(updates={"demo/RVDT/float32/1 seed": {"failed": "MemoryError: a | b"}})])
    assert f"| GPU | reference | RVDT | bfloat16 | 1 | {MISSING} |" in table
    assert "failed: MemoryError: a / b" in table
    assert "| GPU |" not in speed_table([content("gpu", updates={"x": row()})])
    busy = speed_table([content(updates={"x": row(cores_busy_with_other_work=0.5)})])
    assert "12.5 (busy machine)" in busy
    times = {"median": 12.5, "min": 10.0, "max": 13.0, "all": [10.0, 12.5, 13.0]}
    assert "| 12.5 (10 to 13) |" in speed_table([content(updates={"x": row(milliseconds_per_update=times)})])
    widths = {line.count("|") for line in busy.split("\n\n")[1].splitlines()}
    assert len(widths) == 1


def test_where_the_time_goes_and_how_loops_compare():
    speed = {"steps_per_second": {"median": 200.0}}
    mean = speed | {"ratio_to_loop": {"median": 41.2}, "ratio_to_loop_mean": {"median": 1.26}}
    evaluation = {"demo": {"mean": mean, "loop": {"steps_per_second": {"median": 5.0}}, "loop_mean": speed}}
    profile = {
        "demo/RVDT/float32/1 seed": {"by_operation": {"sums": 0.2, "products": 0.796, "x": 0.004}, "by_part": {}}
    }
    table = speed_table([content(evaluation=evaluation, profile=profile)])
    assert f"| Box, 2 cores | demo | 200 | 5, **41 x** | {MISSING} | 200, **1.3 x** |" in table
    assert f"| Box, 2 cores | demo RVDT float32 1 seed | products 80 %, sums 20 % | {MISSING} |" in table


def test_the_launcher_prints_it_without_jax_and_torch(tmp_path):
    blocker = "import sys\nfor name in ('jax', 'jaxlib', 'flax', 'torch'):\n    sys.modules[name] = None\n"
    (tmp_path / "sitecustomize.py").write_text(blocker)
    command = [sys.executable, str(ROOT / "experiments" / "benchmark.py"), "--table"]
    path = f"{tmp_path}:{ROOT}"
    result = subprocess.run(command, env={"PYTHONPATH": path}, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() == speed_table(load_results(RESULTS))


def imported(path: pathlib.Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add((node.module or "").split(".")[0])
    return found


def test_torch_and_jax_keep_apart():
    """PyTorch is imported in the benchmark's peer alone, which imports no JAX; the check of agreement has both."""
    jax = {"jax", "jaxlib", "flax", "optax", "chex"}
    for path in (ROOT / "rvdt_jax").rglob("*.py"):
        names, place = imported(path), path.relative_to(ROOT / "rvdt_jax").as_posix()
        if place.startswith("benchmark/peer"):
            assert not names & jax, place
        elif place not in ("benchmark/agreement.py", "benchmark/machine.py"):
            assert "torch" not in names, place
