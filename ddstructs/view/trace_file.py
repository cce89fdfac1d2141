"""The file of a trace: its form, and what must fit together in it, so that what loads can be drawn and played."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn, cast

import torch
from torch import Tensor

from ddstructs.view.order import line_order

if TYPE_CHECKING:
    from ddstructs.view.trace import Trace

__all__ = ["FORMAT", "check", "plain", "read", "refuse"]

FORMAT = "ddstructs trace 2"
"""What a file says it is."""

KINDS = {"float64": torch.float64, "int64": torch.int64}
"""The dtypes in a file."""

OPTIONAL = ("origin", "weights", "values")
"""The tensors that not every memory has."""

FREE = ("input", "output", "rounded")
"""The tensors of symbols `(batch, time)`, int64, or of vectors, float64 and with more axes."""

AXES = {
    "signals": "BTC",
    "value": "BTHW",
    "reads": "BTHR",
    "strengths": "BTS",
    "origin": "BTS",
    "weights": "BTHS",
    "values": "BTSW",
    "lengths": "B",
    "input": "BT",
    "output": "BT",
    "rounded": "BT",
}
"""The axes of each tensor; one letter is one size."""

RANGES = {"signals": (0, 1), "strengths": (-1e-6, 1e6), "weights": (-1e6, 1e6)}
"""Between which numbers those of a tensor lie: strengths may be rounded below 0."""


def plain(part: object) -> object:
    """A part of a trace as JSON has it."""
    if not isinstance(part, Tensor):
        return part
    kind = str(part.dtype).removeprefix("torch.")
    return {"dtype": kind, "shape": list(part.shape), "data": part.flatten().tolist()}


def read(name: str, part: Any) -> Any:
    """A part of a trace, from what JSON has of it."""
    if name in AXES:
        if part is None:
            if name in OPTIONAL:
                return None
            raise ValueError(f"{name} is missing")
        return torch.tensor(part["data"], dtype=KINDS[part["dtype"]]).view(tuple(part["shape"]))
    if name == "title":
        return str(part)
    if name == "stores":
        return tuple(int(heads) for heads in part)
    if name == "ends":
        return tuple((str(push), str(take)) for push, take in part)
    if name == "labels":
        return tuple((str(signal), int(head)) for signal, head in part)
    return tuple(tuple(str(symbol) for symbol in row) for row in part)


def check(trace: Trace) -> Trace:
    """Refuse a trace whose parts do not fit together. No step takes more memory than the parts themselves.

    Raises:
        ValueError: If they do not.
    """
    tensors = {name: tensor for name in AXES if (tensor := cast("Tensor | None", getattr(trace, name))) is not None}
    _check_tensors(tensors)
    batch, time, heads = trace.value.shape[:3]
    for text in (trace.input_text, trace.output_text):
        if len(text) != batch or any(len(row) != time for row in text):
            raise ValueError("there is not one symbol for each step")
    if not (batch and time and trace.lengths.any()):
        raise ValueError("it has no step")
    if not ((trace.lengths >= 0) & (trace.lengths <= time)).all():
        raise ValueError(f"lengths are outside 0..{time}, but there are {time} steps")
    if sum(trace.stores) != heads or not all(count > 0 for count in trace.stores):
        raise ValueError(f"stores are {trace.stores}, but there are {heads} heads")
    if len(trace.labels) != trace.signals.shape[2] or not all(0 <= head < heads for _, head in trace.labels):
        raise ValueError(f"labels are of {len(trace.labels)} signals, but there are {trace.signals.shape[2]}")
    if len(set(trace.labels)) < len(trace.labels):
        raise ValueError("a signal is there twice")
    if [len(ends) for ends in trace.ends] != [2] * heads or not {*sum(trace.ends, ())} <= {"top", "bottom"}:
        raise ValueError(f"ends are not two of top and bottom for each of {heads} heads")
    if trace.rounded.shape != trace.output.shape or trace.rounded.dtype != trace.output.dtype:
        raise ValueError(f"rounded has shape {tuple(trace.rounded.shape)}, but output has {tuple(trace.output.shape)}")
    if (trace.origin is None) == (trace.values is None):
        raise ValueError("it has both origin and values, or neither")
    if trace.origin is not None and not ((trace.origin >= -1) & (trace.origin < time * heads)).all():
        raise ValueError("origin is of a push that there is not")
    if trace.origin is not None and any(line_order(row) is None for row in trace.origin):
        raise ValueError("origin has slots that change places")
    return trace


def _check_tensors(tensors: dict[str, Tensor]) -> None:
    """Refuse tensors whose shapes do not fit each other, or whose numbers are none that a memory has."""
    sizes = dict(zip("BTHW", tensors["value"].shape, strict=True))
    sizes |= {"S": tensors["strengths"].size(-1), "C": tensors["signals"].size(-1), "R": tensors["reads"].size(-1)}
    for name, tensor in tensors.items():
        expected = tuple(sizes[axis] for axis in AXES[name])
        if tensor.shape[: len(expected) if name in FREE else None] != expected:
            raise ValueError(f"{name} has shape {tuple(tensor.shape)}, but {expected} was expected")
        real = tensor.dim() > 2 if name in FREE else name not in ("origin", "lengths")
        if tensor.is_floating_point() != real:
            raise ValueError(f"{name} is {tensor.dtype}, with shape {tuple(tensor.shape)}")
        if not tensor.isfinite().all():
            raise ValueError(f"{name} has a number that is not finite")
        low, high = RANGES.get(name, (-torch.inf, torch.inf))
        if not ((tensor >= low) & (tensor <= high)).all():
            raise ValueError(f"{name} has a number outside {low}..{high}")


def refuse(number: str) -> NoReturn:
    """Refuse what JSON has no number for, such as NaN."""
    raise ValueError(f"{number} is no number")
