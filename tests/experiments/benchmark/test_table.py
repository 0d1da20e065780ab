"""The speed table: what the committed records, which ``reporting/test_sections.py`` checks, do not hold."""

import re

import pytest
from benchmark.table import MISSING, load_results, speed_table
from launching import ROOT

GONE = {"failed": "MemoryError: a | b"}


@pytest.fixture
def committed():
    """The results of one machine on record."""
    return next(each for each in load_results(ROOT / "experiments" / "results") if "updates" in each)


def test_other_work_is_said_and_what_a_gpu_has_measured_is_not_missing(committed):
    busy = {name: row | {"cores_busy_with_other_work": 0.5} for name, row in committed["updates"].items()}
    assert "(busy machine)" in speed_table([committed | {"updates": busy}])
    assert "(busy machine)" not in speed_table([committed])
    assert "| GPU |" not in speed_table([committed | {"machine": committed["machine"] | {"platform": "gpu"}}])


def test_what_failed_or_was_not_measured_is_said(committed):
    speed = {"steps_per_second": {"median": 200.0}}
    row = next(row for row in committed["updates"].values() if "ratio" in row["peers"].get("strong", {}))
    row = row | {"variant": "X", "peers": row["peers"] | {"strong": {"failed": "ImportError"}}}
    sections = {"updates": {"demo/RVDT/float32/1 seed": GONE, "demo/X": row}, "evaluation": {"demo": {"mean": speed}}}
    sections |= {"transitions": {"TD3+BC": GONE}, "acting": {"reference": GONE}}
    table = speed_table([{"machine": committed["machine"], **sections}])
    assert "failed: MemoryError: a / b" in table
    assert re.search(rf"\| X \|.* x\*\*[^|]* \| {MISSING} \|$", table, re.MULTILINE)  # one of both peers
    assert f"| demo | 200 | {MISSING} | {MISSING} | {MISSING} |" in table
    assert re.search(r"\| TD3\+BC \| MemoryError.* \|  \|  \|", table)
    assert re.search(r"\| reference \| MemoryError.* \|  \|", table)
    assert "flax" not in table


def test_a_ratio_that_differs_from_turn_to_turn_has_its_range(committed):
    row = next(row for row in committed["updates"].values() if "ratio" in row["peers"].get("strong", {}))
    for ratio, words in (((1.2, 1.3, 1.9), "**1.30 x** (1.20 to 1.90)"), ((1.2, 1.3, 1.4), "**1.30 x** |")):
        strong = row["peers"]["strong"] | {"ratio": dict(zip(("min", "median", "max"), ratio, strict=True))}
        changed = row | {"peers": row["peers"] | {"strong": strong}}
        assert words in speed_table([committed | {"updates": {"demo/X": changed}}])


def test_what_our_layers_are_worth(committed):
    times = {"ours": {"median": 11.5}, "plain": {"median": 20.25}}
    row = {"milliseconds_per_update": times, "ratio": {"median": 1.761}}
    table = speed_table([committed | {"layers": {"demo/RVDT/float32/1 seed": row}}])
    assert "| demo RVDT float32 1 seed | 11.5 | 20.25, **1.76 x** |" in table


def test_the_peer_imports_no_jax_and_we_no_torch():
    """The check of agreement has both."""
    both = {"agreement.py", "machine.py"}
    for path in [*(ROOT / "rvdt_jax").rglob("*.py"), *(ROOT / "experiments" / "benchmark").glob("*.py")]:
        foreign = "jax|jaxlib|flax|optax|chex" if path.name.startswith("peer") else "torch"
        found = re.search(rf"^\s*(import|from) ({foreign})\b", path.read_text(encoding="utf-8"), re.MULTILINE)
        assert path.name in both or not found, path
