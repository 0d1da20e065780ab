"""The benchmark within minutes: the order of its rows, and what it leaves out; the changes that ``--xla`` compares."""

import json

import flax.linen as nn
import jax
import numpy as np
import pytest
from benchmark import minutes, xla
from benchmark.data import make_episodes
from benchmark.machine import identity
from benchmark.results import Results
from benchmark.suite import other_rows
from benchmark.updates import Data

from rvdt_jax.algorithms import base
from rvdt_jax.algorithms.sequence import SEQUENCE
from rvdt_jax.models.transformer import CausalSelfAttention

BY_IMPORTANCE = [
    *("RVDT/bfloat16/1 seed public strong", "RVDT/bfloat16/5 seeds, vmap", "QT/bfloat16/1 seed", "DT/bfloat16/1 seed"),
    *("RVDT/float32/1 seed", "RVDT/bfloat16/3 seeds, vmap", "RVDT/bfloat16/8 seeds, vmap"),
]


def test_every_kind_of_row_has_a_first_guess(small_config):
    rows = other_rows("reference", lambda variant, _: small_config(variant=variant), Data.of(make_episodes(50)), "gpu")
    assert {section for section, *_ in rows} <= minutes._PROGRAMS.keys()


@pytest.mark.parametrize(
    ("limit", "seconds", "measured"),
    [
        (60.0, 1.0, [f"reference/{name}" for name in BY_IMPORTANCE] + ["evaluation", "profile"]),
        # Each takes 40 s; the fifth, guessed at 20 s by then, would end too late.
        (2.9, 40.0, [f"reference/{name}" for name in BY_IMPORTANCE[:4]]),
        (0.0, 1.0, ["demo/RVDT/bfloat16/1 seed"]),
    ],
)
def test_rows_come_by_importance_and_none_is_begun_that_would_not_fit(
    limit, seconds, measured, small_config, tmp_path, monkeypatch
):
    clock, done = [0.0], []

    def measure(*words):
        clock[0] += seconds
        done.append(" ".join(words))
        return {}

    results = Results(tmp_path / "r.json", {}, identity, say=lambda line: None)
    others = [(section, "x", lambda section=section: measure(section)) for section in ("evaluation", "profile")]
    monkeypatch.setattr(minutes.time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(minutes, "make_episodes", lambda: make_episodes(2000))
    monkeypatch.setattr(minutes, "peak_flops", lambda *_: 1e12)
    monkeypatch.setattr(minutes, "check_agreement", lambda *_: None)
    monkeypatch.setattr(minutes, "measure_updates", lambda _, cases, data: measure(cases[0].name, *cases[0].peers))
    monkeypatch.setattr(minutes, "other_rows", lambda *_: others)

    def make(variant, dtype):
        return small_config(variant=variant, model__dtype=dtype)

    sizes = {"reference": make, "demo": make}
    minutes.measure_in_time(results, sizes, dict.fromkeys(sizes, 10), "gpu", limit)
    results.note("end", "x", {})
    assert done == measured
    skipped = json.loads(results.unfinished.read_text()).get("skipped", {})
    assert bool(skipped) == (limit < 60)
    assert all(row["estimated_seconds"] > row["seconds_left"] for row in skipped.values())


def test_the_changes_of_attention_compute_the_same():
    x, keep = jax.random.normal(jax.random.key(0), (2, 7, 8)), lambda x, site: x
    for read in (None, np.array([1, 4]), np.array([[0, 6], [2, 3]])):
        arguments = x, read, keep, 0
        plain = CausalSelfAttention(heads=2, dtype=np.float32, plain=False)
        params = plain.init(jax.random.key(1), *arguments)
        expected = plain.apply(params, *arguments)
        inner, three = params["params"], ("query", "key", "value")
        joined = {name: np.concatenate([inner[each][name] for each in three], -1) for name in ("kernel", "bias")}
        for how, own in (("xla", inner), ("one product", inner if read is not None else inner | {"all": joined})):
            changed = xla.attention(how)(heads=2, dtype=np.float32, plain=False)
            np.testing.assert_allclose(changed.apply({"params": own}, *arguments), expected, atol=1e-5)


def test_what_cudnn_is_given_has_even_lengths_and_computes_the_same(monkeypatch):
    """JAX refuses other lengths where cuDNN is differentiated; the plain implementation stands for it here."""
    x, keep = jax.random.normal(jax.random.key(0), (2, 7, 8)), lambda x, site: x
    plain, lengths = jax.nn.dot_product_attention, []

    def attend(*heads, implementation, **options):
        lengths.extend(each.shape[1] for each in heads)
        assert implementation == "cudnn"
        return plain(*heads, implementation="xla", **options)

    monkeypatch.setattr(jax.nn, "dot_product_attention", attend)
    for read in (None, np.array([1, 4, 6]), np.array([[0, 6], [2, 3]])):
        ours = CausalSelfAttention(heads=2, dtype=np.float32, plain=False)
        params = ours.init(jax.random.key(1), x, read, keep, 0)
        found = xla.attention("cudnn")(heads=2, dtype=np.float32, plain=False).apply(params, x, read, keep, 0)
        np.testing.assert_allclose(found, ours.apply(params, x, read, keep, 0), atol=1e-5)
    assert lengths
    assert all(length % 2 == 0 for length in lengths)


@pytest.mark.slow
@pytest.mark.parametrize("change", ["one vector", "relu"])
def test_the_changes_of_the_update_compute_the_same(change, small_config, store):
    config = small_config(variant="RVDT", model__dropout=0.1)
    spec, coefficients = SEQUENCE.make_spec(config, 4, 2, 30), SEQUENCE.make_coefficients(config)

    def updated() -> tuple:
        def two_updates(key):
            state = SEQUENCE.init(key, spec)
            state, _ = SEQUENCE.update(state, store, coefficients, spec)
            state, metrics = SEQUENCE.update(state, store, coefficients, spec)
            return {name: (learner.params, learner.target) for name, learner in state.learners.items()}, metrics

        return jax.jit(two_updates)(jax.random.key(0))

    expected, before = updated(), (base.make_optimizer, nn.relu)
    with xla.changed(change):
        assert before != (base.make_optimizer, nn.relu)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6), expected, updated())
    assert before == (base.make_optimizer, nn.relu)


def test_a_change_is_timed_and_without_a_gpu_nothing_is(small_config, tmp_path, monkeypatch, capsys):
    plain, compile_ours, unrolled = jax.lax.scan, xla.compile_ours, []

    def compiling(*arguments):
        unrolled.append(jax.lax.scan.keywords)
        return compile_ours(*arguments)

    monkeypatch.setattr(xla, "compile_ours", compiling)
    row = xla.measure_change("unroll", small_config(variant="DT"), Data.of(make_episodes(2000)), repeats=1)
    assert row["milliseconds_per_update"]["median"] > 0
    assert unrolled == [{"unroll": 4}]
    assert jax.lax.scan is plain
    assert xla.measure_settings(tmp_path, None) == 0
    assert "no GPU here" in capsys.readouterr().out
    assert not list(tmp_path.iterdir())
