"""The scan parallel over time equals the reference, gradients included, and is used where there is no kernel."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest
import torch
from hypothesis import given, settings
from oracle import line_picture
from problems import SIGNALS, Problem, assert_equal_results, assert_near, problems, solve
from torch.testing import assert_close

from ddstructs import Action, Deque, Queue, Stack
from ddstructs.ops import Slots, parallel, reference

ONE_HEAD = ("stack", "queue")


@settings(max_examples=300)
@given(problems(layouts=ONE_HEAD))
def test_it_equals_the_reference(problem: Problem) -> None:
    assert_equal_results(solve(parallel.scan, problem), solve(reference.scan, problem))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("signals", SIGNALS)
@pytest.mark.parametrize("layout", ONE_HEAD)
def test_long_it_equals_the_reference(layout: str, signals: str, dtype: torch.dtype) -> None:
    problem = Problem.draw(layout, signals, dtype=dtype, time=300, slots=5)
    assert_equal_results(solve(parallel.scan, problem), solve(reference.scan, problem))


@pytest.mark.parametrize("layout", ONE_HEAD)
def test_nothing_depends_on_memory_that_was_not_written(layout: str) -> None:
    problem = Problem.draw(layout, "mixed", time=30, slots=3)
    torch.use_deterministic_algorithms(True)  # this also fills every empty tensor with NaN
    try:
        results = solve(parallel.scan, problem)
    finally:
        torch.use_deterministic_algorithms(False)
    assert_equal_results(results, solve(reference.scan, problem))


@pytest.mark.parametrize("signals", ["random", "quarters"])
@pytest.mark.parametrize("memory", [Stack(2), Queue(2)], ids=lambda memory: type(memory).__name__)
def test_sixty_five_thousand_steps_stay_on_the_line(memory: Stack | Queue, signals: str) -> None:
    name = type(memory).__name__.lower()
    problem = Problem.draw(name, signals, dtype=torch.float32, batch=1, time=65_536, width=2)
    values, strengths, push, pop, value = problem.inputs
    reads, _ = parallel.scan(memory.layout, Action(push, pop, value), Slots(values, strengths))
    expected = line_picture(name, *(part[0].double().numpy() for part in (push, pop, value)))
    assert_close(reads[0].double(), torch.from_numpy(expected), rtol=0, atol=1e-4)


def test_half_precision_computes_in_single() -> None:
    values, strengths, push, pop, value = Problem.draw("queue", "quarters", dtype=torch.float32, time=20).inputs
    half, expected = (
        scan(Queue.layout, Action(push, pop, value.bfloat16()), Slots(values.bfloat16(), strengths))[0]
        for scan in (parallel.scan, reference.scan)
    )
    assert half.dtype == torch.bfloat16
    assert_near(half, expected, torch.bfloat16)


def test_nan_leaves_its_mark() -> None:
    _, _, push, pop, value = Problem.draw("stack", "random", time=6).inputs
    pop[0, 3] = torch.nan
    reads, _ = parallel.scan(Stack.layout, Action(push, pop, value), Stack(3).initial_state(2, dtype=torch.float64))
    assert reads[0, :3].isfinite().all()
    assert reads[0, 3:].isnan().all()
    assert reads[1].isfinite().all()


def test_a_second_derivative_is_refused() -> None:
    _, _, *parts = Problem.draw("stack", "random", time=6).inputs
    actions = Action(*(part.requires_grad_() for part in parts))
    reads, _ = parallel.scan(Stack.layout, actions, Stack(3).initial_state(2, dtype=torch.float64))
    (slope,) = torch.autograd.grad(reads.sum(), actions.push, create_graph=True)
    with pytest.raises(RuntimeError, match="differentiated once"):
        slope.sum().backward()


def test_it_is_for_one_head_that_pushes_at_the_top() -> None:
    assert parallel.fits(Stack.layout)
    assert parallel.fits(Queue.layout)
    assert not parallel.fits(Deque.layout)


def test_without_a_kernel_it_is_chosen_for_long_sequences() -> None:
    program = """
        import sys, warnings
        sys.modules["numba"] = None
        import torch
        from ddstructs import Action, Deque, Queue, Stack
        from ddstructs.ops import parallel, reference
        warnings.simplefilter("ignore")
        used = []
        for module in (parallel, reference):
            def noted(*arguments, scan=module.scan, name=module.__name__):
                used.append(name.rpartition(".")[2])
                return scan(*arguments)
            module.scan = noted
        for memory in (Stack(2), Queue(2), Deque(2)):
            for time in (3, 300):
                one = torch.rand(1, time, memory.heads, requires_grad=True)
                reads, state = memory(Action(one, one, torch.ones(1, time, memory.heads, 2)))
                read, _ = memory.step(Action(one[:, 0], one[:, 0], torch.ones(1, memory.heads, 2)), state)
                (reads.sum() + read.sum()).backward()
                assert one.grad.isfinite().all()
        print(*used)
    """
    command = [sys.executable, "-c", textwrap.dedent(program)]
    found = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert found == "reference parallel reference parallel reference reference\n"
