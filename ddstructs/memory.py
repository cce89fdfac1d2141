"""The abstract memory: a step maps an action and a state to a read and a new state."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, Generic, cast

import torch
from torch import Tensor, nn
from typing_extensions import TypeVar

from ddstructs.actions import Action, harden, unbind
from ddstructs.registry.ranges import SIZE
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
        heads: Number of heads; in each step every head has its own signals, value and read.
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

    def apart(self, actions: Any) -> list[tuple[Memory, Any]]:
        """The memories this one consists of, each with its part of the actions of a sequence."""
        return [(self, actions)]

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
        if not (isinstance(action, signals.action_type) and self._fits(action, signals, 1 + time)):
            self._refuse(action, signals, 1 + time)
        if self.validate:
            signals.inspect(action)

    def _fits(self, action: Any, signals: Signals, lead: int) -> bool:
        """Whether an action has the expected types and shapes, with `lead` axes before the head axis."""
        value = action.value
        if not (isinstance(value, Tensor) and value.is_floating_point()):
            return False
        shape, device = tuple(value.shape[:lead]), value.device
        if value.shape != (*shape, self.heads, self.width) or len(shape) != lead:
            return False
        parts = [(getattr(action, name), sizes.values()) for name, sizes in signals.axes.items()]
        return all(
            isinstance(part, Tensor)
            and part.shape == (*shape, *sizes)
            and part.is_floating_point()
            and part.device == device
            for part, sizes in parts
        )

    def _refuse(self, action: Any, signals: Signals, lead: int) -> None:
        """Raise the error for an action that does not fit."""
        kind, batch = type(self).__name__, "(batch, time)" if lead > 1 else "(batch)"
        if not isinstance(action, signals.action_type):
            form = f"{signals.action_type.__name__}({', '.join(signals.action_type._fields)})"
            form = f"{'an' if form[0] in 'AEIOU' else 'a'} {form}"
            taker = "a memory" if signals.action_type is Action else f"a {kind}"
            raise TypeError(f"action is a {type(action).__name__}, but {taker} takes {form}")
        for name, part in zip(action._fields, action, strict=True):
            if not isinstance(part, Tensor) or not part.is_floating_point():
                sort = part.dtype if isinstance(part, Tensor) else type(part).__name__
                raise TypeError(f"{name} is {sort}, but a memory takes floating-point tensors")
        axes = signals.axes | {"value": {"heads": self.heads, "width": self.width}}
        first, shape = action._fields[0], tuple(action[0].shape[:lead])
        for name, part in zip(action._fields, action, strict=True):
            if part.device != action.value.device:
                raise ValueError(
                    f"{name} is on {part.device}, but value is on {action.value.device}: move one to the other"
                )
            if part.dim() != lead + len(axes[name]):
                form = f"{', '.join([batch[:-1], *axes[name]])})"
                raise ValueError(
                    f"{name} has shape {tuple(part.shape)}, but {lead + len(axes[name])} axes were expected: {form}"
                )
        for name, part in zip(action._fields, action, strict=True):
            if part.shape[:lead] != shape:
                raise ValueError(f"{name} has {batch} {tuple(part.shape[:lead])}, but {first} has {shape}")
            for (axis, size), came in zip(axes[name].items(), part.shape[lead:], strict=True):
                if came != size:
                    raise ValueError(_MISFITS[axis].format(name=name, came=came, size=size, kind=kind))


def check_size(name: str, size: object) -> int:
    """Return a size if it is an int of at least 1.

    Raises:
        TypeError: If it is not an int.
        ValueError: If it is less than 1.
    """
    if not isinstance(size, int) or isinstance(size, bool):
        raise TypeError(f"{name} is {size!r}, but an int was expected")
    if size not in SIZE:
        raise ValueError(f"{name} is {size}, but {SIZE.low} or more was expected")
    return size


def check_fit(memory: Memory, value: Tensor, like: Tensor) -> Tensor:
    """Check that a value fits a state, and return it in the state's dtype, which may differ only under autocast.

    Args:
        memory: The memory the state belongs to.
        value: Shape `(batch, ...)`.
        like: A tensor of the state, shape `(batch, ..., width)`, in the dtype of its values.

    Raises:
        ValueError: If the batch size, the width or the device differs from that of the state.
        TypeError: If the dtype differs and autocast is off.
    """
    kind = type(memory).__name__
    if value.shape[0] != like.shape[0]:
        raise ValueError(f"value has batch {value.shape[0]}, but the state of this {kind} has batch {like.shape[0]}")
    if like.shape[-1] != memory.width:
        raise ValueError(f"state holds width {like.shape[-1]}, but this {kind} stores width {memory.width}")
    if value.device != like.device:
        raise ValueError(f"value is on {value.device}, but the state is on {like.device}: use state.to(device)")
    if value.dtype != like.dtype and not torch.is_autocast_enabled(value.device.type):
        raise TypeError(f"value is {value.dtype}, but the state holds {like.dtype}: use state.to(dtype=...)")
    return value.to(like.dtype)


_MISFITS = {
    "heads": "{name} is for {came} heads, but this {kind} has {size}",
    "width": "{name} has width {came}, but this {kind} stores width {size}",
    "operations": "{name} is for {came} operations, but this {kind} has {size}",
}
"""The message for an axis of unexpected size, by the name of the axis."""


def check_reset(reset: Tensor | None, value: Tensor) -> Tensor | None:
    """Check that a reset mask fits the values of a sequence, and return it on their device.

    Args:
        reset: Shape `(batch, time)`, bool; or None.
        value: Shape `(batch, time, ...)`.

    Raises:
        ValueError: If the shape does not fit.
        TypeError: If the mask is not a bool tensor.
    """
    if reset is None:
        return None
    if not isinstance(reset, Tensor) or reset.dtype != torch.bool:
        came = reset.dtype if isinstance(reset, Tensor) else type(reset).__name__
        raise TypeError(f"reset is {came}, but a bool tensor was expected")
    if reset.shape != value.shape[:2]:
        raise ValueError(f"reset has shape {tuple(reset.shape)}, but (batch, time) is {tuple(value.shape[:2])}")
    return reset.to(value.device)
