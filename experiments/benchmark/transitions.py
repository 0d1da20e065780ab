"""Updates of the algorithms on single transitions: ours as users run it, beside PyTorch, and five seeds beside one."""

from __future__ import annotations

import contextlib
import dataclasses

from benchmark.flop_count import update_flops
from benchmark.peer_process import PeerProcess
from benchmark.timing import ratios, summarise, take_turns
from benchmark.updates import Case, Data, compile_ours
from rvdt_jax.config.settings import Config
from rvdt_jax.errors import first_line

VARIANTS = ("TD3+BC", "IQL")
SEVERAL, TURNS = 5, 3  # seeds in one program, and turns of each contestant
_UPDATES = {"ours": 100, "five": 20, "peer": 50}  # of a call


def measure_transitions(config: Config, data: Data, map_seeds: str, peak_flops: float | None) -> dict:
    """One seed, the public style's one seed, and five seeds in one program, in turns.

    Args:
        config: settings of one of ``VARIANTS``, of one seed.
        data: what is trained on.
        map_seeds: how several seeds share the program, ``vmap`` or ``loop``.
        peak_flops: the measured matmul peak in float32, FLOP/s; None where it was not measured.
    """
    one = Case("mlp", config, 1, map_seeds, _UPDATES["ours"], TURNS)
    several = dataclasses.replace(one, seeds=SEVERAL, updates=_UPDATES["five"])
    (_, call, facts), (_, five, _) = compile_ours(one, data), compile_ours(several, data)
    contestants, notes = {"ours": call, "five": five}, {}
    with contextlib.ExitStack() as processes:
        try:
            peer = PeerProcess(config, data.episodes, data.experts, data.sizes, "public", _UPDATES["peer"])
            contestants["peer"], notes = processes.enter_context(contextlib.closing(peer)), peer.notes
        except RuntimeError as error:  # no PyTorch: the rest of the row stands without it
            notes = {"failed": first_line(error)}
        seconds = take_turns(contestants, TURNS)
    per_update = {name: [value / _UPDATES[name] for value in turns] for name, turns in seconds.items()}
    row = {
        "variant": config.variant,
        "seeds": 1,
        "dtype": config.model.dtype,
        "width": config.model.critic_width,
        "batch_size": config.train.batch_size,
    }
    flops = update_flops(config, data)
    row |= facts | {
        "milliseconds_per_update": _milliseconds(per_update["ours"]),
        "flops_per_update": flops,
        "floor_milliseconds_per_update": 1000 * flops / peak_flops if peak_flops else None,
    }
    row["five_seeds"] = {
        "map_seeds": map_seeds,
        "milliseconds_per_update": _milliseconds(per_update["five"]),
        "ratio": ratios(per_update["ours"], per_update["five"]),  # 5: no slower than five runs one after the other
    }
    if "peer" in per_update:
        notes |= {
            "milliseconds_per_update": _milliseconds(per_update["peer"]),
            "ratio": ratios(per_update["ours"], per_update["peer"]),
        }
    return row | {"peer": notes}


def _milliseconds(seconds: list[float]) -> dict:
    return summarise([1000 * value for value in seconds])
