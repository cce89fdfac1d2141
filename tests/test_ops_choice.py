"""The one place that chooses a kernel, and what the kernels leave to the reference."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from collections.abc import Callable
from typing import Any

import pytest
import torch
from problems import Problem
from torch import Tensor
from torch.testing import assert_close

from ddstructs import Action, Deque, Stack, ops
from ddstructs.ops import Slots, tape


def signals(time: int = 6) -> Action:
    _, _, *parts = Problem.draw("stack", "random", time=time).inputs
    return Action(*(part.requires_grad_() for part in parts))


def run(code: str) -> str:
    """Run a program in a fresh interpreter, in which a warning is an error unless the program says otherwise."""
    command = [sys.executable, "-W", "error", "-c", textwrap.dedent(code)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def test_importing_the_package_does_not_import_numba() -> None:
    assert run("import sys, ddstructs; print('numba' in sys.modules)") == "False\n"


def test_without_numba_everything_works_and_one_warning_says_what_was_lost() -> None:
    found = run(
        """
        import sys, warnings
        sys.modules["numba"] = None
        import torch
        from ddstructs import Action, Deque
        deque, one = Deque(2), torch.ones(1, 3, 2, requires_grad=True)
        with warnings.catch_warnings(record=True) as seen:
            warnings.simplefilter("always")
            for _ in range(2):
                reads, state = deque(Action(one, one, torch.ones(1, 3, 2, 2)))
                read, _ = deque.step(Action(one[:, 0], one[:, 0], torch.ones(1, 2, 2)), state)
                (reads.sum() + read.sum()).backward()
        print(len(seen), "quadratic" in str(seen[0].message), seen[0].filename)
        """
    )
    assert found == "1 True <string>\n" or found.startswith("1 True ")


def test_the_reference_can_be_chosen() -> None:
    stack, actions = Stack(3), signals()
    with ops.using("reference"):
        _, state = stack(actions)
        assert type(state) is Slots
        with ops.using("auto"):
            assert isinstance(stack.step(Action(*(part[:, 0] for part in actions)), state)[1], tape.TapeState)
        assert type(stack.step(Action(*(part[:, 0] for part in actions)), state)[1]) is Slots
    assert type(stack(actions)[1]) is not Slots


def test_the_parallel_scan_can_be_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ops.operators, "scan", None)
    stack, actions = Stack(3), signals()
    with ops.using("parallel"):
        reads, _ = stack(actions)
    with ops.using("reference"):
        assert_close(reads, stack(actions)[0])


def test_an_unknown_kernel_is_refused() -> None:
    with pytest.raises(ValueError, match="kernel is 'magic', but the kernels are auto, reference"), ops.using("magic"):  # type: ignore[arg-type]
        pass


@pytest.mark.parametrize("loss", [Tensor.square, Tensor.positive])  # for a sum no incoming gradient requires one
@pytest.mark.parametrize("form", ["scan", "step"])
def test_a_second_derivative_is_refused_by_the_kernels_and_given_by_the_reference(
    form: str, loss: Callable[[Tensor], Tensor]
) -> None:
    stack, actions = Stack(3), signals()

    def slope() -> Tensor:
        if form == "scan":
            reads, _ = stack(actions)
        else:
            state, each = stack.initial_state(2, dtype=torch.float64), []
            for t in range(6):
                read, state = stack.step(Action(*(part[:, t] for part in actions)), state)
                each.append(read)
            reads = torch.stack(each)
        return torch.autograd.grad(loss(reads).sum(), actions.push, create_graph=True)[0]

    first = slope()
    with pytest.raises(RuntimeError, match=r"differentiated once: .*ops.using\(\"reference\"\)"):
        first.sum().backward()
    with ops.using("reference"):
        expected = slope()
    assert_close(first, expected)
    assert torch.autograd.grad(expected.sum(), actions.value)[0].isfinite().all()


@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated:DeprecationWarning")  # torch's own, in jvp
def test_transforms_of_functions_go_through_the_reference() -> None:
    stack, (push, pop, value) = Stack(3), signals()

    def total(push: Tensor) -> Tensor:
        reads: Tensor
        reads, state = stack(Action(push, pop, value))
        read, _ = stack.step(Action(push[:, 0], pop[:, 0], value[:, 0]), state)
        return reads.sin().sum() + read.sin().sum()

    expected = torch.autograd.grad(total(push), push)[0]
    assert_close(torch.func.grad(total)(push), expected)
    tangent = torch.randn(push.shape, dtype=push.dtype, generator=torch.Generator().manual_seed(0))
    assert_close(torch.func.jvp(total, (push,), (tangent,))[1], (expected * tangent).sum())
    with torch.autograd.forward_ad.dual_level():
        dual = torch.autograd.forward_ad.make_dual(push, tangent)
        came = torch.autograd.forward_ad.unpack_dual(total(dual)).tangent
    assert_close(came, (expected * tangent).sum())
    both = torch.stack([push, push / 2])
    assert_close(torch.func.vmap(total)(both), torch.stack([total(push), total(push / 2)]))


def test_steps_inside_a_transform_may_begin_outside() -> None:
    stack, (push, pop, value) = Stack(3), signals()
    _, state = stack.step(Action(push[:, 0], pop[:, 0], value[:, 0]), stack.initial_state(2, dtype=torch.float64))

    def total(push: Tensor) -> Tensor:
        return stack.step(Action(push, pop[:, 1], value[:, 1]), state)[0].sin().sum()

    expected = torch.autograd.grad(total(push[:, 1]), push)[0][:, 1]
    assert_close(torch.func.grad(total)(push[:, 1]), expected)


def test_the_operators_keep_the_rules_of_torch() -> None:
    problem = Problem.draw("deque", "random", time=4, slots=2)
    inputs = [part.requires_grad_() for part in problem.inputs]
    pushes, takes = [int(head.push) for head in problem.layout], [int(head.take) for head in problem.layout]
    torch.library.opcheck(torch.ops.ddstructs.scan.default, (*inputs, pushes, takes))


@pytest.mark.parametrize("cls", [Stack, Deque])
def test_a_sequence_compiles_into_one_graph(cls: type[Stack] | type[Deque]) -> None:
    memory = cls(3)
    _, _, *parts = Problem.draw("deque" if cls is Deque else "stack", "random", dtype=torch.float32).inputs
    actions = Action(*(part.requires_grad_() for part in parts))
    graphs: list[torch.fx.GraphModule] = []

    def backend(graph: torch.fx.GraphModule, inputs: list[Tensor]) -> object:
        graphs.append(graph)
        return graph

    def loss(memory: Callable[..., Any]) -> Tensor:
        reads, state = memory(actions)
        return torch.stack([reads.sin().sum(), state.slots().strengths.square().sum()]).sum()

    compiled = torch.compile(memory, fullgraph=True, backend=backend)
    assert_close(torch.autograd.grad(loss(compiled), actions), torch.autograd.grad(loss(memory), actions))
    assert len(graphs) == 1
    assert any(node.target is torch.ops.ddstructs.scan.default for node in graphs[0].graph.nodes)
    lowered = torch.compile(memory, fullgraph=True, backend="aot_eager")
    assert_close(torch.autograd.grad(loss(lowered), actions), torch.autograd.grad(loss(memory), actions))


def test_a_step_compiles_into_one_graph() -> None:
    stack, actions = Stack(3), Action(*(part.detach() for part in signals()))
    compiled = torch.compile(stack.step, fullgraph=True, backend="aot_eager")
    state = fast = stack.initial_state(2, dtype=torch.float64)
    for t in range(3):
        action = Action(*(part[:, t] for part in actions))
        read, state = stack.step(action, state)
        came, fast = compiled(action, fast)
        assert_close(came, read)


def test_autocast_leaves_a_memory_in_its_own_dtype() -> None:
    _, _, push, pop, value = Problem.draw("stack", "random", dtype=torch.float32).inputs
    stack = Stack(3)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        state = stack.initial_state(2)
        reads, _ = stack(Action(push.bfloat16(), pop, value.bfloat16()), state)
        read, _ = stack.step(Action(push[:, 0].bfloat16(), pop[:, 0], value[:, 0].bfloat16()), state)
    assert reads.dtype == read.dtype == torch.float32
