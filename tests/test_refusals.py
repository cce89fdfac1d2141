"""Invalid arguments are refused in one line: what came, and what was expected."""

import re
from collections.abc import Callable
from functools import partial
from typing import Any, cast

import numpy as np
import pytest
import torch
from kinds import EVERYTHING, KINDS, LINES
from torch import Tensor

from ddstructs import Action, Bank, InputError, Memory, MemoryLayer, MemoryRNN, NoMemory, Queue, Stack, settings_for
from ddstructs.export.buffer import Buffer
from ddstructs.nn.attention import CausalAttention
from ddstructs.nn.recurrent import Recurrent


def zeros(*batch: int, heads: int = 1, width: int = 3, **options: Any) -> Action:
    """An action of zeros."""
    signal = torch.zeros(*batch, heads, **options)
    return Action(signal, signal.clone(), torch.zeros(*batch, heads, width, **options))


STEPS: list[tuple[Any, type[Exception], str]] = [
    (zeros(2, heads=2), ValueError, "push is for 2 heads, but this Stack has 1"),
    (zeros(2, width=4), ValueError, "value has width 4, but this Stack stores width 3"),
    (zeros(2)._replace(pop=torch.zeros(2, 2)), ValueError, "pop is for 2 heads, but this Stack has 1"),
    (zeros(2)._replace(pop=torch.zeros(5, 1)), ValueError, "pop has (batch) (5,), but push has (2,)"),
    (zeros(2)._replace(value=torch.zeros(5, 1, 3)), ValueError, "value has (batch) (5,), but push has (2,)"),
    (zeros(2)._replace(push=torch.zeros(2)), ValueError,
     "push has shape (2,), but 2 axes were expected: (batch, heads)"),
    (zeros(2)._replace(value=torch.zeros(2, 3)), ValueError,
     "value has shape (2, 3), but 3 axes were expected: (batch, heads, width)"),
    (zeros(2)._replace(push=torch.zeros(2, 1, device="meta")), ValueError,
     "push is on meta, but value is on cpu: move one to the other"),
    (zeros(2, device="meta"), ValueError, "value is on meta, but the state is on cpu: use state.to(device)"),
    (zeros(5), ValueError, "value has batch 5, but the state of this Stack has batch 2"),
    (zeros(2, dtype=torch.float64), TypeError,
     "value is torch.float64, but the state holds torch.float32: use state.to(dtype=...)"),
    (zeros(2)._replace(push=torch.zeros(2, 1, dtype=torch.int64)), TypeError,
     "push is torch.int64, but a memory takes floating-point tensors"),
    (zeros(2)._replace(pop=torch.zeros(2, 1, dtype=torch.complex64)), TypeError,
     "pop is torch.complex64, but a memory takes floating-point tensors"),
    (zeros(2)._replace(pop=cast("Any", 0.5)), TypeError, "pop is float, but a memory takes floating-point tensors"),
    (zeros(2)._replace(value=cast("Any", [1.0])), TypeError,
     "value is list, but a memory takes floating-point tensors"),
    (tuple(zeros(2)), TypeError, "action is a tuple, but a memory takes an Action(push, pop, value)"),
    (None, TypeError, "action is a NoneType, but a memory takes an Action(push, pop, value)"),
]  # fmt: skip

SEQUENCES: list[tuple[Any, type[Exception], str]] = [
    (zeros(2), ValueError, "push has shape (2, 1), but 3 axes were expected: (batch, time, heads)"),
    (zeros(2, 4)._replace(pop=torch.zeros(2, 5, 1)), ValueError,
     "pop has (batch, time) (2, 5), but push has (2, 4)"),
    (zeros(2, 4)._replace(value=torch.zeros(2, 4, 1)), ValueError,
     "value has shape (2, 4, 1), but 4 axes were expected: (batch, time, heads, width)"),
    (zeros(2, 4, heads=3), ValueError, "push is for 3 heads, but this Stack has 1"),
    (zeros(2, 4, width=2), ValueError, "value has width 2, but this Stack stores width 3"),
    (zeros(5, 4), ValueError, "value has batch 5, but the state of this Stack has batch 2"),
    (zeros(2, 4, dtype=torch.bfloat16), TypeError,
     "value is torch.bfloat16, but the state holds torch.float32: use state.to(dtype=...)"),
    (zeros(2, 4, device="meta"), ValueError, "value is on meta, but the state is on cpu: use state.to(device)"),
    (tuple(zeros(2, 4)), TypeError, "action is a tuple, but a memory takes an Action(push, pop, value)"),
]  # fmt: skip


@pytest.mark.parametrize(("action", "error", "message"), STEPS, ids=[message for *_, message in STEPS])
def test_a_step_that_does_not_fit_is_refused(action: Any, error: type[Exception], message: str) -> None:
    stack = Stack(3)
    with pytest.raises(error, match=f"^{re.escape(message)}$"):
        stack.step(action, stack.initial_state(2))


@pytest.mark.parametrize(("actions", "error", "message"), SEQUENCES, ids=[message for *_, message in SEQUENCES])
def test_a_sequence_that_does_not_fit_is_refused(actions: Any, error: type[Exception], message: str) -> None:
    stack = Stack(3)
    with pytest.raises(error, match=f"^{re.escape(message)}$"):
        stack(actions, stack.initial_state(2))


STATES: list[tuple[Memory, Memory, type[Exception], str]] = [
    (Stack(3), Stack(4), ValueError, "state holds width 4, but this Stack stores width 3"),
    (Stack(3), NoMemory(), TypeError, "state is a NoState, but a Stack needs one from its own initial_state"),
    (Queue(3), Bank([Queue(3)]), TypeError, "state is a BankState, but a Queue needs one from its own initial_state"),
    (Bank([Stack(3)]), NoMemory(), TypeError,
     "state is a NoState, but a Bank of 1 needs one from its own initial_state"),
    (Bank([Stack(3)]), Bank([Stack(3), Queue(3)]), TypeError,
     "state is 2 states, but a Bank of 1 needs one from its own initial_state"),
]  # fmt: skip


@pytest.mark.parametrize(("memory", "other", "error", "message"), STATES, ids=[message for *_, message in STATES])
def test_the_state_of_another_memory_is_refused(
    memory: Memory, other: Memory, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=f"^{re.escape(message)}$"):
        memory.step(zeros(2), other.initial_state(2))
    with pytest.raises(error, match=f"^{re.escape(message)}$"):
        memory(zeros(2, 4), other.initial_state(2))


@pytest.mark.parametrize("line", LINES)
@pytest.mark.parametrize(
    ("width", "error", "message"),
    [
        (0, ValueError, "width is 0, but 1 or more was expected"),
        (-2, ValueError, "width is -2, but 1 or more was expected"),
        ("3", TypeError, "width is '3', but an int was expected"),
        (3.0, TypeError, "width is 3.0, but an int was expected"),
        (True, TypeError, "width is True, but an int was expected"),
        (None, TypeError, "width is None, but an int was expected"),
    ],
)
def test_a_width_is_a_positive_int(line: str, width: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=f"^{re.escape(message)}$"):
        LINES[line](width)


def test_a_bank_is_of_one_width_and_not_empty() -> None:
    with pytest.raises(TypeError, match=r"^a Bank takes a list of memories, but Stack\(4\) is a single one$"):
        Bank(cast("Any", Stack(4)))
    with pytest.raises(ValueError, match=r"^a Bank needs one memory or more, but none was given"):
        Bank([])
    with pytest.raises(ValueError, match=r"^the memories of a Bank must have the same width, but these have \[3, 4\]$"):
        Bank([Stack(3), Queue(4)])


def spoiled(kind: str, name: str, number: float, time: bool) -> tuple[Memory, Action, Tensor]:
    """A memory, and an action with one invalid number."""
    memory = KINDS[kind](3)
    action = zeros(*((2, 4) if time else (2,)), heads=memory.heads)
    signal: Tensor = getattr(action, name)
    signal.view(-1)[-1] = number
    return memory, action, signal


@pytest.mark.parametrize("number", [float("nan"), -0.1, 1.1, float("inf")])
@pytest.mark.parametrize("name", ["push", "pop"])
@pytest.mark.parametrize("kind", KINDS)
def test_validate_refuses_signals_outside_0_and_1(kind: str, name: str, number: float) -> None:
    for time in (False, True):
        memory, action, signal = spoiled(kind, name, number, time)
        memory.validate = True
        message = f"{name} has 1 elements outside [0, 1], the first is {signal.view(-1)[-1].item()}: "
        with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
            memory(action) if time else memory.step(action, memory.initial_state(2))
        signal.view(-1)[-1] = 1
        memory(action) if time else memory.step(action, memory.initial_state(2))


@pytest.mark.parametrize("kind", KINDS)
def test_without_validate_no_number_is_looked_at(kind: str) -> None:
    for name in ("push", "pop"):
        for number in (float("nan"), -0.1, 1.1):
            memory, action, _ = spoiled(kind, name, number, time=True)
            assert not memory.validate
            memory(action)
            memory, action, _ = spoiled(kind, name, number, time=False)
            memory.step(action, memory.initial_state(2))


@pytest.mark.parametrize(
    ("sizes", "error", "message"),
    [
        ((8, 3.5), TypeError, "hidden_size is 3.5, but an int was expected"),
        (("8", 4), TypeError, "input_size is '8', but an int was expected"),
        ((0, 4), ValueError, "input_size is 0, but 1 or more was expected"),
    ],
)
def test_the_sizes_of_a_network_are_positive_ints(sizes: tuple[Any, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=f"^{message}$"):
        MemoryRNN(*sizes, Stack(4))


def test_settings_are_not_for_a_task_without_symbols() -> None:
    with pytest.raises(InputError, match="symbols is -5"):
        settings_for("Reversal", "Stack", symbols=-5)


STARTS: dict[str, Callable[[], Any]] = {
    **{name: partial(kind, 3) for name, kind in EVERYTHING.items()},
    "none": NoMemory,
    "buffer": lambda: Buffer(Stack(3), 4),
    "network": lambda: MemoryRNN(2, 3, Stack(3)),
    "network that learns no start": lambda: MemoryRNN(2, 3, Stack(3), learn_initial=False),
    "layer": lambda: MemoryLayer(4, Stack(3)),
    "recurrent": lambda: Recurrent(4),
    "attention": lambda: CausalAttention(4, 2),
}
"""Everything with an `initial_state`."""


@pytest.mark.parametrize("start", STARTS)
def test_a_batch_size_is_an_int_from_0(start: str) -> None:
    module = STARTS[start]()
    for size, error, message in (
        (-1, ValueError, "batch_size is -1, but 0 or more was expected"),
        (2.5, TypeError, "batch_size is 2.5, but an int was expected: the number of rows"),
        ("2", TypeError, "batch_size is '2', but an int was expected: the number of rows"),
    ):
        with pytest.raises(error, match=f"^{re.escape(message)}$"):
            module.initial_state(size)
    module.initial_state(0)
    module.initial_state(np.int64(2))
