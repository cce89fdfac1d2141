"""The file format of a trace, and the consistency checks that make a loaded trace safe to draw and play."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn, cast

import torch
from torch import Tensor

from ddstructs.view.events import Events

if TYPE_CHECKING:
    from ddstructs.view.trace import Trace

__all__ = ["FORMAT", "check", "plain", "read", "refuse"]

FORMAT = "ddstructs trace 2"
"""The format marker of a file."""

KINDS = {"float64": torch.float64, "int64": torch.int64}
"""The dtypes of tensors in a file."""

OPTIONAL = ("mixed",)
"""The tensors that may be missing."""

EVENTS = {"life": 3, "taken": 4}
"""The events, and the number of axes of their indices."""

FREE = ("input", "output", "rounded")
"""The tensors of symbols `(batch, time)`, int64, or of vectors, float64 and with more axes."""

AXES = {
    "signals": "BTC",
    "value": "BTHW",
    "reads": "BTHR",
    "pushes": "BV",
    "store_of": "BV",
    "mixed": "BTMW",
    "lengths": "B",
    "input": "BT",
    "output": "BT",
    "rounded": "BT",
}
"""The axes of each tensor; equal letters are equal sizes."""

WHOLE = ("lengths", "pushes", "store_of")
"""The tensors of int64."""

RANGES = {"signals": (0, 1), "life": (-1e-6, 1e6), "taken": (-1e6, 1e6)}
"""The range of each tensor; strengths may be rounded below 0."""


def plain(part: object) -> object:
    """Convert a part of a trace to JSON data."""
    if isinstance(part, Events):
        return {name: plain(each) for name, each in part._asdict().items()}
    if not isinstance(part, Tensor):
        return part
    kind = str(part.dtype).removeprefix("torch.")
    return {"dtype": kind, "shape": list(part.shape), "data": part.flatten().tolist()}


def read(name: str, part: Any) -> Any:
    """Convert JSON data to a part of a trace."""
    if name in AXES:
        if part is None:
            if name in OPTIONAL:
                return None
            raise ValueError(f"{name} is missing")
        return _tensor(part)
    if name in EVENTS:
        return Events(_tensor(part["at"]), _tensor(part["amount"]))
    if name == "title":
        return str(part)
    if name in ("stores", "known"):
        return tuple(int(heads) for heads in part)
    if name == "ends":
        return tuple((str(push), str(take)) for push, take in part)
    if name == "labels":
        return tuple((str(signal), int(head)) for signal, head in part)
    return tuple(tuple(str(symbol) for symbol in row) for row in part)


def _tensor(part: Any) -> Tensor:
    return torch.tensor(part["data"], dtype=KINDS[part["dtype"]]).view(tuple(part["shape"]))


def check(trace: Trace) -> Trace:
    """Check the consistency of a trace, in memory proportional to its size.

    Raises:
        ValueError: If parts do not fit together.
    """
    tensors = {name: tensor for name in AXES if (tensor := cast("Tensor | None", getattr(trace, name))) is not None}
    _check_tensors(tensors)
    batch, time, heads = trace.value.shape[:3]
    for text in (trace.input_text, trace.output_text):
        if len(text) != batch or any(len(row) != time for row in text):
            raise ValueError("the number of symbols is not that of steps")
    if not (batch and time and trace.lengths.any()):
        raise ValueError("it has no steps")
    if not ((trace.lengths >= 0) & (trace.lengths <= time)).all():
        raise ValueError(f"lengths are outside 0..{time}, but there are {time} steps")
    if sum(trace.stores) != heads or not all(count > 0 for count in trace.stores):
        raise ValueError(f"stores are {trace.stores}, but there are {heads} heads")
    if len(trace.labels) != trace.signals.shape[2] or not all(0 <= head < heads for _, head in trace.labels):
        raise ValueError(f"labels are of {len(trace.labels)} signals, but there are {trace.signals.shape[2]}")
    if len(set(trace.labels)) < len(trace.labels):
        raise ValueError("a signal is duplicated")
    if [len(ends) for ends in trace.ends] != [2] * heads or not {*sum(trace.ends, ())} <= {"top", "bottom"}:
        raise ValueError(f"ends are not a pair of 'top' or 'bottom' for each of {heads} heads")
    if trace.rounded.shape != trace.output.shape or trace.rounded.dtype != trace.output.dtype:
        raise ValueError(f"rounded has shape {tuple(trace.rounded.shape)}, but output has {tuple(trace.output.shape)}")
    if list(trace.known) != sorted({*trace.known} & {*range(heads)}):
        raise ValueError(f"known is {trace.known}, but there are {heads} heads")
    _check_values(trace)
    _check_events(trace)
    return trace


def _check_values(trace: Trace) -> None:
    """Check that every value has a push and a store."""
    (time, heads), pushes, store_of = trace.value.shape[1:3], trace.pushes, trace.store_of
    if not ((pushes >= -1) & (pushes < time * heads)).all():
        raise ValueError("a push is outside the steps")
    if not ((store_of >= -1) & (store_of < len(trace.stores))).all():
        raise ValueError("a value is in an unknown store")
    pushed = pushes.sort(dim=1).values
    if ((pushed[:, 1:] == pushed[:, :-1]) & (pushed[:, 1:] >= 0)).any():
        raise ValueError("a push is duplicated")
    mixtures = ((pushes < 0) & (store_of >= 0)).sum(dim=1)
    if not (mixtures == (0 if trace.mixed is None else trace.mixed.shape[2])).all():
        raise ValueError("the number of mixed values is not that of mixtures")
    if ((pushes >= 0) & (store_of < 0)).any():
        raise ValueError("a push has no store")


def _check_events(trace: Trace) -> None:
    """Check that events are sorted, in range, and of values that are held."""
    (batch, time, heads), values = trace.value.shape[:3], trace.pushes.shape[1]
    sizes = {"life": (batch, values, time), "taken": (batch, time, heads, values)}
    for name, axes in EVENTS.items():
        at, amount = events = cast("Events", getattr(trace, name))
        if at.shape != (len(amount), axes) or amount.dim() != 1:
            raise ValueError(f"{name} has shapes {tuple(at.shape)} and {tuple(amount.shape)}")
        if at.is_floating_point() or not amount.is_floating_point():
            raise ValueError(f"{name} is {at.dtype} and {amount.dtype}")
        _check_range(name, amount)
        if not ((at >= 0) & (at < torch.tensor(sizes[name]))).all():
            raise ValueError(f"{name} has an index that is out of range")
        if not (events.code(sizes[name]).diff() > 0).all():
            raise ValueError(f"{name} is not sorted")
    row, value, step = trace.life.at.T
    if (trace.store_of[row, value] < 0).any() or (trace.pushes[row, value] > (step + 1) * heads - 1).any():
        raise ValueError("a value is held before it is pushed")
    row, step, head, value = trace.taken.at.T
    if not torch.isin(head, torch.tensor(trace.known, dtype=torch.int64)).all():
        raise ValueError(f"reads are of other heads than {trace.known}")
    read = Events(torch.stack([row, value, step], dim=1), trace.taken.amount)
    last = torch.searchsorted(trace.life.code(sizes["life"]), read.code(sizes["life"]), right=True) - 1
    if not ((last >= 0) & (trace.life.at[last, :2] == read.at[:, :2]).all(1) & (trace.life.amount[last] > 0)).all():
        raise ValueError("a value is read while it is not held")


def _check_tensors(tensors: dict[str, Tensor]) -> None:
    """Check the shapes, dtypes and ranges of tensors."""
    sizes = dict(zip("BTHW", tensors["value"].shape, strict=True))
    sizes |= {"V": tensors["pushes"].size(-1), "C": tensors["signals"].size(-1), "R": tensors["reads"].size(-1)}
    sizes["M"] = tensors["mixed"].size(2) if "mixed" in tensors and tensors["mixed"].dim() > 2 else 0
    for name, tensor in tensors.items():
        expected = tuple(sizes[axis] for axis in AXES[name])
        if tensor.shape[: len(expected) if name in FREE else None] != expected:
            raise ValueError(f"{name} has shape {tuple(tensor.shape)}, but {expected} was expected")
        real = tensor.dim() > 2 if name in FREE else name not in WHOLE
        if tensor.is_floating_point() != real:
            raise ValueError(f"{name} is {tensor.dtype}, with shape {tuple(tensor.shape)}")
        _check_range(name, tensor)


def _check_range(name: str, tensor: Tensor) -> None:
    """Check that the numbers of a tensor are finite and in range."""
    if not tensor.isfinite().all():
        raise ValueError(f"{name} has a number that is not finite")
    low, high = RANGES.get(name, (-torch.inf, torch.inf))
    if not ((tensor >= low) & (tensor <= high)).all():
        raise ValueError(f"{name} has a number outside {low}..{high}")


def refuse(number: str) -> NoReturn:
    """Raise an error for constants such as NaN, which are not JSON."""
    raise ValueError(f"{number} is not a JSON number")
