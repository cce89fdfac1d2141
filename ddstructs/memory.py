"""The abstract memory: a step maps an action and a state to a read and a new state."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Generic, cast

import torch
from torch import Tensor, nn
from typing_extensions import TypeVar

from ddstructs.actions import Action, harden, unbind
from ddstructs.checks import check_action, check_batch, check_fit, check_reset, check_size
from ddstructs.signals import PushPop, Signals, Start
from ddstructs.state import Contents, State, merged, tensors

if TYPE_CHECKING:
    from ddstructs.ops import Layout

__all__ = [
    "Action",
    "Contents",
    "Memory",
    "Signals",
    "Start",
    "State",
    "check_batch",
    "check_fit",
    "check_reset",
    "check_size",
    "harden",
]


S = TypeVar("S", bound=State, default=Any)


class Memory(nn.Module, ABC, Generic[S]):
    r"""A differentiable data structure without parameters: each step takes an action and returns a read.

    A subclass defines `heads`, `width` and the three abstract methods, and `signals` if its actions are anything other
    than push and pop. It stores each constructor argument in an attribute of the same name, so that a checkpoint can
    describe how to rebuild it. Two laws hold for every memory: `forward` equals `step` in a loop, and splitting a
    sequence in two and carrying the state over does not change the result.

    Attributes:
        heads: Number of heads; in each step every head has its own signals, value and read. With none, a step does
            nothing and returns the state it was given.
        width: Size of one value.
        validate: Whether to check signal values as well as shapes, and to raise if one is NaN or out of range. Off by
            default, because on a GPU the check synchronizes with the device.
    """

    heads: int
    width: int
    validate: bool = False

    @property
    def signals(self) -> Signals:
        """The signals of an action besides its value; a push and a pop for each head, unless overridden."""
        return PushPop(self.heads)

    @property
    def read_width(self) -> int:
        """Size of the read of one head; equal to `width` unless a subclass reads several values at once."""
        return self.width

    @property
    def starts(self) -> tuple[Any, ...]:
        """Initial biases of the logits for a network that learns to use this memory, in order of preference.

        Each is a `Start(push, pop)`; for other signals, one number per logit, nested in any way. The default is a
        single start: push .5 and pop .27, so that pushed values stay, or equal biases for other signals. A memory that
        can be used in several ways gives one start for each; a controller whose learning stalls moves on to the next.
        """
        if isinstance(self.signals, PushPop):
            return (Start((0.0,) * self.heads, (-1.0,) * self.heads),)
        return ((0.0,) * self.signals.size,)

    @property
    def line(self) -> Layout | None:
        """The layout if `step` is `ops.step` on a line, which lets a network fuse its steps; None otherwise."""
        return None

    @property
    def lines(self) -> tuple[Layout, ...]:
        """The layout of each line, in the order of the heads, if `step` is `ops.step` on separate lines; else empty."""
        line = self.line
        return () if line is None else (line,)

    @property
    def ends(self) -> tuple[tuple[str, str], ...]:
        """For each head, the end of its store at which it pushes and the end at which it pops and reads.

        An end is "top" (the last slot of the contents) or "bottom" (the first); both are "top" unless overridden.
        """
        return (("top", "top"),) * self.heads

    @property
    def stores(self) -> tuple[int, ...]:
        """Number of heads on each store, in order; one store with all heads, unless this memory holds several."""
        return (self.heads,) if self.heads else ()

    @abstractmethod
    def initial_state(
        self, batch_size: int, *, device: torch.device | str | None = None, dtype: torch.dtype | None = None
    ) -> S:
        """The state of an empty memory.

        Args:
            batch_size: Number of rows; each is an independent memory.
            device: Device of the state; torch's default device if not given.
            dtype: Floating-point type of the values; torch's default dtype if not given.

        Raises:
            TypeError: If `batch_size` is not an integer.
            ValueError: If it is negative.
        """

    @abstractmethod
    def step(self, action: Any, state: S) -> tuple[Tensor, S]:
        """Take one time step: apply the action, then read.

        Args:
            action: An action of type `signals.action_type`, without a time axis. For memories that push and pop, an
                `Action` with push and pop of shape `(batch, heads)` in [0, 1] and a value of shape
                `(batch, heads, width)`.
            state: The state before the step; it is not modified.

        Returns:
            The read, shape `(batch, heads, read_width)`, and the state after the step.

        Raises:
            ValueError: If a shape or a device does not fit this memory and this state.
            TypeError: If a dtype does not fit.
        """

    @abstractmethod
    def contents(self, state: S) -> Contents:
        """The live slots of a state, in the order of the structure."""

    def split(self, actions: Any) -> list[tuple[Memory, Any]]:
        """The memories this one consists of, each with its part of the actions of a sequence; itself by default."""
        return [(self, actions)]

    def line_states(self, state: State) -> tuple[State, ...]:
        """The state of each of `lines`; empty if the state does not belong to this memory."""
        return () if self.line is None else (state,)

    def from_lines(self, states: Sequence[State]) -> S:
        """The state of this memory, from the state of each of `lines`."""
        (state,) = states
        return cast("S", state)

    def emptied(self, state: S, rows: Tensor) -> S:
        """Empty some rows of a state.

        Args:
            state: The state; it is not modified.
            rows: The rows to empty, shape `(batch,)`, bool.
        """
        like = next(part for part in tensors(state) if part.is_floating_point())
        fresh = self.initial_state(len(rows), device=like.device, dtype=like.dtype)
        return cast("S", merged(rows, fresh, state))

    def forward(self, actions: Any, state: S | None = None, reset: Tensor | None = None) -> tuple[Tensor, S]:
        """Run a whole sequence of steps.

        Args:
            actions: An action with a time axis after the batch axis. For memories that push and pop, an `Action` with
                push and pop of shape `(batch, time, heads)` in [0, 1] and a value of shape
                `(batch, time, heads, width)`.
            state: The state before the first step; an empty memory if not given.
            reset: Mask of the steps before which a row is emptied, shape `(batch, time)`, bool; none if not given.
                Resets split a row into pieces that give the same results as if each were run on its own.

        Returns:
            The reads, shape `(batch, time, heads, read_width)`, and the state after the last step. The state may share
            memory with `actions.value`: clone that tensor before you modify it in place.

        Raises:
            ValueError: If a shape or a device does not fit this memory and this state.
            TypeError: If a dtype does not fit.
        """
        self.check(actions, time=True)
        value = actions.value
        if state is None:
            state = self.initial_state(value.shape[0], device=value.device, dtype=value.dtype)
        resets = check_reset(reset, value)
        reads = []
        for t, action in enumerate(unbind(actions)):
            if resets is not None and resets[:, t].any():
                state = self.emptied(state, resets[:, t])
            read, state = self.step(action, state)
            reads.append(read)
        if not reads:
            return value.new_zeros(*value.shape[:-1], self.read_width), state
        return torch.stack(reads, dim=1), state

    def check(self, action: Any, *, time: bool = False) -> None:
        """Raise an error if an action does not fit this memory.

        Args:
            action: The action of one step or of a whole sequence.
            time: Whether there is a time axis after the batch axis.

        Raises:
            ValueError: If a shape or a device does not fit or, with `validate`, if a signal is NaN or out of range.
            TypeError: If `action` is not of type `signals.action_type`, or if one of its parts is not a floating-point
                tensor.
        """
        signals = self.signals
        check_action(self, action, signals, time)
        if self.validate:
            signals.inspect(action)
