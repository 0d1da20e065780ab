"""The speed table: rows by hand; and the peer keeps apart from JAX."""

import re

from benchmark.table import MISSING, speed_table
from launching import ROOT


def content(platform="cpu", **sections):
    machine = {"platform": platform, "device": "Box", "devices": 1, "cores": 2, "date": "2026-01-02T"}
    return {"machine": machine | {"versions": {"jax": "1.2.3", "torch": "4.5.6"}}, **sections}


def row(**changes):
    times = {"median": 12.5, "min": 12.0, "max": 13.0, "all": [12.0, 12.5, 13.0]}
    peer = {"compiled": False, "milliseconds_per_update": times | {"median": 50.0}, "ratio": times | {"median": 4.0}}
    return {
        **{"size": "demo", "variant": "RVDT", "dtype": "float32", "seeds": 1, "map_seeds": "loop"},
        **{"milliseconds_per_update": times, "updates_per_second": 80.0, "tokens_per_second": 307_200.0},
        **{"executed_flops_per_second": 76e9, "share_of_peak": 0.61, "program_bytes": 2**20},
        **{"trace_seconds": 1.0, "compile_seconds": 6.0, "cores_busy_with_other_work": 0.0},
        "peers": {"public": peer, "strong": {"failed": "ImportError"}},
    } | changes


def test_a_row():
    peak = {"float32": {"jax": {"best": 125e9}, "torch": None}}
    table = speed_table([content(updates={"x": row()}, matmul_peak=peak)])
    assert "Box, 2 cores, 2026-01-02: JAX 1.2.3, PyTorch 4.5.6; matmul peak, GFLOP/s: float32 125." in table
    ours = "Box, 2 cores | demo | RVDT | float32 | 1 | 12.5 | 80 | 307,200 | 76 | 61 % | 7.62 ms, 1.6 x | 1 MiB | 7 s"
    assert f"| {ours} | 50 ms, **4.00 x** | {MISSING} |" in table


def test_what_was_not_measured_is_said():
    table = speed_table([content(updates={"demo/RVDT/float32/1 seed": {"failed": "MemoryError: a | b"}})])
    assert f"| GPU | reference | RVDT | bfloat16 | 1 | {MISSING} |" in table
    assert "failed: MemoryError: a / b" in table
    assert "| GPU |" not in speed_table([content("gpu", updates={"x": row()})])
    busy = speed_table([content(updates={"x": row(cores_busy_with_other_work=0.5)})])
    assert "12.5 (busy machine)" in busy
    times = {"median": 12.5, "min": 10.0, "max": 13.0, "all": [10.0, 12.5, 13.0]}
    assert "| 12.5 (10 to 13) |" in speed_table([content(updates={"x": row(milliseconds_per_update=times)})])
    assert len({line.count("|") for line in busy.split("\n\n")[1].splitlines()}) == 1


def test_where_the_time_goes_and_how_loops_compare():
    speed = {"steps_per_second": {"median": 200.0}}
    mean = speed | {"ratio_to_loop": {"median": 41.2}, "ratio_to_loop_mean": {"median": 1.26}}
    evaluation = {"demo": {"mean": mean, "loop": {"steps_per_second": {"median": 5.0}}, "loop_mean": speed}}
    shares = {"by_operation": {"sums": 0.2, "products": 0.796, "x": 0.004}, "by_part": {}}
    table = speed_table([content(evaluation=evaluation, profile={"demo/RVDT/float32/1 seed": shares})])
    assert f"| Box, 2 cores | demo | 200 | 5, **41 x** | {MISSING} | 200, **1.3 x** |" in table
    assert f"| Box, 2 cores | demo RVDT float32 1 seed | products 80 %, sums 20 % | {MISSING} |" in table


def test_updates_on_transitions():
    times = {"median": 4.0, "min": 4.0, "max": 4.0, "all": [4.0]}
    peer = {"milliseconds_per_update": times | {"median": 18.0}, "ratio": times | {"median": 4.5}}
    row = {"milliseconds_per_update": times, "peer": peer, "seeds": 1, "dtype": "float32"}
    row["floor_milliseconds_per_update"] = 2.5
    row["five_seeds"] = {"map_seeds": "loop", "ratio": times | {"median": 4.9}}
    table = speed_table([content(transitions={"IQL": row, "TD3+BC": {"failed": "MemoryError"}})])
    assert "| Box, 2 cores | IQL | 4 | 2.5 ms | 18 ms, **4.50 x** | 4.90 x (loop) |" in table
    assert "| Box, 2 cores | TD3+BC | MemoryError |  |  |" in table


def test_what_our_layers_are_worth():
    times = {"ours": {"median": 11.5}, "plain": {"median": 20.25}}
    row = {"milliseconds_per_update": times, "ratio": {"median": 1.761}}
    table = speed_table([content(layers={"demo/RVDT/float32/1 seed": row})])
    assert "| Box, 2 cores | demo RVDT float32 1 seed | 11.5 | 20.25, **1.76 x** |" in table
    assert "flax" not in speed_table([content()])


def test_how_long_an_action_takes():
    times = {"milliseconds": {"median": 0.1855, "min": 0.1794, "max": 3.4}}
    row = {"action_selection": "mean", "run": times, "exported": times}
    table = speed_table([content(acting={"demo": row, "reference": {"failed": "MemoryError"}})])
    assert "| Box, 2 cores | demo | 0.19 ms (fastest 0.18) | 0.19 ms (fastest 0.18) |" in table
    assert "| Box, 2 cores | reference | MemoryError |  |" in table


def test_the_peer_imports_no_jax_and_we_no_torch():
    """The check of agreement has both."""
    both = {"agreement.py", "machine.py"}
    for path in [*(ROOT / "rvdt_jax").rglob("*.py"), *(ROOT / "experiments" / "benchmark").glob("*.py")]:
        foreign = "jax|jaxlib|flax|optax|chex" if path.name.startswith("peer") else "torch"
        found = re.search(rf"^\s*(import|from) ({foreign})\b", path.read_text(encoding="utf-8"), re.MULTILINE)
        assert path.name in both or not found, path
