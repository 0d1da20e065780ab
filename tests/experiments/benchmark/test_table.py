"""The speed table: what the committed records do not hold (``reporting/test_sections.py`` has them all); and the peer
keeps apart from JAX."""

import re

from benchmark.table import MISSING, speed_table
from launching import ROOT

GONE = {"failed": "MemoryError: a | b"}


def content(platform="cpu", **sections):
    machine = {"platform": platform, "device": "Box", "devices": 1, "cores": 2, "date": "2026-01-02T"}
    return {"machine": machine | {"versions": {"jax": "1.2.3", "torch": "4.5.6"}}, **sections}


def test_a_row_beside_other_work_by_hand():
    times = {"median": 12.5, "min": 12.0, "max": 13.0, "all": [12.0, 12.5, 13.0]}
    peer = {"compiled": False, "milliseconds_per_update": times | {"median": 50.0}, "ratio": times | {"median": 4.0}}
    row = {
        **{"size": "demo", "variant": "RVDT", "dtype": "float32", "seeds": 1, "map_seeds": "loop"},
        **{"milliseconds_per_update": times, "updates_per_second": 80.0, "tokens_per_second": 307_200.0},
        **{"executed_flops_per_second": 76e9, "share_of_peak": 0.61, "program_bytes": 2**20},
        **{"trace_seconds": 1.0, "compile_seconds": 6.0, "cores_busy_with_other_work": 0.5},
        "peers": {"public": peer, "strong": GONE},
    }
    peak = {"float32": {"jax": {"best": 125e9}, "torch": None}}
    table = speed_table([content(updates={"x": row}, matmul_peak=peak)])
    assert "Box, 2 cores, 2026-01-02: JAX 1.2.3, PyTorch 4.5.6; matmul peak, GFLOP/s: float32 125." in table
    ours = "Box, 2 cores | demo | RVDT | float32 | 1 | 12.5 (busy machine) | 80 | 307,200 | 76 | 61 % | 7.62 ms, 1.6 x"
    assert f"| {ours} | 1 MiB | 7 s | 50 ms, **4.00 x** | {MISSING} |" in table
    assert len({line.count("|") for line in table.split("\n\n")[1].splitlines()}) == 1
    assert "| GPU |" not in speed_table([content("gpu", updates={"x": row})])


def test_what_failed_or_was_not_measured_is_said():
    speed = {"steps_per_second": {"median": 200.0}}
    sections = {"updates": {"demo/RVDT/float32/1 seed": GONE}, "evaluation": {"demo": {"mean": speed}}}
    table = speed_table([content(**sections, transitions={"TD3+BC": GONE}, acting={"reference": GONE})])
    assert "failed: MemoryError: a / b" in table
    assert f"| Box, 2 cores | demo | 200 | {MISSING} | {MISSING} | {MISSING} |" in table
    assert re.search(r"\| TD3\+BC \| MemoryError.* \|  \|  \|", table)
    assert re.search(r"\| reference \| MemoryError.* \|  \|", table)
    assert "flax" not in table


def test_what_our_layers_are_worth():
    times = {"ours": {"median": 11.5}, "plain": {"median": 20.25}}
    row = {"milliseconds_per_update": times, "ratio": {"median": 1.761}}
    table = speed_table([content(layers={"demo/RVDT/float32/1 seed": row})])
    assert "| Box, 2 cores | demo RVDT float32 1 seed | 11.5 | 20.25, **1.76 x** |" in table


def test_the_peer_imports_no_jax_and_we_no_torch():
    """The check of agreement has both."""
    both = {"agreement.py", "machine.py"}
    for path in [*(ROOT / "rvdt_jax").rglob("*.py"), *(ROOT / "experiments" / "benchmark").glob("*.py")]:
        foreign = "jax|jaxlib|flax|optax|chex" if path.name.startswith("peer") else "torch"
        found = re.search(rf"^\s*(import|from) ({foreign})\b", path.read_text(encoding="utf-8"), re.MULTILINE)
        assert path.name in both or not found, path
