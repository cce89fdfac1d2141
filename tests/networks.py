"""Networks with every memory, in float64, and what their tests compare."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from ddstructs import Bank, Deque, Memory, MemoryRNN, NoMemory, Queue, RNNState, Stack, SuperpositionStack, Tape

INPUT, HIDDEN, WIDTH = 3, 5, 4

MEMORIES: dict[str, Callable[[], Memory]] = {
    "stack": lambda: Stack(WIDTH),
    "queue": lambda: Queue(WIDTH),
    "deque": lambda: Deque(WIDTH),
    "bank": lambda: Bank([Stack(WIDTH), Deque(WIDTH)]),
    "none": NoMemory,
    "superposition": lambda: SuperpositionStack(WIDTH, reads=2, empty=-1.0),
    "tape": lambda: Tape(WIDTH),
    "ring": lambda: Tape(WIDTH, size=5, write="add", jump=2),
    "mixed": lambda: Bank([Stack(WIDTH), Tape(WIDTH), SuperpositionStack(WIDTH, noop=False)]),
}


def network(memory: str = "stack", cell: str | nn.Module = "rnn", seed: int = 0, **options: Any) -> MemoryRNN:
    """A network in float64, in which nothing begins at zero."""
    torch.manual_seed(seed)
    working = MEMORIES[memory]()
    arguments: dict[str, Any] = {"batch_first": True, "dtype": torch.float64} | options
    if "pop" in dict(working.signals.labels):
        arguments = {"pop_bias": 0.0} | arguments
    rnn = MemoryRNN(INPUT, HIDDEN, working, cell, **arguments)
    if rnn.initial is not None:
        nn.init.normal_(rnn.initial)
    if rnn.signal_skip is not None:
        nn.init.normal_(rnn.signal_skip.weight)
    return rnn


def signals(rnn: MemoryRNN) -> nn.Linear:
    """The layer that computes push, pop and value."""
    assert rnn.to_action is not None
    return rnn.to_action


def noise(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def same(got: Any, expected: Any) -> None:
    """Assert equality in float64, up to the order of sums."""
    torch.testing.assert_close(got, expected, rtol=1e-10, atol=1e-12)


def run(rnn: MemoryRNN, x: Tensor, state: RNNState | None = None, lengths: Any = None) -> tuple[Tensor, RNNState]:
    """A call whose output is a tensor."""
    result: tuple[Tensor, RNNState] = rnn(x, state, lengths)
    return result


def tensors(rnn: MemoryRNN, state: RNNState) -> list[Tensor]:
    """All tensors of a state."""
    contents = rnn.memory.contents(state.memory)
    return [*state.hidden, state.read, contents.values, contents.strengths]


def assert_same_state(rnn: MemoryRNN, state: RNNState, expected: RNNState) -> None:
    for got, wanted in zip(tensors(rnn, state), tensors(rnn, expected), strict=True):
        same(got, wanted)


def gradients(rnn: MemoryRNN) -> dict[str, Tensor]:
    """The gradient of each parameter, or zero; clears the gradients."""
    found = {n: torch.zeros_like(p) if p.grad is None else p.grad.clone() for n, p in rnn.named_parameters()}
    rnn.zero_grad()
    return found


def loss(output: Tensor, state: RNNState) -> Tensor:
    """A scalar that depends on the whole output, the last hidden state and the last read."""
    weights = torch.linspace(0.5, 1.5, output.shape[-1], dtype=output.dtype)
    return (output * weights).square().sum() + sum(h.sin().sum() for h in state.hidden) + state.read.cos().sum()
