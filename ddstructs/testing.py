"""Means to test a memory with: actions drawn by hypothesis, and comparisons with one table of tolerances.

What to test is in `ddstructs.laws`. Both modules need hypothesis, which ddstructs itself does not install.
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
"""How far two numbers of order one may be apart, absolutely and relatively. Every comparison looks here."""

EXACT = ("hard", "quarters")
"""Signals whose sums have no rounding error, and which lie on ties all the time."""


@st.composite
def actions(
    draw: st.DrawFn, memory: Memory, *, signals: tuple[str, ...] = (*EXACT, "generic"), max_time: int = 7
) -> Any:
    """Draw the actions of a whole sequence, in float64.

    Args:
        draw: Given by hypothesis.
        memory: The memory they are for.
        signals: Which signals to draw: "hard", "quarters" or "generic" (away from every tie).
        max_time: The longest sequence; the shortest has no step at all.
    """
    batch, time = draw(st.integers(1, 3)), draw(st.integers(0, max_time))
    kind, seed = draw(st.sampled_from(signals)), draw(st.integers(0, 2**32 - 1))
    generator = torch.Generator().manual_seed(seed)
    drawn = _signals(draw, memory.signals, kind, (batch, time), generator)
    value = torch.randn(batch, time, memory.heads, memory.width, generator=generator, dtype=torch.float64)
    return with_value(drawn, value)


def _signals(draw: st.DrawFn, signals: Signals, kind: str, shape: tuple[int, int], generator: torch.Generator) -> Any:
    """An action without its value, which has no width."""
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
    """The cases that are never left to chance: no step, one step, an empty memory that is popped, ties all along.

    Args:
        memory: The memory they are for.
        hard: Whether to have only hard signals.
    """

    def values(time: int) -> Tensor:
        count = 2 * time * memory.heads * memory.width
        return torch.arange(1.0, 1 + count, dtype=torch.float64).view(2, time, memory.heads, memory.width) / 8

    def constant(time: int, push: float, pop: float) -> Any:
        return with_value(_constant(memory.signals, (2, time), push, pop), values(time))

    cases = [constant(0, 1, 1), constant(1, 1, 1), constant(3, 0, 1), constant(4, 1, 0), constant(4, 1, 1)]
    return [harden(case) for case in cases] if hard else [*cases, constant(5, 0.5, 0.25), constant(5, 0.5, 1)]


def _constant(signals: Signals, shape: tuple[int, int], first: float, second: float) -> Any:
    """The same in all steps, without a value: how much of the first name and of the second, and none of any other."""
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
    """Call `check` with the edge cases, and then with actions as hypothesis draws them."""

    # A function of its own, for hypothesis marks the one it is given.
    def holds(action: Any) -> None:
        check(action)

    test = given(actions(memory, signals=signals, max_time=max_time))(holds)
    for edge in edges(memory, hard=signals == ("hard",)):
        test = example(edge)(test)
    settings(max_examples=max_examples, deadline=None, suppress_health_check=[HealthCheck.too_slow])(test)()


def assert_close(came: Tensor, expected: Tensor, what: str) -> None:
    """Raise unless two tensors have one dtype and shape, and the same numbers within `TOLERANCE`."""
    tolerance = TOLERANCE[came.dtype]
    torch.testing.assert_close(came, expected, rtol=tolerance, atol=tolerance, msg=lambda text: f"{what}: {text}")


def gradients(loss: Tensor, leaves: Any) -> Any:
    """The gradients of a loss by the tensors of an action, zeros where it does not depend on one."""
    flat = parts(leaves)
    if not loss.requires_grad:
        return mapped(torch.zeros_like, leaves)
    slopes = iter(torch.autograd.grad(loss, flat, allow_unused=True, materialize_grads=True))
    return mapped(lambda _: next(slopes), leaves)


def leaves(action: Any) -> Any:
    """The same numbers as new leaves, which want a gradient."""
    return mapped(lambda part: part.detach().clone().requires_grad_(), action)


def cotangent(reads: Tensor) -> Tensor:
    """A weight for every number of the reads, no two alike."""
    return torch.linspace(-1, 1.5, reads.numel(), dtype=reads.dtype).view(reads.shape)


def agree(action: Any, first: Runner, second: Runner) -> None:
    """Raise unless two ways to run the same actions have the same reads, gradients and contents."""
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
    """What to call a tensor of an action."""
    return action._fields[index] if len(action._fields) > index else f"part {index}"


def refused(error: type[Exception], call: Callable[..., object], *arguments: object) -> None:
    """Raise unless a call with these arguments raises the error, with something to read in it."""
    try:
        call(*arguments)
    except error as caught:
        message = str(caught)
    else:
        raise AssertionError(f"no {error.__name__} was raised")
    assert message, f"the {error.__name__} says nothing"
