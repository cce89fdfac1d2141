"""The parts of a `MemoryRNN` used in every step, its state and its results."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

from ddstructs.actions import harden
from ddstructs.errors import InputError
from ddstructs.memory import Memory
from ddstructs.registry.plugins import named
from ddstructs.state import State

__all__ = ["Network", "Noise", "Path", "RNNState", "Unrolled", "build_cell"]


@dataclass(frozen=True)
class RNNState(State):
    """The state of a `MemoryRNN` between two steps; H_t in the paper.

    Attributes:
        hidden: State of the cell, the output first: one or more tensors of shape `(batch, hidden_size)`. Unlike the
            output of the network, it does not include the last read.
        read: Last read, shape `(batch, heads, read_width)`.
        memory: State of the memory.
    """

    hidden: tuple[Tensor, ...]
    read: Tensor
    memory: State


class Unrolled(NamedTuple):
    """The results and intermediate values of a sequence, batch first.

    Attributes:
        output: Shape `(batch, time, hidden_size)`; o_t in the paper.
        actions: The actions of the memory in each step; an `Action` if it pushes and pops.
        reads: Its reads, shape `(batch, time, heads, read_width)`; including the noise in training.
        state: The state after the last step of each row.
    """

    output: Tensor
    actions: Any
    reads: Tensor
    state: RNNState


class Path(NamedTuple):
    """How a network runs a sequence.

    Attributes:
        name: "compiled" if all steps run in compiled code, "loop" if they run one by one.
        reason: Why, in a few words.
    """

    name: Literal["compiled", "loop"]
    reason: str


class Network(NamedTuple):
    """The parts of a `MemoryRNN` used in every step.

    Attributes:
        cell: The cell.
        to_action: Layer from the cell's output to the logits of the signals and the value before its tanh.
        value_skip: Layer from the input to a term of the value, if any.
        signal_skip: Layer from the input to a term of the logits of the signals, if any.
        memory: The memory.
        hard: Whether actions are made hard, with a straight-through gradient; see `ddstructs.harden`.
    """

    cell: nn.Module
    to_action: nn.Module | None
    value_skip: nn.Module | None
    signal_skip: nn.Module | None
    memory: Memory
    hard: bool

    def terms(self, x: Tensor, noise: Tensor | None) -> tuple[Tensor | None, Tensor | None]:
        """What is added to the logits of the signals and to the values before their tanh, if anything.

        Args:
            x: The inputs, shape `(batch, time, input_size)`.
            noise: Noise on the logits of the signals, if any, shape `(time, batch, signals)`.
        """
        logits = None if noise is None else noise.transpose(0, 1)
        if self.signal_skip is not None:
            logits = self.signal_skip(x) if logits is None else self.signal_skip(x) + logits
        return logits, None if self.value_skip is None else self.value_skip(x)

    def action(self, output: Tensor, more_logits: Tensor | None, more_value: Tensor | None) -> Any:
        """The action of one step.

        Args:
            output: Output of the cell, shape `(batch, hidden_size)`.
            more_logits: Added to the logits of the signals, if given, shape `(batch, signals)`.
            more_value: Added to the values before their tanh, likewise, shape `(batch, heads * width)`.
        """
        signals, heads, width = self.memory.signals, self.memory.heads, self.memory.width
        if self.to_action is None:
            return signals.action(output[:, :0], output[:, :0, None].expand(-1, 0, width))
        logits, value = self.to_action(output).tensor_split((signals.size,), dim=1)
        if more_logits is not None:
            logits = logits + more_logits
        if more_value is not None:
            value = value + more_value
        action = signals.action(logits, value.tanh().view(-1, heads, width))
        return harden(action) if self.hard else action


class Noise(NamedTuple):
    """Noise to add in each step, if any.

    Attributes:
        reads: Noise on the reads, shape `(time, batch, heads, width)`.
        states: Noise on the states of the cell other than its output, after each step, shape
            `(states, time, batch, hidden_size)`.
        signals: Noise on the logits of the signals, shape `(time, batch, signals)`.
    """

    reads: Tensor | None
    states: Tensor | None
    signals: Tensor | None


def build_cell(
    cell: str | nn.Module,
    input_size: int,
    hidden_size: int,
    device: torch.device | str | None,
    dtype: torch.dtype | None,
) -> nn.Module:
    if isinstance(cell, str):
        try:
            kind = named("cell", cell)
        except InputError as error:
            raise InputError(f"{error}, or pass a module") from error
        built: nn.Module = kind(input_size, hidden_size, device=device, dtype=dtype)
        return built
    if isinstance(cell, nn.RNNBase):
        raise ValueError(f"the cell is an nn.{type(cell).__name__}, which takes whole sequences: use its cell")
    for name, expected in (("input_size", input_size), ("hidden_size", hidden_size)):
        if getattr(cell, name, None) != expected:
            raise ValueError(
                f"the cell has {name} {getattr(cell, name, None)}, but {expected} was expected "
                "(it takes the input and the reads, of size heads * read_width)"
            )
    return cell
