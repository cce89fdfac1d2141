"""The kernels for all steps of a network on a GPU: under Triton's interpreter, and their compilation."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

triton = pytest.importorskip("triton")


def test_all_steps_in_triton_equal_the_loop_under_the_interpreter() -> None:
    program = Path(__file__).with_name("cuda_program.py")
    found = subprocess.run(
        [sys.executable, program],
        env=os.environ | {"TRITON_INTERPRET": "1"},
        check=True,
        capture_output=True,
        text=True,
    )
    assert found.stdout == "equal\n"


@pytest.mark.skipif("TRITON_INTERPRET" in os.environ, reason="the interpreter does not compile")
@pytest.mark.parametrize(
    ("cell", "heads", "hidden", "dtype"), [("LSTMCell", 1, 64, "fp32"), ("GRUCell", 2, 70, "fp64")]
)
@pytest.mark.parametrize("backward", [False, True])
def test_the_kernels_compile_for_a_card(cell: str, heads: int, hidden: int, dtype: str, backward: bool) -> None:
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from ddstructs.nn.cuda.backward import backward_rows
    from ddstructs.nn.cuda.forward import forward_rows
    from ddstructs.nn.cuda.plan import plan

    width, kind = 20, {"fp32": torch.float32, "fp64": torch.float64}[dtype]
    tiles = plan(4 * hidden, hidden, heads * width, heads, kind, backward=backward, crowded=False)
    given: dict[str, Any] = tiles.constants(hidden, width, (1, 0)[:heads], (1, 0)[:heads]) | {"cell": cell}
    options = {name: given.pop(name) for name in ("num_warps", "enable_fp_fusion")}
    if backward:
        function = backward_rows
        given |= dict.fromkeys(("resets", "recorded"), True)
    else:
        function = forward_rows
        given |= dict.fromkeys(("hard", "skips", "resets", "noisy_reads", "noisy_states"), True)
        given["alone"] = tiles.warps == 1
    kinds: dict[str, str] = dict.fromkeys(("order", "ends", "dead", "consumed", "lengths"), "*i32") | {"reset": "*i1"}
    kinds |= dict.fromkeys(("batch", "time", "kept", "slots", "width", "hidden", "summed"), "i32")
    kinds |= dict.fromkeys(given, "constexpr")
    signature = {name: kinds.get(name, f"*{dtype}") for name in function.arg_names}
    source = ASTSource(fn=function, signature=signature, constexprs=given)
    assert "ptx" in triton.compile(source, target=GPUTarget("cuda", 80, 32), options=options).asm
