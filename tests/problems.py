"""Inputs for the kernels, and the results of any kernel on them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from hypothesis import strategies as st
from torch import Tensor
from torch.testing import assert_close

from ddstructs import Action, Contents, Deque, Queue, Stack
from ddstructs.ops import End, Head, Layout, LineState, Slots, compact
from ddstructs.testing import TOLERANCE

__all__ = ["LAYOUTS", "Problem", "assert_equal_results", "assert_near", "problems", "solve", "steps"]

Results = dict[str, Tensor]
Scan = Callable[[Layout, Action, LineState], tuple[Tensor, LineState]]

LAYOUTS: dict[str, Layout] = {
    "stack": Stack.layout,
    "queue": Queue.layout,
    "deque": Deque.layout,
    # Not one of our structures, but a valid layout: three heads, two of which pop where others push.
    "odd": (Head(End.TOP, End.BOTTOM), Head(End.TOP, End.TOP), Head(End.BOTTOM, End.TOP)),
}


def quarters(*shape: int) -> Tensor:
    return torch.randint(0, 5, shape) / 4


SIGNALS: dict[str, tuple[Callable[..., Tensor], Callable[..., Tensor]]] = {
    "random": (torch.rand, torch.rand),
    "quarters": (quarters, quarters),  # sums are exact, so ties are common
    "hard": (lambda *shape: torch.randint(0, 2, shape), lambda *shape: torch.randint(0, 2, shape)),
    "never push": (torch.zeros, quarters),
    "rarely push": (lambda *shape: quarters(*shape) * (torch.rand(shape) < 0.2), quarters),
    "never pop": (lambda *shape: torch.rand(shape) / 8, torch.zeros),
    "mixed": (lambda *shape: torch.where(torch.rand(shape) < 0.5, quarters(*shape), torch.rand(shape)), quarters),
}


@dataclass(frozen=True)
class Problem:
    """A layout, an initial state, actions, and the weights of a scalar function of reads and values."""

    layout: Layout
    inputs: tuple[Tensor, Tensor, Tensor, Tensor, Tensor]
    weights: tuple[Tensor, Tensor]

    @classmethod
    def draw(
        cls,
        layout: str,
        signals: str,
        *,
        seed: int = 0,
        dtype: torch.dtype = torch.float64,
        batch: int = 2,
        time: int = 10,
        slots: int = 0,
        width: int = 3,
    ) -> Problem:
        heads, (push, pop) = LAYOUTS[layout], SIGNALS[signals]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            count = len(heads)
            inputs = (
                torch.randn(batch, slots, width), push(batch, slots),
                push(batch, time, count), pop(batch, time, count), torch.randn(batch, time, count, width),
            )  # fmt: skip
            weights = torch.randn(batch, time, count, width), torch.randn(width)
        values, strengths, d, u, v = (part.to(dtype) for part in inputs)
        return cls(heads, (values, strengths, d, u, v), (weights[0].to(dtype), weights[1].to(dtype)))


def problems(max_time: int = 24, layouts: Sequence[str] = tuple(LAYOUTS)) -> st.SearchStrategy[Problem]:
    """Small problems of every kind."""
    return st.builds(
        Problem.draw,
        st.sampled_from(layouts),
        st.sampled_from(list(SIGNALS)),
        seed=st.integers(0, 2**16),
        dtype=st.sampled_from([torch.float32, torch.float64]),
        batch=st.integers(0, 3),
        time=st.integers(0, max_time),
        slots=st.integers(0, 4),
        width=st.integers(1, 5),
    )


def steps(step: Scan) -> Scan:
    """Single steps in a loop, with the signature of a scan."""

    def scan(layout: Layout, actions: Action, state: LineState) -> tuple[Tensor, LineState]:
        reads = [actions.value[:, :0]]
        for t in range(actions.push.shape[1]):
            read, state = step(layout, Action(*(part[:, t] for part in actions)), state)
            reads.append(read[:, None])
        return torch.cat(reads, dim=1), state

    return scan


def solve(scan: Scan, problem: Problem) -> Results:
    """All results of a scan: reads, the final state, and the gradients of all inputs."""
    inputs = [part.clone().requires_grad_() for part in problem.inputs]
    values, strengths, push, pop, value = inputs
    reads, state = scan(problem.layout, Action(push, pop, value), Slots(values, strengths))
    after = state.slots()
    kept = after.strengths * (after.values @ problem.weights[1]).cos()  # dead slots contribute nothing
    loss = (reads * problem.weights[0]).sum() + kept.sum()
    grads = torch.autograd.grad(loss, inputs, materialize_grads=True)
    names = ("reads", "values", "strengths", "d initial values", "d initial strengths", "d push", "d pop", "d value")
    return dict(zip(names, (reads, *compact(Contents(after.values, after.strengths)), *grads), strict=True))


def assert_near(came: object, expected: object, dtype: torch.dtype) -> None:
    """Compare tensors, or sequences of tensors, with the tolerances of the table."""
    assert_close(came, expected, rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype])


def assert_equal_results(came: Results, expected: Results) -> None:
    """Compare all results of two scans."""
    assert_near(came, expected, expected["reads"].dtype)
