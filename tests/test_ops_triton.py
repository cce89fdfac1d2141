"""The kernels for CUDA: their arithmetic under Triton's interpreter, their compilation, and, on a card, both."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from problems import LAYOUTS, Problem, assert_equal_results, solve

from ddstructs.ops import operators, reference

triton = pytest.importorskip("triton")


@pytest.mark.parametrize("name", ["triton_program.py", "phases_program.py", "cuda_steps_program.py"])
def test_the_kernels_equal_the_reference_under_the_interpreter(name: str) -> None:
    program = Path(__file__).with_name(name)
    found = subprocess.run(
        [sys.executable, program],
        env=os.environ | {"TRITON_INTERPRET": "1"},
        check=True,
        capture_output=True,
        text=True,
    )
    assert found.stdout == "equal\n"


@pytest.mark.skipif("TRITON_INTERPRET" in os.environ, reason="the interpreter does not compile")
@pytest.mark.parametrize("dtype", ["fp32", "fp64"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_kernels_compile_for_a_card(layout: str, dtype: str) -> None:
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from ddstructs.ops import triton as kernels

    heads = LAYOUTS[layout]
    given: dict[str, Any] = kernels.constants([int(h.push) for h in heads], [int(h.take) for h in heads], 20)
    options = {name: given.pop(name) for name in ("num_warps", "enable_fp_fusion")}
    kinds: dict[str, str] = dict.fromkeys(("order", "ends", "dead", "consumed"), "*i32")
    kinds |= dict.fromkeys(("time", "slots", "width"), "i32") | dict.fromkeys(given, "constexpr")
    functions: list[tuple[Any, dict[str, Any]]] = [(kernels.rewind_row, {})]
    functions += [(kernels.forward_row, {"reading": reading}) for reading in (True, False)]
    for function, more in functions:
        signature = {name: kinds.get(name, f"*{dtype}") for name in function.arg_names}
        signature |= dict.fromkeys(more, "constexpr")
        source = ASTSource(fn=function, signature=signature, constexprs=given | more)
        assert "ptx" in triton.compile(source, target=GPUTarget("cuda", 80, 32), options=options).asm


@pytest.mark.skipif("TRITON_INTERPRET" in os.environ, reason="the interpreter does not compile")
@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_phases_compile_for_a_card(layout: str) -> None:
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from ddstructs.ops import gradients, phases, walks, windows

    bits = phases.bits(*([int(head[end]) for head in LAYOUTS[layout]] for end in (0, 1)))
    window = {"linked": layout == "stack", "size": 16, **phases.blocks(20)}
    functions: list[tuple[Any, dict[str, Any]]] = [
        (windows.blend, window),
        (windows.differentiate, {**window, **bits}),
        (gradients.gather, {"size": 16, "block": 8, "padded": 32}),
        (gradients.settle, {"block": 1024, **bits}),
    ]
    if layout == "stack":
        functions += [(walks.walk_chunk, {}), (walks.walk_deep, {}), (windows.remain, {"block": 1024})]
    else:
        functions += [(walks.walk, {"size": 16, "padded_heads": triton.next_power_of_2(bits["heads"]), **bits})]
    integers = ("ends", "cut_tile", "following", "nearest", "overflow", "tops", "below", "lengths", "deep", "deep_tops")
    kinds: dict[str, str] = dict.fromkeys((*integers, "nodes", "chunk_nodes", "keys", "next_events"), "*i32")
    kinds |= {"spare_next": "*i32", "order": "*i64", "starts": "*i64", "totals": "*fp64"}
    numbers = ("time", "slots", "width", "events", "chunks", "span", "blocks", "count", "rounds")
    for function, given in functions:
        signature = {name: kinds.get(name, "*fp32") for name in function.arg_names}
        signature |= dict.fromkeys(set(numbers) & set(signature), "i32") | dict.fromkeys(given, "constexpr")
        source = ASTSource(fn=function, signature=signature, constexprs=given)
        options = {"num_warps": 1 if function.__name__.startswith("walk") else 4, **phases.FUSION}
        assert "ptx" in triton.compile(source, target=GPUTarget("cuda", 80, 32), options=options).asm


@pytest.mark.skipif("TRITON_INTERPRET" in os.environ, reason="the interpreter does not compile")
@pytest.mark.parametrize("values", ["fp32", "fp64", "bf16"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_single_step_compiles_for_a_card(layout: str, values: str) -> None:
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from ddstructs.ops import cuda_steps

    given: dict[str, Any] = cuda_steps.constants(LAYOUTS[layout], 20)
    options = {name: given.pop(name) for name in ("num_warps", "enable_fp_fusion")}
    kinds = dict.fromkeys(("value", "values", "reads"), f"*{values}")
    kinds |= dict.fromkeys(("push", "pop", "before", "after"), "*fp64" if values == "fp64" else "*fp32")
    kinds |= dict.fromkeys(("slots", "first", "room", "width"), "i32") | dict.fromkeys(given, "constexpr")
    source = ASTSource(fn=cuda_steps.step_row, signature=kinds, constexprs=given)
    assert "ptx" in triton.compile(source, target=GPUTarget("cuda", 80, 32), options=options).asm


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no card")
@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_kernels_equal_the_reference_on_a_card(layout: str) -> None:
    def on_card(scan: Callable[..., Any]) -> Callable[..., Any]:
        return lambda heads, actions, state: tuple(
            part.to("cpu") for part in scan(heads, type(actions)(*(x.cuda() for x in actions)), state.to("cuda"))
        )

    problem = Problem.draw(layout, "mixed", time=200, slots=3)
    assert_equal_results(solve(on_card(operators.scan), problem), solve(reference.scan, problem))
