"""The cost of an update: ours as users run it, ``train_chunk``, against the peer's in the same turns."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from benchmark.flops import executed_flops, model_flops, sizes_of
from benchmark.peer_process import PeerProcess
from benchmark.timing import ratios, summarise, take_turns
from rvdt_jax.algorithms.base import get_algorithm
from rvdt_jax.config.settings import Config
from rvdt_jax.data.episodes import Episodes
from rvdt_jax.data.rebalance import select_experts
from rvdt_jax.data.store import make_normalizer, make_store
from rvdt_jax.errors import first_line
from rvdt_jax.train.driver import init_states, train_chunk
from rvdt_jax.types import Store


@dataclasses.dataclass(frozen=True)
class Case:
    """One row of the benchmark.

    Attributes:
        size: name of the settings, ``reference`` or ``demo``.
        config: those settings, with variant and dtype.
        seeds: how many train together.
        map_seeds: ``vmap`` or ``loop``; see ``train_chunk``.
        updates: of one compiled call.
        repeats: timed calls.
        peers: names of the peer's styles that take turns with us.
        peer_updates: of one of the peer's turns.
    """

    size: str
    config: Config
    seeds: int
    map_seeds: str
    updates: int
    repeats: int
    peers: tuple[str, ...] = ()
    peer_updates: int = 0

    @property
    def name(self) -> str:
        """What the row is called, e.g. ``demo/RVDT/float32/3 seeds, vmap``."""
        seeds = "1 seed" if self.seeds == 1 else f"{self.seeds} seeds, {self.map_seeds}"
        return f"{self.size}/{self.config.variant}/{self.config.model.dtype}/{seeds}"

    def describe(self) -> dict:
        """The row's settings, for the record."""
        config = self.config
        return {
            "size": self.size,
            "variant": config.variant,
            "dtype": config.model.dtype,
            "seeds": self.seeds,
            "map_seeds": self.map_seeds,
            "updates_per_call": self.updates,
            "width": config.model.width,
            "layers": config.model.layers,
            "heads": config.model.heads,
            "context_length": config.model.context_length,
            "batch_size": config.train.batch_size,
            "dropout": config.model.dropout,
        }


@dataclasses.dataclass(frozen=True)
class Data:
    """What every contestant trains on."""

    episodes: Episodes
    experts: np.ndarray  # (E,) bool

    @classmethod
    def of(cls, episodes: Episodes) -> Data:
        """With a tenth of the episodes as experts."""
        return cls(episodes, select_experts(episodes.returns, episodes.lengths).mask)

    @property
    def sizes(self) -> tuple[int, int, int]:
        """S, A and the steps of the longest episode."""
        shapes = self.episodes.observations.shape[1], self.episodes.actions.shape[1]
        return (*shapes, int(self.episodes.lengths.max()))

    def store(self, config: Config) -> Store:
        """On JAX's device."""
        experts = select_experts(self.episodes.returns, self.episodes.lengths)
        scale = config.policy.return_scale
        return make_store(self.episodes, experts, make_normalizer(self.episodes), return_scale=scale)


def measure_case(case: Case, data: Data, peak_flops: float | None, say: Callable[[str], None] = print) -> dict:
    """Times one row.

    Args:
        case: the row.
        data: what is trained on.
        peak_flops: the measured matmul peak for the row's dtype, FLOP/s; None where it was not measured.
        say: receives progress, a line at a time.

    Returns:
        The row's record; see ``experiments/results``.
    """
    _, call, facts = compile_ours(case, data)
    contestants, notes = {"ours": call}, {}
    with contextlib.ExitStack() as processes:
        for style in case.peers:
            try:
                peer = PeerProcess(case.config, data.episodes, data.experts, data.sizes, style, case.peer_updates)
                contestants[style], notes[style] = processes.enter_context(contextlib.closing(peer)), peer.notes
            except RuntimeError as error:  # of torch.compile almost anything; the rest of the row stands without it
                notes[style] = {"failed": first_line(error)}
                say(f"  {style}: {notes[style]['failed']}")
        seconds = take_turns(contestants, case.repeats)
    ours = [value / case.updates for value in seconds.pop("ours")]
    record = case.describe() | facts | _speed(case, ours, peak_flops)
    for style, values in seconds.items():
        theirs = [value / case.peer_updates for value in values]
        notes[style] |= {
            "updates_per_turn": case.peer_updates,
            "milliseconds_per_update": summarise([1000 * value for value in theirs]),
            # One seed at a time: several seeds take it several times as long.
            "ratio": ratios(ours, [value * case.seeds for value in theirs]),
            "ratio_of_fastest_turns": round(min(theirs) * case.seeds / min(ours), 3),
        }
    return record | {"peers": notes}


def measure_layers(case: Case, data: Data) -> dict:
    """Times the row with our layers and with flax's, which take every token through every block, in turns."""
    calls = {name: compile_ours(case, data, plain=name == "plain")[1] for name in ("ours", "plain")}
    turns = take_turns(calls, case.repeats)
    seconds = {name: [value / case.updates for value in values] for name, values in turns.items()}
    times = {name: summarise([1000 * value for value in values]) for name, values in seconds.items()}
    return case.describe() | {"milliseconds_per_update": times, "ratio": ratios(seconds["ours"], seconds["plain"])}


def compile_ours(
    case: Case, data: Data, plain: bool = False, options: dict | None = None
) -> tuple[jax.stages.Compiled, Callable[[], None], dict]:
    """Compiles ``train_chunk`` for the row; ``plain``: with flax's layers; ``options``: of XLA's, for this program.

    Returns:
        The compiled program; a call of it, which goes on where the one before it stopped and waits for the device; and
        what compiling cost: seconds, and bytes on the device while the program runs, data and states included.
    """
    algorithm = get_algorithm(case.config.variant)
    store, coefficients = data.store(case.config), algorithm.make_coefficients(case.config)
    spec = algorithm.make_spec(case.config, *data.sizes)
    if plain:
        modules = {name: getattr(spec, name).clone(plain=True) for name in ("policy", "critic")}
        spec = dataclasses.replace(spec, **modules)
    states = init_states(jnp.arange(case.seeds, dtype=jnp.int32), algorithm, spec)
    static = {"algorithm": algorithm, "spec": spec, "updates": case.updates, "map_seeds": case.map_seeds}
    begun = time.perf_counter()
    lowered = train_chunk.lower(states, store, coefficients, **static)
    traced = time.perf_counter()
    compiled = lowered.compile(compiler_options=options)
    done = time.perf_counter()

    def call() -> None:
        nonlocal states
        states, metrics = compiled(states, store, coefficients)
        jax.block_until_ready(metrics)

    facts = {"trace_seconds": round(traced - begun, 2), "compile_seconds": round(done - traced, 2)}
    return compiled, call, facts | {"program_bytes": program_bytes(compiled)}


def program_bytes(compiled: jax.stages.Compiled) -> int:
    """Bytes on a device while the program runs, what it is given and returns included."""
    memory = compiled.memory_analysis()
    sizes = ("argument_size_in_bytes", "output_size_in_bytes", "temp_size_in_bytes")
    return sum(getattr(memory, name) for name in sizes) - memory.alias_size_in_bytes


def _speed(case: Case, seconds: list[float], peak_flops: float | None) -> dict:
    """Seconds per update of all seeds, as the figures of the table."""
    sizes = sizes_of(case.config)
    needed, executed = (flops(sizes) * case.seeds for flops in (model_flops, executed_flops))
    median = summarise(seconds)["median"]
    tokens = case.seeds * case.config.train.batch_size * case.config.model.context_length * 3
    return {
        "milliseconds_per_update": summarise([1000 * value for value in seconds]),
        "updates_per_second": case.seeds / median,
        "tokens_per_second": tokens / median,
        "model_flops_per_update": needed,
        "executed_flops_per_update": executed,
        "executed_flops_per_second": executed / median,
        "floor_milliseconds_per_update": 1000 * executed / peak_flops if peak_flops else None,
        "share_of_peak": executed / median / peak_flops if peak_flops else None,
    }
