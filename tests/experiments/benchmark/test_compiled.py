"""Programs compiled for a GPU that is not there: how they are read, and what eight of them say to each other."""

import json
import os
import pathlib
import subprocess
import sys

import pytest
from benchmark.compiled import messages, read_kernels, summarise_kernels
from launching import ROOT, launch

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
  %sum-start = bf16[8,6]{1,0} all-reduce-start(%gemm), to_apply=%add
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
    summary = summarise_kernels([take, product, message])
    assert summary["kernels"] == 3
    assert summary["by_part"]["policy, backward"] == {"kernels": 1, "bytes": product.read_and_written}
    assert sum(each["bytes"] for each in summary["by_operation"].values()) == summary["bytes"]


def test_a_program_without_a_loop_is_refused():
    with pytest.raises(ValueError, match="no loop over updates"):
        read_kernels("ENTRY %main (p: f32[1]) -> f32[1] {\n  ROOT %p = f32[1]{0} parameter(0)\n}\n")


@pytest.mark.slow
def test_without_the_compiler_the_remedy_is_named(tmp_path):
    """The tests' own environment has none."""
    done = launch("compile_for_gpu.py", f"--out={tmp_path / 'r.json'}", "--cases=DT/bfloat16/1 seed")
    assert done.returncode == 2
    assert "JAX's compiler for CUDA cannot be used" in done.stderr
    assert "pip install -e '.[cuda]'" in done.stderr
    assert not list(tmp_path.iterdir())


# make test-slow puts the compiler beside the environment, not into it: there JAX would look for a GPU at every start.
COMPILER = pathlib.Path(sys.prefix) / "cuda"
needs_compiler = pytest.mark.skipif(not COMPILER.exists(), reason="JAX's compiler for CUDA was not installed")
EIGHT = """
import json, os
from benchmark.cards import CARDS, devices_of
from benchmark.compiled import describe_program
from benchmark.updates import Case
from configs import maze2d
from rvdt_jax.config import resolve

def program(layers, devices):
    settings = maze2d.get_config()
    sizes = {"model.width": 32, "model.heads": 2, "model.layers": layers, "model.context_length": 4}
    sizes |= {"model.critic_width": 16, "train.batch_size": 16, "model.dtype": "bfloat16", "variant": "RVDT"}
    settings.update_from_flattened_dict(sizes)
    case = Case("small", resolve(settings), 1, "loop", 2, 1)
    return describe_program(case, CARDS["h200"], devices_of(CARDS["h200"], devices))

print(json.dumps([program(1, 1), program(1, 8), program(3, 8)]))
"""


@pytest.mark.slow
@needs_compiler
def test_eight_gpus_sum_the_gradients_of_each_loss_once_and_say_nothing_inside_the_layers():
    paths = os.pathsep.join([str(COMPILER), str(ROOT / "experiments"), str(ROOT)])
    environment = os.environ | {"PYTHONPATH": paths, "JAX_PLATFORMS": "cpu"}
    done = subprocess.run([sys.executable, "-c", EIGHT], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    alone, one, three = json.loads(done.stdout.splitlines()[-1])
    assert alone["messages"] == []
    assert alone["kernels"] > 100
    assert alone["by_part"]["policy, backward"]["kernels"] > alone["by_part"]["EMA policy, forward"]["kernels"]
    assert len(one["messages"]) == len(three["messages"])  # more layers, no more messages
    gradients = [sorted(sizes) for kind, *sizes in three["messages"] if max(sizes) > 100]
    assert {kind for kind, *_ in three["messages"]} == {"all-reduce"}
    # Of each loss the matrices' gradients in bfloat16 and the rest in float32: the critic's, then the policy's.
    assert len(gradients) == 4
    assert max(map(max, gradients)) > 3 * 12 * 32**2
