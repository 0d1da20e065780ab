"""Programs compiled for a GPU that is not there: how they are read, and what eight of them say to each other."""

import json
import os
import pathlib
import sys

import pytest
from benchmark import cards
from benchmark.compiled import messages, read_kernels, summarise_kernels
from benchmark.table import _compiled_rows
from launching import ROOT, launch, python

from rvdt_jax.errors import UserError

# As XLA writes a program, cut down: a loop with a gather from a store, a product, a message, and what costs nothing.
PROGRAM = """
%fused_gather (param_0: f32[1000,4], param_1: s32[8]) -> f32[8,4] {
  %param_0 = f32[1000,4]{1,0} parameter(0)
  %param_1 = s32[8]{0} parameter(1)
  ROOT %gather.1 = f32[8,4]{1,0} gather(%param_0, %param_1), offset_dims={1}, slice_sizes={1,4}
}

%body (arg: (s32[], f32[1000,4], s32[8], bf16[4,6])) -> (s32[], f32[1000,4], s32[8], bf16[4,6]) {
  %arg = (s32[], f32[1000,4]{1,0}, s32[8]{0}, bf16[4,6]{1,0}) parameter(0)
  %gte.1 = f32[1000,4]{1,0} get-tuple-element(%arg), index=1
  %gte.2 = s32[8]{0} get-tuple-element(%arg), index=2
  %gte.3 = bf16[4,6]{1,0} get-tuple-element(%arg), index=3
  %take = f32[8,4]{1,0} fusion(%gte.1, %gte.2), kind=kLoop, calls=%fused_gather
  %flat = f32[32]{0} bitcast(%take)
  %gemm = (bf16[8,6]{1,0}, s8[4096]{0}) custom-call(%take, %gte.3), custom_call_target="__cublas$gemm", METADATA
  %grad = bf16[8,6]{1,0} get-tuple-element(%gemm), index=0
  %sum-start = ((bf16[8,6]{1,0}), bf16[8,6]{1,0}) all-reduce-start(%grad), to_apply=%add
  %sum-done = bf16[8,6]{1,0} all-reduce-done(%sum-start)
  ROOT %out = (s32[], f32[1000,4]{1,0}, s32[8]{0}, bf16[4,6]{1,0}) tuple(%arg)
}

%condition (arg.1: (s32[])) -> pred[] {
  ROOT %less = pred[] constant(true)
}

ENTRY %main (p: f32[1000,4]) -> f32[1000,4] {
  %p = f32[1000,4]{1,0} parameter(0)
  %loop = (s32[], f32[1000,4]{1,0}) while(%p), condition=%condition, body=%body
  ROOT %end = f32[1000,4]{1,0} get-tuple-element(%loop), index=1
}
""".replace("METADATA", 'metadata={op_name="jit(f)/transpose(jvp(TransformerPolicy))/dot_general"}')


def test_the_kernels_of_one_update_and_what_they_move():
    take, product, message = read_kernels(PROGRAM)
    assert [take.kind, product.kind] == ["gather", "matrix products"]
    assert product.part == "policy, backward"
    assert take.read_and_written == 8 * 4 * 4 + 8 * 4 + 8 * 4 * 4  # of the store only the rows taken
    assert product.read_and_written == 8 * 4 * 4 + 4 * 6 * 2 + 8 * 6 * 2  # not the workspace
    assert messages([take, product, message]) == [message]
    assert message.results == (48,)
    assert message.read_and_written == 2 * 8 * 6 * 2
    summary = summarise_kernels([take, product, message])
    assert summary["kernels"] == 3
    assert summary["by_part"]["policy, backward"] == {"kernels": 1, "bytes": product.read_and_written}
    assert sum(each["bytes"] for each in summary["by_operation"].values()) == summary["bytes"]


def test_a_program_without_a_loop_is_refused():
    with pytest.raises(ValueError, match="no loop over updates"):
        read_kernels("ENTRY %main (p: f32[1]) -> f32[1] {\n  ROOT %p = f32[1]{0} parameter(0)\n}\n")


def test_a_loop_inside_the_update_is_not_left_out():
    inner = PROGRAM.replace("%flat = f32[32]{0} bitcast(%take)", "%flat = f32[32]{0} call(%take), to_apply=%other")
    with pytest.raises(ValueError, match="calls another computation"):
        read_kernels(inner)


def test_without_the_compiler_the_remedy_is_named(monkeypatch):
    monkeypatch.setattr(cards.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"not installed.* pip install -e '\.\[cuda\]'"):
        cards.devices_of(cards.CARDS["h200"])


@pytest.mark.slow
@pytest.mark.parametrize("flag", ["--devices=3", "--devices=", "--changes=none,faster"])
def test_flags_that_make_no_sense_are_refused(flag, tmp_path):
    done = launch("compile_for_gpu.py", f"--out={tmp_path / 'r.json'}", flag, **WITH_COMPILER)
    assert done.returncode == 2, done.stderr
    assert flag.partition("=")[0] in done.stderr
    assert not list(tmp_path.iterdir())


# make test-slow puts the compiler beside the environment, not into it: there JAX would look for a GPU at every start.
COMPILER = pathlib.Path(sys.prefix) / ".cuda"
WITH_COMPILER = {
    "PYTHONPATH": os.pathsep.join(map(str, (COMPILER, ROOT / "experiments", ROOT))),
    "JAX_PLATFORMS": "cpu",
}
needs_compiler = pytest.mark.skipif(
    not (COMPILER / ".installed").exists() and not cards.has_compiler(), reason="JAX's compiler for CUDA is missing"
)
EIGHT = """
import json
import jax, jax.numpy as jnp
from benchmark.cards import CARDS, devices_of
from benchmark.compiled import describe_program
from benchmark.updates import Case
from configs import maze2d
from rvdt_jax.algorithms.base import get_algorithm
from rvdt_jax.config import resolve
from rvdt_jax.train.driver import init_states

def program(layers, devices):
    settings = maze2d.get_config()
    sizes = {"model.width": 32, "model.heads": 2, "model.layers": layers, "model.context_length": 4}
    sizes |= {"model.critic_width": 16, "train.batch_size": 16, "model.dtype": "bfloat16", "variant": "RVDT"}
    settings.update_from_flattened_dict(sizes)
    config = resolve(settings)
    case, card = Case("small", config, 1, "vmap", 2, 1), CARDS["h200"]
    row = describe_program(case, card, devices_of(card, devices), "cuBLAS")
    spec = get_algorithm("RVDT").make_spec(config, 4, 2, 300)
    states = jax.eval_shape(lambda: init_states(jnp.arange(1), get_algorithm("RVDT"), spec))
    params = [learner.params for learner in states.learners.values()]
    return row | {"parameters": sum(leaf.size for leaf in jax.tree.leaves(params))}

print(json.dumps([program(1, 1), program(1, 8), program(3, 8)]))
"""


@pytest.mark.slow
@needs_compiler
def test_eight_gpus_sum_the_gradients_of_each_loss_once_and_say_nothing_inside_the_layers():
    done = python("-c", EIGHT, **WITH_COMPILER)
    assert done.returncode == 0, done.stderr[-2000:]
    alone, one, three = json.loads(done.stdout.splitlines()[-1])
    assert alone["messages"] == []
    assert alone["kernels"] > 100
    assert alone["by_part"]["policy, backward"]["kernels"] > alone["by_part"]["EMA policy, forward"]["kernels"]
    assert len(one["messages"]) == len(three["messages"])  # more layers, no more messages
    assert {kind for kind, _ in three["messages"]} == {"all-reduce"}
    # Of each loss the matrices' gradients in bfloat16, the rest in float32.
    gradients = [size for _, size in three["messages"] if size > 50]
    assert len(gradients) == 4
    assert sum(gradients) == pytest.approx(three["parameters"], abs=30)  # with a few sums of the metrics


def test_the_rows_of_the_table():
    row = {"card": "NVIDIA H200", "devices": 1, "kernels": 700, "bytes": 6.5e9, "flops": 3.5e11, "program_bytes": 2**29}
    row |= {"milliseconds": {"traffic": 1.25, "products": 0.35}, "messages": []}
    rows = {
        "a/b": row,
        "a/b, 8 devices": row | {"devices": 8, "messages": [["all-reduce", 3]]},
        "c": {"failed": "x | y"},
    }
    one, eight, failed = _compiled_rows({"compiled": rows})
    assert one == ["NVIDIA H200", "a b", "700", "6.50 GB: 1.25 ms", "0.350 TFLOP: 0.35 ms", "512 MiB", ""]
    assert [eight[0], eight[-1]] == ["8 x NVIDIA H200", "1"]
    assert failed == ["not measured", "c", "failed: x / y", "", "", "", ""]
