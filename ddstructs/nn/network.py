"""The parts of a `MemoryRNN` that take part in every step, and what it carries and tells."""

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
    """What a `MemoryRNN` carries from one step to the next; H_t in the paper.

    Attributes:
        hidden: State of the cell, the output first: one or more tensors of shape `(batch, hidden_size)`. Unlike the
            output of the network, it does not have the last read in it.
        read: Last read, shape `(batch, heads, read_width)`.
        memory: State of the memory.
    """

    hidden: tuple[Tensor, ...]
    read: Tensor
    memory: State


class Unrolled(NamedTuple):
    """All that happened in a sequence, batch first.

    Attributes:
        output: Shape `(batch, time, hidden_size)`; o_t in the paper.
        actions: What the memory was told in each step, an `Action` of one that pushes and pops.
        reads: What it answered, shape `(batch, time, heads, read_width)`; in training with the noise on it.
        state: The state after the last step of each row.
    """

    output: Tensor
    actions: Any
    reads: Tensor
    state: RNNState


class Path(NamedTuple):
    """How a network runs over a sequence.

    Attributes:
        name: "compiled" if all steps are taken at once in compiled code, "loop" if they are taken one by one.
        reason: Why, in a few words.
    """

    name: Literal["compiled", "loop"]
    reason: str


class Network(NamedTuple):
    """The parts of a `MemoryRNN` that take part in every step.

    Attributes:
        cell: The cell.
        to_action: From the cell's output to the logits of the signals and the value before its tanh.
        value_skip: From the input to a term of the value, if any.
        memory: The memory.
        hard: Whether actions are made hard, with a straight-through gradient; see `ddstructs.harden`.
    """

    cell: nn.Module
    to_action: nn.Module | None
    value_skip: nn.Module | None
    memory: Memory
    hard: bool

    def action(self, output: Tensor, skip: Tensor) -> Any:
        """The action of one step.

        Args:
            output: Output of the cell, shape `(batch, hidden_size)`.
            skip: What `value_skip` makes of the input, shape `(batch, heads * width)`.
        """
        signals, heads, width = self.memory.signals, self.memory.heads, self.memory.width
        if self.to_action is None:
            return signals.action(output[:, :0], output[:, :0, None].expand(-1, 0, width))
        logits, value = self.to_action(output).tensor_split((signals.size,), dim=1)
        if self.value_skip is not None:
            value = value + skip
        action = signals.action(logits, value.tanh().view(-1, heads, width))
        return harden(action) if self.hard else action


class Noise(NamedTuple):
    """Noise added in each step, if any.

    Attributes:
        reads: On the reads, shape `(time, batch, heads, width)`.
        states: On the states of the cell beside its output, after each step, shape
            `(states, time, batch, hidden_size)`.
    """

    reads: Tensor | None
    states: Tensor | None


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
                "(its input is the input beside the reads, heads * read_width)"
            )
    return cell
