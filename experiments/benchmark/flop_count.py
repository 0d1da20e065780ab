"""FLOPs counted in the traced and in the compiled update: what the formulas of ``flops`` are held to."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

import jax
from jax.extend import core
from jax.interpreters import partial_eval

from benchmark.flops import executed_flops, model_flops, sizes_of
from benchmark.updates import Case, Data
from rvdt_jax.algorithms.base import get_algorithm
from rvdt_jax.config.settings import Config
from rvdt_jax.train.driver import init_states, train_chunk


def measure_flops(case: Case, data: Data) -> dict:
    """The formulas beside the counts, for one update of one seed.

    Returns:
        ``model_flops`` and ``executed_flops`` by formula; ``traced``, matrix products in the traced update; and
        ``compiled``, the compiler's own count, which has element-wise operations too; all FLOPs. The ratios of the last
        two to the formula of what is executed.
    """
    arguments, static = _one_update(case.config, data)
    traced = traced_flops(functools.partial(train_chunk, **static), *arguments)
    analysis = train_chunk.lower(*arguments, **static).compile().cost_analysis()
    executed, compiled = executed_flops(sizes_of(case.config, *data.sizes[:2])), float(analysis["flops"])
    return case.describe() | {
        "model_flops": model_flops(sizes_of(case.config, *data.sizes[:2])),
        "executed_flops": executed,
        "traced": traced,
        "compiled": compiled,
        "traced_over_formula": round(traced / executed, 4),
        "compiled_over_formula": round(compiled / executed, 4),
    }


def update_flops(config: Config, data: Data) -> float:
    """FLOPs of the matrix products of one update of one seed, traced; a mean where the policy waits its turn."""
    arguments, static = _one_update(config, data)
    # The policies of TD3 alone wait, behind a ``cond``.
    return traced_flops(functools.partial(train_chunk, **static), *arguments, taken=1 / config.td3.policy_every)


def _one_update(config: Config, data: Data) -> tuple[tuple, dict]:
    """Arguments of ``train_chunk`` for one update of one seed, traced and static."""
    algorithm = get_algorithm(config.variant)
    spec, coefficients = algorithm.make_spec(config, *data.sizes), algorithm.make_coefficients(config)
    states = init_states(jax.numpy.zeros(1, jax.numpy.int32), algorithm, spec)
    static = {"algorithm": algorithm, "spec": spec, "updates": 1, "map_seeds": "loop"}
    return (states, data.store(config), coefficients), static


def traced_flops(function: Callable, *arguments, taken: float = 1) -> float:
    """FLOPs of the matrix products that ``function`` needs for its results; loops count as often as they run.

    Args:
        function: what is traced.
        *arguments: its arguments.
        taken: how often, of all times, a ``cond`` runs the branch that has products.
    """
    closed = jax.make_jaxpr(function)(*arguments)
    # What a custom gradient computes and nobody uses, the compiler drops; so it must not be counted.
    used, _ = partial_eval.dce_jaxpr(closed.jaxpr, [True] * len(closed.jaxpr.outvars), instantiate=True)
    return _count(used, taken)


def _count(jaxpr: core.Jaxpr, taken: float) -> float:
    total = 0
    for equation in jaxpr.eqns:
        if equation.primitive.name == "dot_general":
            (inner, _), _ = equation.params["dimension_numbers"]
            left = equation.invars[0].aval.shape
            total += 2 * math.prod(equation.outvars[0].aval.shape) * math.prod(left[axis] for axis in inner)
        times = {"scan": equation.params.get("length", 1), "cond": taken}.get(equation.primitive.name, 1)
        for value in equation.params.values():
            for part in value if isinstance(value, (tuple, list)) else (value,):
                inside = getattr(part, "jaxpr", part)
                if hasattr(inside, "eqns"):
                    total += times * _count(inside, taken)
    return total
