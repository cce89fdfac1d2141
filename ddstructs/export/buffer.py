"""Line memories with hard signals in a buffer of fixed size, which a graph without PyTorch can hold."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from ddstructs.memory import Action, Contents, Memory, check_batch, check_size
from ddstructs.ops import End, strength_dtype
from ddstructs.signals import Signals
from ddstructs.state import State

__all__ = ["Buffer", "BufferState", "bounded"]


@final
@dataclass(frozen=True)
class BufferState(State):
    """The values of each row, in a ring of slots. A state of zeros is empty.

    Attributes:
        values: The slots, shape `(batch, capacity, width)`.
        first: The slot of the bottom value, shape `(batch,)`, int64.
        count: Number of values, shape `(batch,)`, int64; they are in the slots from `first` on.
        overflow: Whether a push has found the buffer full, so that its value was dropped; shape `(batch,)`, bool.
    """

    values: Tensor
    first: Tensor
    count: Tensor
    overflow: Tensor


@final
class Buffer(Memory[BufferState]):
    """A line memory with hard signals, for at most `capacity` values in each row.

    While no row overflows, reads and contents are those of the memory itself, bit for bit: pops in the order of the
    heads, then pushes, then reads. A push onto a full buffer drops its value, and `overflow` stays true from then on.

    Args:
        memory: A line memory, such as a stack, a queue or a deque.
        capacity: Maximum number of values, 1 or more.

    Raises:
        ValueError: If `memory` is not a line memory, or if the capacity is less than 1.
        TypeError: If the capacity is not an int.

    Example:
        >>> import torch
        >>> from ddstructs import Action, Queue
        >>> from ddstructs.export.buffer import Buffer
        >>> queue = Buffer(Queue(1), capacity=2)
        >>> push, pop = torch.tensor([[[1.0], [1.0], [1.0]]]), torch.tensor([[[0.0], [0.0], [1.0]]])
        >>> reads, state = queue(Action(push, pop, torch.tensor([5.0, 6.0, 7.0]).view(1, 3, 1, 1)))
        >>> reads.flatten().tolist(), state.overflow.item()
        ([5.0, 5.0, 6.0], False)
    """

    def __init__(self, memory: Memory, capacity: int) -> None:
        super().__init__()
        if memory.line is None:
            raise ValueError(f"a Buffer is for a line memory such as Stack(64), but {type(memory).__name__} is none")
        self.layout = memory.line
        self.memory = memory
        self.capacity = check_size("capacity", capacity)
        self.heads, self.width = memory.heads, memory.width

    @property
    def signals(self) -> Signals:
        return self.memory.signals

    def initial_state(
        self, batch_size: int, *, device: torch.device | str | None = None, dtype: torch.dtype | None = None
    ) -> BufferState:
        check_batch(batch_size)
        values = torch.zeros(batch_size, self.capacity, self.width, device=device, dtype=dtype)
        zero = torch.zeros(batch_size, dtype=torch.int64, device=device)
        return BufferState(values, zero, zero, torch.zeros_like(zero, dtype=torch.bool))

    def step(self, action: Action, state: BufferState) -> tuple[Tensor, BufferState]:
        self.check(action)
        values, first, count, overflow = state.values, state.first, state.count, state.overflow
        push, pop = action.push >= 0.5, action.pop >= 0.5
        for h, head in enumerate(self.layout):
            popped = pop[:, h] & (count > 0)
            count = count - popped.long()
            if head.take is End.BOTTOM:
                first = first + popped.long()
        for h, head in enumerate(self.layout):
            full = count == self.capacity
            overflow = overflow | (push[:, h] & full)
            pushed = push[:, h] & ~full
            if head.push is End.BOTTOM:
                first = first - pushed.long()
            place = (first if head.push is End.BOTTOM else first + count) % self.capacity
            value = torch.where(pushed[:, None], action.value[:, h], self._at(place, values))
            values = values.scatter(1, self._index(place), value[:, None])
            count = count + pushed.long()
        reads = []
        for head in self.layout:
            place = (first if head.take is End.BOTTOM else first + count - 1) % self.capacity
            reads.append(torch.where((count > 0)[:, None], self._at(place, values), 0.0))
        return torch.stack(reads, dim=1), BufferState(values, first % self.capacity, count, overflow)

    def _at(self, place: Tensor, values: Tensor) -> Tensor:
        """The value in one slot of each row, shape `(batch, width)`."""
        return values.gather(1, self._index(place))[:, 0]

    def _index(self, place: Tensor) -> Tensor:
        return place[:, None, None].expand(-1, 1, self.width)

    def contents(self, state: BufferState) -> Contents:
        slots = torch.arange(int(state.count.max()) if len(state.count) else 0, device=state.values.device)
        live = slots < state.count[:, None]
        places = (state.first[:, None] + slots) % self.capacity
        values = state.values.gather(1, places[..., None].expand(-1, -1, self.width))
        strengths = live.to(strength_dtype(values.dtype))
        return Contents(torch.where(live[..., None], values, 0.0), strengths)


def bounded(memory: Memory, capacity: int) -> Memory:
    """A copy of a memory in which a `Buffer` takes the place of each line memory.

    Args:
        memory: Any memory; other memories than those on a line, and those that hold several, keep their form.
        capacity: Maximum number of values in each line memory.

    Example:
        >>> from ddstructs import Bank, NoMemory, Queue, Stack
        >>> from ddstructs.export.buffer import bounded
        >>> [type(each).__name__ for each in bounded(Bank([Stack(4), Queue(4)]), 8).memories]
        ['Buffer', 'Buffer']
        >>> bounded(NoMemory(), 8)
        NoMemory()
    """
    if memory.line is not None:
        return Buffer(memory, capacity)
    memory = copy.deepcopy(memory)
    for name, part in list(memory.named_modules()):
        if isinstance(part, Memory) and part.line is not None:
            memory.set_submodule(name, Buffer(part, capacity))
    return memory
