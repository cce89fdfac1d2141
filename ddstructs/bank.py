"""Several memories side by side, and none at all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast, final

import torch
from torch import Tensor, nn

from ddstructs.line import compact
from ddstructs.memory import Action, Contents, Memory, Start, State
from ddstructs.ops import strength_dtype

__all__ = ["Bank", "BankState", "NoMemory"]


@dataclass(frozen=True)
class BankState(State):
    """The states of the memories in a bank, in their order."""

    states: tuple[State, ...]


@final
class Bank(Memory[BankState]):
    """Several memories side by side as one: its heads are theirs, one after another.

    Contents are those of the first memory, then those of the second, and so on; for one of them alone ask it, with its
    own part of the state: `bank.memories[0].contents(state.states[0])`.

    Args:
        memories: One or more memories of the same width.

    Raises:
        ValueError: If there is none, or if their widths differ.

    Example:
        >>> from ddstructs import Bank, Queue, Stack
        >>> bank = Bank([Stack(16), Queue(16)])
        >>> bank.heads, bank.width
        (2, 16)
    """

    def __init__(self, memories: Sequence[Memory]) -> None:
        super().__init__()
        if not memories:
            raise ValueError(
                "a bank has one memory or more, but none was given: NoMemory() is the memory without heads"
            )
        for memory in memories:
            if not isinstance(memory, Memory):
                raise TypeError(f"a bank is of memories, but {memory!r} is none")
        widths = [memory.width for memory in memories]
        if len(set(widths)) > 1:
            raise ValueError(f"the memories of a bank have one width, but these have {widths}")
        self.memories = nn.ModuleList(memories)
        self.width = widths[0]
        self.heads = sum(memory.heads for memory in memories)

    @property
    def starts(self) -> tuple[Start, ...]:
        """Those of its memories side by side."""
        parts = [cast("Memory", memory).starts for memory in self.memories]
        return tuple(
            Start(*(sum(biases, ()) for biases in zip(*(part[i % len(part)] for part in parts), strict=True)))
            for i in range(max(map(len, parts)))
        )

    @property
    def stores(self) -> tuple[int, ...]:
        return tuple(heads for memory in self._members for heads in memory.stores)

    def initial_state(
        self, batch_size: int, *, device: torch.device | str | None = None, dtype: torch.dtype | None = None
    ) -> BankState:
        return BankState(tuple(m.initial_state(batch_size, device=device, dtype=dtype) for m in self._members))

    def step(self, action: Action, state: BankState) -> tuple[Tensor, BankState]:
        self.check(action)
        results = [m.step(*part) for m, part in zip(self._members, self._split(action, state, axis=1), strict=True)]
        return torch.cat([read for read, _ in results], dim=1), BankState(tuple(after for _, after in results))

    def forward(self, actions: Action, state: BankState | None = None) -> tuple[Tensor, BankState]:
        self.check(actions, time=True)
        if state is None:
            state = self.initial_state(len(actions.value), device=actions.value.device, dtype=actions.value.dtype)
        results = [m(*part) for m, part in zip(self._members, self._split(actions, state, axis=2), strict=True)]
        return torch.cat([reads for reads, _ in results], dim=2), BankState(tuple(after for _, after in results))

    def contents(self, state: BankState) -> Contents:
        each = [m.contents(part) for m, part in zip(self._members, state.states, strict=True)]
        return compact(Contents(torch.cat([c.values for c in each], 1), torch.cat([c.strengths for c in each], 1)))

    @property
    def _members(self) -> list[Memory]:
        return cast("list[Memory]", list(self.memories))

    def _split(self, action: Action, state: BankState, axis: int) -> list[tuple[Action, State]]:
        """Each member's part of the action, whose heads lie along `axis`, and of the state."""
        if not isinstance(state, BankState) or len(state.states) != len(self.memories):
            came = f"{len(state.states)} states" if isinstance(state, BankState) else f"a {type(state).__name__}"
            raise TypeError(f"state has {came}, but a Bank of {len(self.memories)} steps from its own initial_state")
        sizes = [m.heads for m in self._members]
        parts = zip(*(part.split(sizes, dim=axis) for part in action), strict=True)
        return [(Action(*part), own) for part, own in zip(parts, state.states, strict=True)]


@dataclass(frozen=True)
class NoState(State):
    """Nothing but the size of the batch, dtype and device."""

    template: Tensor


@final
class NoMemory(Memory[NoState]):
    """No memory: zero heads, nothing stored, nothing read. The baseline of the paper.

    A controller around it is the bare recurrent network.

    Example:
        >>> from ddstructs import MemoryRNN, NoMemory
        >>> rnn = MemoryRNN(8, 16, NoMemory(), cell="lstm")
    """

    heads = 0
    width = 0

    def initial_state(
        self, batch_size: int, *, device: torch.device | str | None = None, dtype: torch.dtype | None = None
    ) -> NoState:
        return NoState(torch.zeros(batch_size, 0, 0, device=device, dtype=dtype))

    def step(self, action: Action, state: NoState) -> tuple[Tensor, NoState]:
        self.check(action)
        return action.value, state

    def contents(self, state: NoState) -> Contents:
        none = state.template
        return Contents(none, none.new_zeros(len(none), 0, dtype=strength_dtype(none.dtype)))
