"""The README's speed tables, out of the committed results; neither JAX nor PyTorch is loaded."""

from __future__ import annotations

import pathlib

from rvdt_jax.report.records import read_json
from rvdt_jax.report.render import markdown_table

MARKERS = ("<!-- speed table: make bench -->", "<!-- end of speed table -->")
MISSING = "not measured"
_REASON = 70  # characters of why a program was not compiled
UNSTEADY = 1.2  # turns that differ by more than this factor are told to the reader
BUSY_CORES = 0.2  # other work that kept more cores busy than this is told to the reader
_STYLES = ("public", "strong")
_UPDATES = (
    *("device", "size", "variant", "arithmetic", "seeds", "ms per update", "updates/s", "tokens/s", "GFLOP/s"),
    *("of JAX's peak", "matmul floor", "memory", "compilation", "PyTorch, public style", "PyTorch, tuned"),
)
_EVALUATION = (
    *("evaluation, steps/s", "size", "all episodes at once", "one at a time, 50 candidates"),
    *("PyTorch, one at a time, 50 candidates", "one at a time, one conditioning"),
)
_TRANSITIONS = (
    *("one update on transitions", "variant", "ms, one seed", "matmul floor", "PyTorch, public style"),
    "five seeds in one program, times one seed",
)
_ACTING = ("one call of act(), one episode", "size", "a run's policy", "exported")
_PROFILE = ("where an update's time goes", "row", "by operation", "by part")
_LAYERS = ("an update with flax's layers", "row", "ms, ours", "ms, flax's")
_COMPILED = (
    *("an update compiled, not run, for", "row", "kernels", "traffic without a cache", "matrix products", "memory"),
    "messages between devices",
)
_LOOPS = ("loop", "peer_loop", "loop_mean")
_STARTUP = ("start to first update", "what is started", "first start", "second start", "memory of the process")


def load_results(folder: pathlib.Path) -> list[dict]:
    """The results of every machine, from ``benchmark-*.json``, those of accelerators first.

    Raises:
        UserError: a file cannot be read.
    """
    found = [read_json(path) for path in sorted(folder.glob("benchmark-*.json"))]
    return sorted(found, key=lambda content: content["machine"]["platform"] == "cpu")


def speed_table(results: list[dict]) -> str:
    """Markdown: machines, updates, evaluation, acting, start; "not measured" where nothing is on record."""
    parts = [_machine_line(content) for content in results]
    rows = [row for content in results for row in _update_rows(content)]
    if all(content["machine"]["platform"] == "cpu" for content in results):
        rows.append(["GPU", "reference", "RVDT", "bfloat16", "1", *[MISSING] * (len(_UPDATES) - 5)])
    parts.append(markdown_table(_UPDATES, rows))
    transitions = [row for content in results for row in _transition_rows(content)]
    parts.append(markdown_table(_TRANSITIONS, transitions or [[MISSING] + [""] * 5]))
    evaluation = [row for content in results for row in _evaluation_rows(content)]
    parts.append(markdown_table(_EVALUATION, evaluation or [[MISSING] + [""] * 5]))
    acting = [row for content in results for row in _acting_rows(content)]
    parts.append(markdown_table(_ACTING, acting or [[MISSING] + [""] * 3]))
    startup = [row for content in results for row in _startup_rows(content)]
    parts.append(markdown_table(_STARTUP, startup or [[MISSING] + [""] * 4]))
    profile = [row for content in results for row in _profile_rows(content)]
    parts.append(markdown_table(_PROFILE, profile or [[MISSING] + [""] * 3]))
    layers = [row for content in results for row in _layer_rows(content)]
    parts += [markdown_table(_LAYERS, layers)] if layers else []
    compiled = [row for content in results for row in _compiled_rows(content)]
    parts += [markdown_table(_COMPILED, compiled)] if compiled else []
    return "\n\n".join(parts)


def _machine_line(content: dict) -> str:
    machine, peak = content["machine"], content.get("matmul_peak", {})
    versions = machine["versions"]
    torch = f"PyTorch {versions['torch']}" if versions.get("torch") else "no PyTorch"
    peaks = []
    for dtype, row in peak.items():
        if "jax" in row:
            theirs = f" (PyTorch {row['torch']['best'] / 1e9:,.0f})" if row["torch"] else ""
            peaks.append(f"{dtype} {row['jax']['best'] / 1e9:,.0f}{theirs}")
    measured = f"; matmul peak, GFLOP/s: {', '.join(peaks)}" if peaks else ""
    return f"{_device(machine)}, {machine['date'][:10]}: JAX {versions['jax']}, {torch}{measured}."


def _device(machine: dict) -> str:
    if machine["platform"] == "cpu":
        return f"{machine['device']}, {machine['cores']} cores"
    return machine["device"] if machine["devices"] == 1 else f"{machine['devices']} x {machine['device']}"


def _update_rows(content: dict) -> list[list[str]]:
    rows = []
    for name, row in content.get("updates", {}).items():
        if "failed" in row:
            size, variant, dtype, seeds = name.split("/")
            reason = row["failed"].replace("|", "/")
            cells = [_device(content["machine"]), size, variant, dtype, seeds, f"failed: {reason}"]
            rows.append(cells + [""] * (len(_UPDATES) - len(cells)))
            continue
        seeds = str(row["seeds"]) if row["seeds"] == 1 else f"{row['seeds']}, {row['map_seeds']}"
        busy = " (busy machine)" if (row.get("cores_busy_with_other_work") or 0.0) > BUSY_CORES else ""
        share, times = row["share_of_peak"], row["milliseconds_per_update"]
        rows.append(
            [_device(content["machine"]), row["size"], row["variant"], row["dtype"], seeds]
            + [
                f"{times['median']:,.4g}{_range(times, ',.4g')}{busy}",
                f"{row['updates_per_second']:,.4g}",
                f"{row['tokens_per_second']:,.0f}",
            ]
            + [f"{row['executed_flops_per_second'] / 1e9:,.0f}", MISSING if share is None else f"{100 * share:.0f} %"]
            + [MISSING if share is None else f"{share * times['median']:,.3g} ms, {1 / share:.1f} x"]
            + [_bytes(row["program_bytes"]), f"{row['compile_seconds'] + row['trace_seconds']:.0f} s"]
            + [_peer(row, style) for style in _STYLES]
        )
    return rows


def _peer(row: dict, style: str) -> str:
    """The peer's milliseconds and how many times ours they are."""
    peer = row["peers"].get(style)
    if peer is None:
        return "" if row["seeds"] > 1 or row["dtype"] != "float32" else MISSING
    if "ratio" not in peer:
        return MISSING
    eager = " (eager)" if style == "strong" and not peer["compiled"] else ""
    milliseconds, ratio = peer["milliseconds_per_update"]["median"], peer["ratio"]
    return f"{milliseconds:,.4g} ms{eager}, **{ratio['median']:.2f} x**{_range(ratio, '.2f')}"


def _range(values: dict, digits: str) -> str:
    """Smallest and largest of a summary, to stand behind its median, where turns differ by much."""
    if values["max"] <= UNSTEADY * values["min"]:
        return ""
    return f" ({values['min']:{digits}} to {values['max']:{digits}})"


def _transition_rows(content: dict) -> list[list[str]]:
    rows = []
    for variant, row in content.get("transitions", {}).items():
        cells = [row.get("failed", MISSING), "", "", ""]
        if "five_seeds" in row:
            five, times = row["five_seeds"], row["milliseconds_per_update"]
            peer = _peer(row | {"peers": {"public": row["peer"]}}, "public")
            floor = row.get("floor_milliseconds_per_update")
            cells = [f"{times['median']:,.4g}", f"{floor:.3g} ms" if floor else MISSING, peer]
            cells.append(f"{five['ratio']['median']:.2f} x ({five['map_seeds']})")
        rows.append([_device(content["machine"]), variant, *cells])
    return rows


def _evaluation_rows(content: dict) -> list[list[str]]:
    rows = []
    for size, row in content.get("evaluation", {}).items():
        if "mean" not in row:
            reason = row.get("not_measured", MISSING)
            rows.append([_device(content["machine"]), size, reason, *[MISSING] * len(_LOOPS)])
            continue
        ours = f"{row['mean']['steps_per_second']['median']:,.4g}"
        rows.append([_device(content["machine"]), size, ours, *(_loop(row, name) for name in _LOOPS)])
    return rows


def _loop(row: dict, name: str) -> str:
    """The speed of a loop, and how many times as fast all episodes at once are."""
    if name not in row:
        return MISSING
    ratio = row["mean"][f"ratio_to_{name}"]["median"]
    return f"{row[name]['steps_per_second']['median']:,.4g}, **{ratio:.{0 if ratio >= 10 else 1}f} x**"


def _acting_rows(content: dict) -> list[list[str]]:
    rows = []
    for size, row in content.get("acting", {}).items():
        cells = [row.get("failed", MISSING), ""]
        if "run" in row:
            times = [row[policy]["milliseconds"] for policy in ("run", "exported")]
            cells = [f"{each['median']:.2g} ms (fastest {each['min']:.2g})" for each in times]
        rows.append([_device(content["machine"]), size, *cells])
    return rows


def _startup_rows(content: dict) -> list[list[str]]:
    rows = []
    for name, row in content.get("startup", {}).items():
        cells = [row.get("failed", MISSING), "", "", ""]
        if "first" in row:
            cells = [f"{row[start]['seconds_to_first_update']:.1f} s" for start in ("first", "second")]
            memory = [row[start]["peak_rss_bytes"] for start in ("first", "second")]
            cells.append(MISSING if None in memory else _bytes(max(memory)))
        rows.append([_device(content["machine"]), name, *cells])
    return rows


def _profile_rows(content: dict) -> list[list[str]]:
    rows = []
    for name, row in content.get("profile", {}).items():
        cells = [_shares(row.get(kind, {})) or row.get("failed", MISSING) for kind in ("by_operation", "by_part")]
        if "launch_gaps" in row:
            cells[0] += f"; nothing runs in {100 * row['launch_gaps']:.0f} % of a call"
        rows.append([_device(content["machine"]), name.replace("/", " "), *cells])
    return rows


def _layer_rows(content: dict) -> list[list[str]]:
    rows = []
    for name, row in content.get("layers", {}).items():
        cells = [row.get("failed", MISSING), ""]
        if "ratio" in row:
            ours, plain = (f"{row['milliseconds_per_update'][which]['median']:,.4g}" for which in ("ours", "plain"))
            cells = [ours, f"{plain}, **{row['ratio']['median']:.2f} x**"]
        rows.append([_device(content["machine"]), name.replace("/", " "), *cells])
    return rows


def _compiled_rows(content: dict) -> list[list[str]]:
    rows = []
    for name, row in content.get("compiled", {}).items():
        if "failed" in row:
            reason = row["failed"].replace("|", "/")
            rows.append([MISSING, name.replace("/", " "), f"failed: {reason[:_REASON]}", *[""] * 4])
            continue
        card = row["card"] if row["devices"] == 1 else f"{row['devices']} x {row['card']}"
        least, messages = row["milliseconds"], len(row["messages"]) or ""
        traffic = f"{row['bytes'] / 1e9:.2f} GB: {least['traffic']:.2f} ms"
        products = f"{row['flops'] / 1e12:.3f} TFLOP: {least['products']:.2f} ms"
        cells = [str(row["kernels"]), traffic, products, _bytes(row["program_bytes"]), str(messages)]
        rows.append([card, name.replace("/", " "), *cells])
    return rows


def _shares(parts: dict[str, float]) -> str:
    """The largest first; what takes less than a hundredth is left out."""
    ordered = sorted(parts.items(), key=lambda item: -item[1])
    return ", ".join(f"{name} {100 * share:.0f} %" for name, share in ordered if share >= 0.01)


def _bytes(count: float) -> str:
    return f"{count / 2**30:.1f} GiB" if count >= 2**30 else f"{count / 2**20:.0f} MiB"
