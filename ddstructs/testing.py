"""Means to test a memory with: actions drawn by hypothesis, and comparisons with one table of tolerances.

What to test is in `ddstructs.laws`. Both modules need hypothesis, which ddstructs itself does not install.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from torch import Tensor

from ddstructs.memory import Action, Contents

__all__ = [
    "EXACT",
    "TOLERANCE",
    "Runner",
    "actions",
    "agree",
    "assert_close",
    "cotangent",
    "edges",
    "for_all_actions",
    "gradients",
    "leaves",
    "refused",
]

Runner = Callable[[Action], tuple[Tensor, Contents]]

TOLERANCE = {torch.float64: 1e-11, torch.float32: 2e-5, torch.bfloat16: 5e-2}
"""How far two numbers of order one may be apart, absolutely and relatively. Every comparison looks here."""

EXACT = ("hard", "quarters")
"""Signals whose sums have no rounding error, and which lie on ties all the time."""


@st.composite
def actions(
    draw: st.DrawFn, heads: int, width: int, *, signals: tuple[str, ...] = (*EXACT, "generic"), max_time: int = 7
) -> Action:
    """Draw the actions of a whole sequence, in float64.

    Args:
        draw: Given by hypothesis.
        heads: How many heads.
        width: Size of one value.
        signals: Which push and pop to draw: "hard" (0 or 1), "quarters" or "generic" (away from every tie).
        max_time: The longest sequence; the shortest has no step at all.
    """
    batch, time = draw(st.integers(1, 3)), draw(st.integers(0, max_time))
    kind, seed = draw(st.sampled_from(signals)), draw(st.integers(0, 2**32 - 1))
    generator = torch.Generator().manual_seed(seed)
    shape = (2, batch, time, heads)
    if kind == "generic":
        push, pop = torch.rand(shape, generator=generator, dtype=torch.float64)
    else:
        levels = st.sampled_from([0.0, 1.0] if kind == "hard" else [0.0, 0.25, 0.5, 0.75, 1.0])
        size = 2 * batch * time * heads
        push, pop = torch.tensor(draw(st.lists(levels, min_size=size, max_size=size)), dtype=torch.float64).view(shape)
    return Action(push, pop, torch.randn(*shape[1:], width, generator=generator, dtype=torch.float64))


def edges(heads: int, width: int, *, hard: bool = False) -> list[Action]:
    """The cases that are never left to chance: no step, one step, an empty memory that is popped, ties all along.

    Args:
        heads: How many heads.
        width: Size of one value.
        hard: Whether to have only signals of 0 and 1.
    """

    def constant(time: int, push: float, pop: float) -> Action:
        signal = torch.ones(2, time, heads, dtype=torch.float64)
        value = torch.arange(1.0, 1 + 2 * time * heads * width, dtype=torch.float64).view(2, time, heads, width)
        return Action(push * signal, pop * signal, value / 8)

    cases = [constant(0, 1, 1), constant(1, 1, 1), constant(3, 0, 1), constant(4, 1, 0), constant(4, 1, 1)]
    return cases if hard else [*cases, constant(5, 0.5, 0.25), constant(5, 0.5, 1)]


def for_all_actions(
    heads: int,
    width: int,
    check: Callable[[Action], None],
    *,
    signals: tuple[str, ...] = (*EXACT, "generic"),
    max_time: int = 7,
    max_examples: int = 25,
) -> None:
    """Call `check` with the edge cases, and then with actions as hypothesis draws them."""

    # A function of its own, for hypothesis marks the one it is given.
    def holds(action: Action) -> None:
        check(action)

    test = given(actions(heads, width, signals=signals, max_time=max_time))(holds)
    for edge in edges(heads, width, hard=signals == ("hard",)):
        test = example(edge)(test)
    settings(max_examples=max_examples, deadline=None, suppress_health_check=[HealthCheck.too_slow])(test)()


def assert_close(came: Tensor, expected: Tensor, what: str) -> None:
    """Raise unless two tensors have one dtype and shape, and the same numbers within `TOLERANCE`."""
    tolerance = TOLERANCE[came.dtype]
    torch.testing.assert_close(came, expected, rtol=tolerance, atol=tolerance, msg=lambda text: f"{what}: {text}")


def gradients(loss: Tensor, leaves: Action) -> Action:
    """The gradients of a loss, zeros where it does not depend on a leaf."""
    if not loss.requires_grad:
        return Action(*(torch.zeros_like(leaf) for leaf in leaves))
    return Action(*torch.autograd.grad(loss, leaves, allow_unused=True, materialize_grads=True))


def leaves(action: Action) -> Action:
    """The same numbers as new leaves, which want a gradient."""
    return Action(*(part.detach().clone().requires_grad_() for part in action))


def cotangent(reads: Tensor) -> Tensor:
    """A weight for every number of the reads, no two alike."""
    return torch.linspace(-1, 1.5, reads.numel(), dtype=reads.dtype).view(reads.shape)


def agree(action: Action, first: Runner, second: Runner) -> None:
    """Raise unless two ways to run the same actions have the same reads, gradients and contents."""
    results = []
    for run in (first, second):
        inputs = leaves(action)
        reads, contents = run(inputs)
        results.append((reads, gradients((reads * cotangent(reads)).sum(), inputs), contents))
    (reads, slopes, contents), (expected_reads, expected_slopes, expected_contents) = results
    assert_close(reads, expected_reads, "reads")
    for name, slope, expected in zip(Action._fields, slopes, expected_slopes, strict=True):
        assert_close(slope, expected, f"gradient of {name}")
    for name, part, expected in zip(Contents._fields, contents, expected_contents, strict=True):
        assert_close(part, expected, f"{name} of the contents")


def refused(error: type[Exception], call: Callable[..., object], *arguments: object) -> None:
    """Raise unless a call with these arguments raises the error, with something to read in it."""
    try:
        call(*arguments)
    except error as caught:
        message = str(caught)
    else:
        raise AssertionError(f"no {error.__name__} was raised")
    assert message, f"the {error.__name__} says nothing"
