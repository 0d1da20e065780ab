"""What settings of XLA and of the update are worth on a GPU: one row with each on and off, in processes of its own."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import json
import os
import pathlib
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from unittest import mock

import flax.linen as nn
import jax
import jax.flatten_util
import jax.numpy as jnp
import numpy as np
import optax
from configs import maze2d

from benchmark.data import make_episodes
from benchmark.machine import describe_machine, identity
from benchmark.plan import make_config
from benchmark.results import Results
from benchmark.timing import summarise, take_turns
from benchmark.updates import Case, Data, compile_ours
from rvdt_jax.algorithms import base, sequence
from rvdt_jax.config.settings import Config
from rvdt_jax.models import transformer
from rvdt_jax.models.layers import dense

# Name -> XLA_FLAGS or a change of the update (a key of CHANGES), on and off.
SETTINGS = {
    "latency-hiding scheduler": [f"--xla_gpu_enable_latency_hiding_scheduler={on}" for on in ("true", "false")],
    "command buffers": ["", "--xla_gpu_enable_command_buffer="],
    "autotuning": ["", "--xla_gpu_autotune_level=0"],
    "scan unrolled by 4": ["unroll", ""],
    "cuDNN attention": ["cudnn", "xla"],
    "one product for query, key and value": ["one product", "xla"],
    "the optimiser on one vector": ["one vector", ""],
    "ReLU's gradient from its output": ["relu", ""],
    "one seed not mapped": ["loop", ""],
}


def attention(how: str) -> type:
    """Causal attention by ``jax.nn.dot_product_attention``, without dropout of its weights.

    Args:
        how: ``cudnn`` or ``xla``, its implementation; ``one product`` is ``xla`` with query, key and value from one
            product where every token is read.
    """

    class Attention(transformer.CausalSelfAttention):
        @nn.compact
        def __call__(self, x, read, drop, site):
            width, length = x.shape[-1], x.shape[1]
            if how == "one product" and read is None:
                projected = jnp.split(dense(3 * width, self.dtype, "all")(x), 3, axis=-1)
            else:
                inputs = {"query": transformer.take_tokens(x, read), "key": x, "value": x}
                projected = [dense(width, self.dtype, name)(each) for name, each in inputs.items()]
            heads = [each.reshape(*each.shape[:2], self.heads, -1) for each in projected]  # (B, tokens, heads, D)
            mask = None
            if read is not None:
                mask = jnp.arange(length) <= jnp.asarray(read)[..., None]  # (R, L) or (B, R, L)
                mask = (mask if mask.ndim == 3 else mask[None])[:, None]
            if how == "cudnn":
                heads, mask = _even(heads, mask)
            implementation = "cudnn" if how == "cudnn" else "xla"
            options = {"mask": mask, "is_causal": read is None, "implementation": implementation}
            mixed = jax.nn.dot_product_attention(*heads, **options)[:, : length if read is None else np.shape(read)[-1]]
            return dense(width, self.dtype, "output")(mixed.reshape(*mixed.shape[:2], width))

    return Attention


def _even(heads: list[jax.Array], mask: jax.Array | None) -> tuple[list[jax.Array], jax.Array | None]:
    """Queries, keys and values of even lengths, which JAX asks for where cuDNN is differentiated.

    A token more where the number is odd: no query reads the key, and the query's result is to be cut off.
    """
    odd = [each.shape[1] % 2 for each in heads]
    heads = [jnp.pad(each, ((0, 0), (0, extra), (0, 0), (0, 0))) for each, extra in zip(heads, odd, strict=True)]
    if mask is None:  # causal: the token more comes last
        return heads, None
    # Of every window and head, else JAX cannot map it over seeds.
    mask = jnp.broadcast_to(mask, (heads[0].shape[0], heads[0].shape[2], *mask.shape[2:]))
    mask = jnp.pad(mask, ((0, 0), (0, 0), (0, 0), (0, odd[1])))
    return heads, jnp.pad(mask, ((0, 0), (0, 0), (0, odd[0]), (0, 0)), constant_values=True)


def on_one_vector() -> list[tuple]:
    """Has Adam, clipping and the norm of the gradient work on one vector of all parameters, and not array by array."""
    plain = base.make_optimizer

    def make_optimizer(*arguments, **options) -> optax.GradientTransformation:
        return optax.flatten(plain(*arguments, **options))

    def norm(tree) -> jax.Array:
        return jnp.linalg.norm(jax.flatten_util.ravel_pytree(tree)[0])

    return [(module, "make_optimizer", make_optimizer) for module in (base, sequence)] + [(optax.tree, "norm", norm)]


@jax.custom_vjp
def relu(x: jax.Array) -> jax.Array:
    """ReLU whose gradient needs the output alone, so that the product before it can end with it."""
    return jnp.maximum(x, 0)


def _relu_forward(x: jax.Array) -> tuple[jax.Array, jax.Array]:
    y = jax.lax.optimization_barrier(jnp.maximum(x, 0))  # else XLA goes back to the sign of x
    return y, y


relu.defvjp(_relu_forward, lambda y, upstream: (jnp.where(y > 0, upstream, 0),))

# Name -> what is put where, as (module, attribute, value).
CHANGES: dict[str, Callable[[], list[tuple]]] = {
    "one vector": on_one_vector,
    "relu": lambda: [(transformer.nn, "relu", relu)],
    "unroll": lambda: [(jax.lax, "scan", functools.partial(jax.lax.scan, unroll=4))],
    "loop": list,  # one seed is not mapped: ``case_with`` makes it
    **{
        how: lambda how=how: [(transformer, "CausalSelfAttention", attention(how))]
        for how in ("cudnn", "xla", "one product")
    },
}


@contextlib.contextmanager
def changed(name: str) -> Iterator[None]:
    """Makes a change of the update ("" for none); programs traced before or with it are forgotten."""
    with contextlib.ExitStack() as stack:
        for place in CHANGES.get(name, list)():
            stack.enter_context(mock.patch.object(*place))
        jax.clear_caches()
        yield
    jax.clear_caches()


def case_with(name: str, case: Case) -> Case:
    """The row as it is compiled with a change."""
    return dataclasses.replace(case, map_seeds="loop") if name == "loop" else case


def measure_settings(folder: pathlib.Path, out: str | None) -> int:
    """Measures every setting on this machine's GPU, and writes each into ``xla-<device>.json`` as it comes."""
    os.environ["XLA_PYTHON_CLIENT_PREALLOCATE"] = "false"  # this process leaves the memory to the others
    if jax.default_backend() != "gpu":
        print("There is no GPU here, so there is nothing to measure: these are settings of XLA's compiler for GPUs.")
        return 0
    machine = describe_machine()
    name = re.sub(r"[^a-z0-9]+", "-", machine["device"].lower()).strip("-")
    results = Results(pathlib.Path(out or folder / f"xla-{name}.json"), machine, identity)
    for name, ways in SETTINGS.items():
        row = results.measure("xla", name, functools.partial(compare, *ways))
        print(f"  with it an update takes {row.get('ratio', 'failed')} times as long")
    results.finish()
    return 0


def compare(on: str, off: str) -> dict:
    """Milliseconds per update of both ways, and the ratio of on to off."""
    ways = {name: _in_a_process(way) for name, way in (("on", on), ("off", off))}
    ratio = ways["on"]["milliseconds_per_update"]["median"] / ways["off"]["milliseconds_per_update"]["median"]
    return {**ways, "ratio": round(ratio, 4)}


@functools.cache  # what several settings are compared with is measured once
def _in_a_process(way: str) -> dict:
    change = way if way in CHANGES else ""
    added = {"XLA_FLAGS": f"{os.environ.get('XLA_FLAGS', '')} {'' if change else way}".strip()}
    added |= {"JAX_ENABLE_COMPILATION_CACHE": "false", "PYTHONPATH": os.pathsep.join(sys.path)}
    code = f"from benchmark.xla import main; main({change!r})"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=os.environ | added, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{way or 'the default'}: {(done.stderr.strip().splitlines() or ['no output'])[-1]}")
    return {"setting": way or "default", **json.loads(done.stdout.splitlines()[-1])}


def main(change: str) -> None:
    """In a process of its own: times the reference row with a change of the update, and prints its record as JSON."""
    print(json.dumps(measure_change(change, make_config(maze2d)("RVDT", "bfloat16"), Data.of(make_episodes()))))


def measure_change(change: str, config: Config, data: Data, repeats: int = 5) -> dict:
    """Times chunks of one seed with a change of the update (a key of ``CHANGES``, or "")."""
    case = case_with(change, Case("reference", config, 1, "vmap", config.train.log_every, repeats))
    with changed(change):
        _, call, facts = compile_ours(case, data)
    seconds = np.array(take_turns({"ours": call}, repeats)["ours"]) / case.updates
    return facts | {"milliseconds_per_update": summarise((1000 * seconds).tolist())}
