"""Checks of what a memory is given: sizes, actions, values and reset masks."""

from __future__ import annotations

import math
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ddstructs.actions import Action
from ddstructs.registry.ranges import SIZE
from ddstructs.signals import Signals

if TYPE_CHECKING:
    from ddstructs.memory import Memory

__all__ = [
    "check_action",
    "check_batch",
    "check_fit",
    "check_flag",
    "check_reset",
    "check_size",
    "check_spread",
    "check_steps",
]

MISFITS = {
    "heads": "{name} is for {size} heads, but this {kind} has {expected}",
    "width": "{name} has width {size}, but this {kind} stores width {expected}",
    "operations": "{name} is for {size} operations, but this {kind} has {expected}",
}
"""The error for an axis of unexpected size, by the name of the axis."""


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


def check_flag(name: str, flag: object) -> bool:
    """Return a flag if it is True or False.

    Raises:
        TypeError: If it is something else.
    """
    if not isinstance(flag, bool):
        raise TypeError(f"{name} is {flag!r}, but True or False was expected")
    return flag


def check_spread(name: str, number: object) -> float:
    """Return a number if it is finite and not negative, as a standard deviation is.

    Raises:
        TypeError: If it is no number.
        ValueError: If it is negative or not finite.
    """
    expected = f"{name} is {number!r}, but a finite number from 0 was expected"
    if not isinstance(number, Real) or isinstance(number, bool):
        raise TypeError(expected)
    if not 0 <= float(number) < math.inf:
        raise ValueError(expected)
    return float(number)


def check_batch(batch_size: object) -> None:
    """Check the number of rows of an initial state. The symbolic sizes of a graph are not checked.

    Raises:
        TypeError: If it is not an integer.
        ValueError: If it is negative.
    """
    if torch.compiler.is_compiling() or isinstance(batch_size, torch.SymInt | Tensor):
        return
    if not isinstance(batch_size, Integral):
        raise TypeError(f"batch_size is {batch_size!r}, but an int was expected: the number of rows")
    if int(batch_size) < 0:
        raise ValueError(f"batch_size is {batch_size}, but 0 or more was expected")


def check_action(memory: Memory, action: Any, signals: Signals, time: bool) -> None:
    """Check the type, dtypes, shapes and devices of an action.

    Args:
        memory: The memory the action is for.
        action: The action of one step or of a whole sequence.
        signals: The signals of the memory.
        time: Whether there is a time axis after the batch axis.

    Raises:
        ValueError: If a shape or a device does not fit.
        TypeError: If `action` is not of type `signals.action_type`, or if one of its parts is not a floating-point
            tensor.
    """
    if not (isinstance(action, signals.action_type) and _fits(memory, action, signals, 1 + time)):
        _refuse(memory, action, signals, 1 + time)


def _fits(memory: Memory, action: Any, signals: Signals, lead: int) -> bool:
    """Whether an action has the expected dtypes and shapes, with `lead` axes before the head axis."""
    value = action.value
    if not (isinstance(value, Tensor) and value.is_floating_point()):
        return False
    shape, device = tuple(value.shape[:lead]), value.device
    if value.shape != (*shape, memory.heads, memory.width) or len(shape) != lead:
        return False
    parts = [(getattr(action, name), sizes.values()) for name, sizes in signals.axes.items()]
    return all(
        isinstance(part, Tensor)
        and part.shape == (*shape, *sizes)
        and part.is_floating_point()
        and part.device == device
        for part, sizes in parts
    )


def _refuse(memory: Memory, action: Any, signals: Signals, lead: int) -> None:
    """Raise the error for an action that does not fit."""
    kind, batch = type(memory).__name__, "(batch, time)" if lead > 1 else "(batch)"
    if not isinstance(action, signals.action_type):
        form = f"{signals.action_type.__name__}({', '.join(signals.action_type._fields)})"
        form = f"{'an' if form[0] in 'AEIOU' else 'a'} {form}"
        taker = "a memory" if signals.action_type is Action else f"a {kind}"
        raise TypeError(f"action is a {type(action).__name__}, but {taker} takes {form}")
    for name, part in zip(action._fields, action, strict=True):
        if not isinstance(part, Tensor) or not part.is_floating_point():
            found = part.dtype if isinstance(part, Tensor) else type(part).__name__
            raise TypeError(f"{name} is {found}, but a memory takes floating-point tensors")
    axes = signals.axes | {"value": {"heads": memory.heads, "width": memory.width}}
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
        for (axis, expected), size in zip(axes[name].items(), part.shape[lead:], strict=True):
            if size != expected:
                raise ValueError(MISFITS[axis].format(name=name, size=size, expected=expected, kind=kind))


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


def check_steps(name: str, mask: object, x: Tensor, batch_first: bool) -> None:
    """Refuse a mask that is no tensor or not of the shape of the steps of `x`, before either is transposed.

    Args:
        name: The name of the mask, for the error.
        mask: The mask, or None.
        x: Inputs, shape `(batch, time, size)`, `(time, batch, size)` or `(time, size)`.
        batch_first: Which of the first two they are.

    Raises:
        TypeError: If the mask is no tensor.
        ValueError: If the shapes differ.
    """
    if mask is None:
        return
    if not isinstance(mask, Tensor):
        raise TypeError(f"{name} is {type(mask).__name__}, but a bool tensor was expected")
    if mask.shape != x.shape[:-1]:
        axes = "time" if x.dim() == 2 else "batch, time" if batch_first else "time, batch"
        raise ValueError(f"{name} has shape {tuple(mask.shape)}, but ({axes}) is {tuple(x.shape[:-1])}")


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
        found = reset.dtype if isinstance(reset, Tensor) else type(reset).__name__
        raise TypeError(f"reset is {found}, but a bool tensor was expected")
    if reset.shape != value.shape[:2]:
        raise ValueError(f"reset has shape {tuple(reset.shape)}, but (batch, time) is {tuple(value.shape[:2])}")
    return reset.to(value.device)
