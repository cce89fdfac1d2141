"""Tools for testing a memory: actions drawn by hypothesis, and comparisons with one table of tolerances.

The laws to test are in `ddstructs.laws`. Both modules need hypothesis, which is in the extra `testing`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.functional import one_hot

from ddstructs.actions import Action, Choice, Joint, harden, mapped, parts, with_value
from ddstructs.memory import Memory
from ddstructs.signals import Mixed, PushPop, Signals
from ddstructs.state import Contents

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

Runner = Callable[[Any], tuple[Tensor, Contents]]

TOLERANCE = {torch.float64: 1e-11, torch.float32: 2e-5, torch.bfloat16: 5e-2}
"""Absolute and relative tolerance of every comparison, for numbers of order one, by dtype."""

EXACT = ("hard", "quarters")
"""Kinds of signals whose sums have no rounding error, and which often lie on ties."""


@st.composite
def actions(
    draw: st.DrawFn, memory: Memory, *, signals: tuple[str, ...] = (*EXACT, "generic"), max_time: int = 7
) -> Any:
    """Draw the actions of a sequence, in float64.

    Args:
        draw: Supplied by hypothesis.
        memory: The memory the actions are for.
        signals: Kinds of signals to draw from: "hard", "quarters" or "generic" (away from every tie).
        max_time: Maximum number of steps; the minimum is 0.
    """
    batch, time = draw(st.integers(1, 3)), draw(st.integers(0, max_time))
    kind, seed = draw(st.sampled_from(signals)), draw(st.integers(0, 2**32 - 1))
    generator = torch.Generator().manual_seed(seed)
    drawn = _signals(draw, memory.signals, kind, (batch, time), generator)
    value = torch.randn(batch, time, memory.heads, memory.width, generator=generator, dtype=torch.float64)
    return with_value(drawn, value)


def _signals(draw: st.DrawFn, signals: Signals, kind: str, shape: tuple[int, int], generator: torch.Generator) -> Any:
    """Draw an action whose value has width 0."""
    none = torch.zeros(*shape, signals.heads, 0, dtype=torch.float64)
    if isinstance(signals, Mixed):
        return Joint(tuple(_signals(draw, member, kind, shape, generator) for member in signals.members))
    if isinstance(signals, PushPop):
        lines = 2, *shape, signals.heads
        if kind == "generic":
            push, pop = torch.rand(lines, generator=generator, dtype=torch.float64)
        else:
            levels = st.sampled_from([0.0, 1.0] if kind == "hard" else [0.0, 0.25, 0.5, 0.75, 1.0])
            size = 2 * shape[0] * shape[1] * signals.heads
            numbers = torch.tensor(draw(st.lists(levels, min_size=size, max_size=size)), dtype=torch.float64)
            push, pop = numbers.view(lines)
        return Action(push, pop, none)
    action = signals.action(2 * torch.randn(*shape, signals.size, generator=generator, dtype=torch.float64), none)
    if kind == "generic" or not isinstance(action, Choice):
        return action.harden() if kind == "hard" else action
    rows, count = shape[0] * shape[1] * signals.heads, len(signals.names)
    quarters = 1 if kind == "hard" else 4
    which = st.lists(st.integers(0, count - 1), min_size=quarters * rows, max_size=quarters * rows)
    chosen = torch.tensor(draw(which), dtype=torch.int64).view(*shape, signals.heads, quarters)
    return Choice(one_hot(chosen, count).double().mean(-2), none)


def edges(memory: Memory, *, hard: bool = False) -> list[Any]:
    """Edge cases that every test includes: no step, one step, pops of an empty memory, ties in every step.

    Args:
        memory: The memory the actions are for.
        hard: Whether to use only hard signals.
    """

    def values(time: int) -> Tensor:
        count = 2 * time * memory.heads * memory.width
        return torch.arange(1.0, 1 + count, dtype=torch.float64).view(2, time, memory.heads, memory.width) / 8

    def constant(time: int, push: float, pop: float) -> Any:
        return with_value(_constant(memory.signals, (2, time), push, pop), values(time))

    cases = [constant(0, 1, 1), constant(1, 1, 1), constant(3, 0, 1), constant(4, 1, 0), constant(4, 1, 1)]
    return [harden(case) for case in cases] if hard else [*cases, constant(5, 0.5, 0.25), constant(5, 0.5, 1)]


def _constant(signals: Signals, shape: tuple[int, int], first: float, second: float) -> Any:
    """An action of width 0, constant over time: a level for the first signal and for the second, 0 for the others."""
    none = torch.zeros(*shape, signals.heads, 0, dtype=torch.float64)
    if isinstance(signals, Mixed):
        return Joint(tuple(_constant(member, shape, first, second) for member in signals.members))
    levels = torch.tensor([first, second, *[0.0] * len(signals.names)], dtype=torch.float64)[: len(signals.names)]
    each = levels.expand(*shape, signals.heads, -1)
    if isinstance(signals, PushPop):
        return Action(each[..., 0], each[..., 1], none)
    return signals.action(torch.cat(each.log().unbind(-1), dim=-1), none)


def for_all_actions(
    memory: Memory,
    check: Callable[[Any], None],
    *,
    signals: tuple[str, ...] = (*EXACT, "generic"),
    max_time: int = 7,
    max_examples: int = 25,
) -> None:
    """Call `check` with the edge cases, and then with actions drawn by hypothesis."""

    # Wrap `check`, because hypothesis sets attributes on the function it is given.
    def holds(action: Any) -> None:
        check(action)

    test = given(actions(memory, signals=signals, max_time=max_time))(holds)
    for edge in edges(memory, hard=signals == ("hard",)):
        test = example(edge)(test)
    settings(max_examples=max_examples, deadline=None, suppress_health_check=[HealthCheck.too_slow])(test)()


def assert_close(actual: Tensor, expected: Tensor, what: str) -> None:
    """Raise an error unless two tensors have the same dtype, shape and, within `TOLERANCE`, numbers."""
    tolerance = TOLERANCE[actual.dtype]
    torch.testing.assert_close(actual, expected, rtol=tolerance, atol=tolerance, msg=lambda text: f"{what}: {text}")


def gradients(loss: Tensor, leaves: Any) -> Any:
    """Gradients of a loss with respect to the tensors of an action; zeros for those it does not depend on."""
    flat = parts(leaves)
    if not loss.requires_grad:
        return mapped(torch.zeros_like, leaves)
    slopes = iter(torch.autograd.grad(loss, flat, allow_unused=True, materialize_grads=True))
    return mapped(lambda _: next(slopes), leaves)


def leaves(action: Any) -> Any:
    """Copy an action into new leaf tensors that require a gradient."""
    return mapped(lambda part: part.detach().clone().requires_grad_(), action)


def cotangent(reads: Tensor) -> Tensor:
    """A distinct weight for every element of the reads."""
    return torch.linspace(-1, 1.5, reads.numel(), dtype=reads.dtype).view(reads.shape)


def agree(action: Any, first: Runner, second: Runner) -> None:
    """Raise an error unless two runners give the same reads, gradients and contents for the same actions."""
    results = []
    for run in (first, second):
        inputs = leaves(action)
        reads, contents = run(inputs)
        results.append((reads, gradients((reads * cotangent(reads)).sum(), inputs), contents))
    (reads, slopes, contents), (expected_reads, expected_slopes, expected_contents) = results
    assert_close(reads, expected_reads, "reads")
    for index, (slope, expected) in enumerate(zip(parts(slopes), parts(expected_slopes), strict=True)):
        assert_close(slope, expected, f"gradient of {_name(action, index)}")
    for name, part, expected in zip(Contents._fields, contents, expected_contents, strict=True):
        assert_close(part, expected, f"{name} of the contents")


def _name(action: Any, index: int) -> str:
    """The name of a tensor of an action, for messages."""
    return action._fields[index] if len(action._fields) > index else f"part {index}"


def refused(error: type[Exception], call: Callable[..., object], *arguments: object) -> None:
    """Raise an error unless a call raises the given type of error with a message."""
    try:
        call(*arguments)
    except error as caught:
        message = str(caught)
    else:
        raise AssertionError(f"no {error.__name__} was raised")
    assert message, f"the {error.__name__} has no message"
