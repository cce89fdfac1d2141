"""`Bank`, several memories in parallel, and `NoMemory`, the baseline without one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast, final

import torch
from torch import Tensor, nn

from ddstructs.actions import Joint
from ddstructs.line import REPLACED, compact
from ddstructs.memory import Action, Memory, check_batch, check_reset
from ddstructs.ops import Layout, strength_dtype
from ddstructs.signals import Mixed, PushPop, Signals, Start, join
from ddstructs.state import Contents, State

__all__ = ["Bank", "BankState", "NoMemory"]


@dataclass(frozen=True)
class BankState(State):
    """The states of the memories in a bank, in their order."""

    states: tuple[State, ...]


@final
class Bank(Memory[BankState]):
    """Several memories in parallel as one memory, whose heads are those of its members in order.

    If all members have the same signals, as a stack and a queue do, an action holds the heads of all members.
    Otherwise it is a `Joint` of one action per member.

    Contents are those of the first member, then those of the second, and so on. For a single member, use its own part
    of the state: `bank.memories[0].contents(state.states[0])`.

    Args:
        memories: One or more memories of the same width and the same read width.

    Raises:
        ValueError: If no memory is given, or if widths differ.
        TypeError: If an element is not a `Memory`.

    Example:
        >>> from ddstructs import Bank, Queue, Stack
        >>> bank = Bank([Stack(16), Queue(16)])
        >>> bank.heads, bank.width
        (2, 16)
    """

    def __init__(self, memories: Sequence[Memory]) -> None:
        super().__init__()
        if isinstance(memories, Memory):
            raise TypeError(f"a Bank takes a list of memories, but {memories!r} is a single one")
        if not memories:
            raise ValueError(
                "a Bank needs one memory or more, but none was given: use NoMemory() for a network without memory"
            )
        for memory in memories:
            if not isinstance(memory, Memory):
                raise TypeError(f"a Bank takes memories, but {memory!r} is a {type(memory).__name__}")
        widths = [memory.width for memory in memories]
        if len(set(widths)) > 1:
            raise ValueError(f"the memories of a Bank must have the same width, but these have {widths}")
        reads = [memory.read_width for memory in memories]
        if len(set(reads)) > 1:
            raise ValueError(f"the memories of a Bank must have the same read width, but these have {reads}")
        self.memories = nn.ModuleList(memories)
        self.width = widths[0]
        self.heads = sum(memory.heads for memory in memories)
        self._signals = join([memory.signals for memory in memories])

    @property
    def signals(self) -> Signals:
        return self._signals

    @property
    def read_width(self) -> int:
        return self._members[0].read_width

    @property
    def starts(self) -> tuple[Any, ...]:
        """The starts of the members, combined by position; a member with fewer starts repeats its own."""
        each = [member.starts for member in self._members]
        sides = [[starts[i % len(starts)] for starts in each] for i in range(max(map(len, each)))]
        if isinstance(self.signals, Mixed):
            return tuple(tuple(side) for side in sides)
        return tuple(self._side_by_side(side) for side in sides)

    @property
    def lines(self) -> tuple[Layout, ...]:
        each = [member.lines for member in self._members]
        if not all(each) or not REPLACED.isdisjoint(vars(self)):
            return ()
        return tuple(line for lines in each for line in lines)

    @property
    def ends(self) -> tuple[tuple[str, str], ...]:
        return tuple(ends for member in self._members for ends in member.ends)

    @property
    def stores(self) -> tuple[int, ...]:
        return tuple(heads for memory in self._members for heads in memory.stores)

    def initial_state(
        self, batch_size: int, *, device: torch.device | str | None = None, dtype: torch.dtype | None = None
    ) -> BankState:
        check_batch(batch_size)
        return BankState(tuple(m.initial_state(batch_size, device=device, dtype=dtype) for m in self._members))

    def step(self, action: Any, state: BankState) -> tuple[Tensor, BankState]:
        self.check(action)
        results = [m.step(*part) for m, part in zip(self._members, self._split(action, state, axis=1), strict=True)]
        return torch.cat([read for read, _ in results], dim=1), BankState(tuple(after for _, after in results))

    def forward(
        self, actions: Any, state: BankState | None = None, reset: Tensor | None = None
    ) -> tuple[Tensor, BankState]:
        self.check(actions, time=True)
        value = actions.value
        if state is None:
            state = self.initial_state(value.shape[0], device=value.device, dtype=value.dtype)
        reset = check_reset(reset, value)
        results = [m(*part, reset) for m, part in zip(self._members, self._split(actions, state, axis=2), strict=True)]
        return torch.cat([reads for reads, _ in results], dim=2), BankState(tuple(after for _, after in results))

    def line_states(self, state: State) -> tuple[State, ...]:
        if not isinstance(state, BankState) or len(state.states) != len(self.memories):
            return ()
        pairs = zip(self._members, state.states, strict=True)
        return tuple(line for member, own in pairs for line in member.line_states(own))

    def from_lines(self, states: Sequence[State]) -> BankState:
        rest = iter(states)
        return BankState(tuple(m.from_lines([next(rest) for _ in m.lines]) for m in self._members))

    def emptied(self, state: BankState, rows: Tensor) -> BankState:
        return BankState(tuple(m.emptied(own, rows) for m, own in zip(self._members, state.states, strict=True)))

    def check(self, action: Any, *, time: bool = False) -> None:
        if not isinstance(self.signals, Mixed):
            return super().check(action, time=time)
        if not isinstance(action, Joint) or len(action.actions) != len(self.memories):
            given = f"{len(action.actions)} actions" if isinstance(action, Joint) else f"a {type(action).__name__}"
            raise TypeError(f"action is {given}, but this Bank takes a Joint of {len(self.memories)}, one per memory")
        for member, part in zip(self._members, action.actions, strict=True):
            member.check(part, time=time)
        lead = [part.value.shape[: 1 + time] for part in action.actions]
        if any(shape != lead[0] for shape in lead):
            raise ValueError(f"the actions have {'(batch, time)' if time else '(batch)'} {[tuple(s) for s in lead]}")
        if self.validate:
            self.signals.inspect(action)

    def contents(self, state: BankState) -> Contents:
        each = [m.contents(part) for m, part in zip(self._members, state.states, strict=True)]
        return compact(Contents(torch.cat([c.values for c in each], 1), torch.cat([c.strengths for c in each], 1)))

    def split(self, actions: Any) -> list[tuple[Memory, Any]]:
        parts = zip(self._members, self._parts(actions, axis=2), strict=True)
        return [each for member, part in parts for each in member.split(part)]

    @property
    def _members(self) -> list[Memory]:
        return cast("list[Memory]", list(self.memories))

    def _side_by_side(self, starts: Sequence[Any]) -> Any:
        """Combine starts of the same signals: for each signal, the biases of all heads."""
        by_name: dict[str, tuple[float, ...]] = dict.fromkeys(self.signals.names, ())
        for member, start in zip(self._members, starts, strict=True):
            for (name, _), bias in zip(member.signals.labels, member.signals.biases(start, {}), strict=True):
                by_name[name] += (bias,)
        return Start(**by_name) if isinstance(self.signals, PushPop) else tuple(by_name.values())

    def _split(self, action: Any, state: BankState, axis: int) -> list[tuple[Any, State]]:
        """Each member's part of the action, whose heads lie along `axis`, and of the state."""
        if not isinstance(state, BankState) or len(state.states) != len(self.memories):
            given = f"{len(state.states)} states" if isinstance(state, BankState) else f"a {type(state).__name__}"
            raise TypeError(
                f"state is {given}, but a Bank of {len(self.memories)} needs one from its own initial_state"
            )
        return list(zip(self._parts(action, axis), state.states, strict=True))

    def _parts(self, action: Any, axis: int) -> list[Any]:
        """Each member's part of an action, whose heads lie along `axis`."""
        if isinstance(action, Joint):
            return list(action.actions)
        sizes = [m.heads for m in self._members]
        each = zip(*(part.split(sizes, dim=axis) for part in action), strict=True)
        return [type(action)(*part) for part in each]


@dataclass(frozen=True)
class NoState(State):
    """An empty state that keeps the batch size, the dtype and the device."""

    template: Tensor


@final
class NoMemory(Memory[NoState]):
    """The absence of a memory: zero heads, and reads without elements. The baseline of the paper.

    A `MemoryRNN` with it is a plain recurrent network.

    Example:
        >>> from ddstructs import MemoryRNN, NoMemory
        >>> rnn = MemoryRNN(8, 16, NoMemory(), cell="lstm")
    """

    heads = 0
    width = 0

    def initial_state(
        self, batch_size: int, *, device: torch.device | str | None = None, dtype: torch.dtype | None = None
    ) -> NoState:
        check_batch(batch_size)
        return NoState(torch.zeros(batch_size, 0, 0, device=device, dtype=dtype))

    def step(self, action: Action, state: NoState) -> tuple[Tensor, NoState]:
        self.check(action)
        return action.value, state

    def contents(self, state: NoState) -> Contents:
        none = state.template
        return Contents(none, none.new_zeros(len(none), 0, dtype=strength_dtype(none.dtype)))
