"""The kernel for whole sequences equals the reference, in results and in gradients."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from oracle import line_picture
from problems import LAYOUTS, SIGNALS, Problem, assert_equal_results, assert_near, problems, solve
from torch.testing import assert_close

from ddstructs import Action, Deque, Queue, Stack, ops
from ddstructs.ops import Slots, operators, reference


@settings(max_examples=300)
@given(problems())
def test_scan_equals_the_reference(problem: Problem) -> None:
    assert_equal_results(solve(operators.scan, problem), solve(reference.scan, problem))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("signals", SIGNALS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_long_scan_equals_the_reference(layout: str, signals: str, dtype: torch.dtype) -> None:
    problem = Problem.draw(layout, signals, dtype=dtype, time=300 if layout == "stack" else 100, slots=5)
    assert_equal_results(solve(operators.scan, problem), solve(reference.scan, problem))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_nothing_depends_on_memory_that_was_not_written(layout: str) -> None:
    problem = Problem.draw(layout, "mixed", time=30, slots=3)
    torch.use_deterministic_algorithms(True)  # this also fills every empty tensor with NaN
    try:
        assert torch.empty(1).isnan()
        results = solve(operators.scan, problem)
    finally:
        torch.use_deterministic_algorithms(False)
    assert_equal_results(results, solve(reference.scan, problem))


@pytest.mark.parametrize("signals", ["random", "quarters"])
@pytest.mark.parametrize("memory", [Stack(2), Queue(2), Deque(2)], ids=lambda memory: type(memory).__name__)
def test_sixty_five_thousand_steps_stay_on_the_line(memory: Stack | Queue | Deque, signals: str) -> None:
    name = type(memory).__name__.lower()
    problem = Problem.draw(name, signals, dtype=torch.float32, batch=1, time=65_536, width=2)
    _, _, push, pop, value = problem.inputs
    reads, _ = memory(Action(push, pop, value))
    expected = line_picture(name, *(part[0].double().numpy() for part in (push, pop, value)))
    assert_close(reads[0].double(), torch.from_numpy(expected), rtol=0, atol=1e-4)


def test_backward_runs_twice_with_one_result() -> None:
    _, _, *parts = Problem.draw("deque", "mixed", time=20).inputs
    push, pop, value = (part.requires_grad_() for part in parts)
    reads, state = Deque(3)(Action(push, pop, value))
    loss = reads.square().sum() + state.slots().strengths.square().sum()
    once = torch.autograd.grad(loss, (push, pop, value), retain_graph=True)
    twice = torch.autograd.grad(loss, (push, pop, value))
    assert_close(twice, once, rtol=0, atol=0)


def test_half_precision_computes_in_single() -> None:
    values, strengths, push, pop, value = Problem.draw("queue", "quarters", dtype=torch.float32, time=20).inputs
    half, expected = (
        scan(Queue.layout, Action(push, pop, value.bfloat16()), Slots(values.bfloat16(), strengths))[0]
        for scan in (operators.scan, reference.scan)
    )
    assert half.dtype == torch.bfloat16
    assert_near(half, expected, torch.bfloat16)


def test_strided_inputs_are_read_as_they_are() -> None:
    problem = Problem.draw("deque", "random", time=9, slots=4)
    turned = tuple(part.transpose(0, 1).contiguous().transpose(0, 1) for part in problem.inputs)
    strided = Problem(problem.layout, turned, problem.weights)  # type: ignore[arg-type]
    assert not strided.inputs[-1].is_contiguous()
    assert_equal_results(solve(operators.scan, strided), solve(reference.scan, problem))


def test_a_constant_state_leaves_its_dead_behind() -> None:
    _, _, push, pop, value = Problem.draw("stack", "hard", time=40).inputs
    stack = Stack(3)
    _, state = stack(Action(push, pop, value))
    _, later = stack(Action(push, pop, value), state)
    assert later.slots().strengths.shape[1] < 80
    with ops.using("reference"):
        _, state = stack(Action(push, pop, value))
        _, expected = stack(Action(push, pop, value), state)
    assert_close(stack.contents(later), stack.contents(expected))
