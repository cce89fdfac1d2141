"""What happened in a run, step by step, as plain data."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, NoReturn, cast

import torch
from torch import Tensor

from ddstructs.errors import InputError
from ddstructs.files import write_atomically
from ddstructs.memory import Contents
from ddstructs.view.order import line_order

__all__ = ["Trace"]

FORMAT = "ddstructs trace 1"
"""What a file says it is."""

KINDS = {"float64": torch.float64, "int64": torch.int64}
"""The dtypes in a file."""

FREE = ("input", "output", "rounded")
"""Those that may be symbols or vectors, with more axes than these."""

LARGE = 1e6
"""Beyond any strength, and any part of a read."""

OPTIONAL = ("origin", "weights", "values")
AXES = {
    "push": "BTH",
    "pop": "BTH",
    "value": "BTHW",
    "reads": "BTHW",
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


@dataclass(frozen=True, eq=False)
class Trace:
    """Every step of a run, one row of a batch beside another, as `ddstructs.trace` writes it down.

    Tensors are on the CPU, in float64 or int64. What the memory did is its recorded actions once more, in float64: so
    `weights @ contents.values` is `reads` up to the rounding of float64, whatever the model computes in.

    Attributes:
        title: What was traced, in a few words.
        push: d_t, shape `(batch, time, heads)`.
        pop: u_t, shape `(batch, time, heads)`.
        value: v_t, shape `(batch, time, heads, width)`.
        reads: r_t, shape `(batch, time, heads, width)`.
        strengths: s_t of the slots that are held after each step, in the order of the memory's contents and padded with
            zeros, shape `(batch, time, slots)`.
        origin: Which push each slot comes from, `step * heads + head`, -1 where there is no slot, shape
            `(batch, time, slots)`. None of a memory that does not keep its values as they were pushed.
        weights: How much of each slot each head reads, shape `(batch, time, heads, slots)`. None if `origin` is, and of
            a memory whose reads are no weighted sums.
        values: V_t, shape `(batch, time, slots, width)`, only if `origin` is None; else it tells them.
        stores: How many heads work on each store, in order; see `Memory.stores`.
        lengths: How many steps of each row count, shape `(batch,)`.
        input: What the model was given: symbols `(batch, time)`, or vectors `(batch, time, size)`; of a bare memory,
            its values.
        output: What the model gave, in the same way, -100 where no symbol was asked for; of a bare memory, its reads.
        rounded: What the model would have given on these inputs with push and pop rounded to 0 or 1.
        input_text: The input of each step as a symbol to look at, a tuple of `time` strings a row.
        output_text: The output of each step, in the same way; empty where none was asked for.
    """

    title: str
    push: Tensor
    pop: Tensor
    value: Tensor
    reads: Tensor
    strengths: Tensor
    origin: Tensor | None
    weights: Tensor | None
    values: Tensor | None
    stores: tuple[int, ...]
    lengths: Tensor
    input: Tensor
    output: Tensor
    rounded: Tensor
    input_text: tuple[tuple[str, ...], ...]
    output_text: tuple[tuple[str, ...], ...]

    @property
    def heads(self) -> int:
        """How many heads the memory has."""
        return self.push.shape[2]

    def contents(self, time: int) -> Contents:
        """What the memory held after a step.

        Args:
            time: The step, counted from 0.

        Returns:
            Values `(batch, slots, width)` and strengths `(batch, slots)`, padded with zeros to the deepest step.
        """
        strengths = self.strengths[:, time]
        if self.values is not None:
            return Contents(self.values[:, time], strengths)
        assert self.origin is not None
        pushed, slots = self.value.flatten(1, 2), self.origin[:, time]
        values = pushed.gather(1, slots.clamp(min=0)[..., None].expand(-1, -1, pushed.shape[-1]))
        return Contents(torch.where((slots >= 0)[..., None], values, 0), strengths)

    def save(self, path: str | Path) -> None:
        """Write the trace to a file, as JSON. What `load` reads from it is the same in every bit."""
        write_atomically(path, self.to_json())

    @classmethod
    def load(cls, path: str | Path) -> Trace:
        """Read a trace from a file.

        Raises:
            InputError: If the file cannot be read, or is no trace.
        """
        try:
            text = Path(path).read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            raise InputError(f"{path} is no trace: it is not text in UTF-8") from error
        except (OSError, ValueError) as error:  # a name with a null byte is a ValueError
            raise InputError(f"cannot read {path}: {getattr(error, 'strerror', None) or error}") from error
        return cls.from_json(text, str(path))

    def to_json(self) -> str:
        """The trace as JSON."""
        content = {field.name: _plain(getattr(self, field.name)) for field in fields(self)}
        return json.dumps({"format": FORMAT, **content}, allow_nan=False)

    @classmethod
    def from_json(cls, text: str, name: str = "the text") -> Trace:
        """Read a trace from JSON.

        Args:
            text: The JSON.
            name: What an error calls it.

        Raises:
            InputError: If it is no trace, or one whose parts do not fit together.
        """
        try:
            content = json.loads(text, parse_constant=_refuse)
            if not isinstance(content, dict) or content.pop("format", None) != FORMAT:
                raise ValueError(f"it does not say that it is a {FORMAT}")
            if content.keys() != {field.name for field in fields(cls)}:
                raise ValueError("it has other parts than a trace")
            return _check(cls(**{part: _read(part, value) for part, value in content.items()}))
        except (ValueError, TypeError, KeyError, RuntimeError, OverflowError, RecursionError) as error:
            raise InputError(f"{name} is no trace: {' '.join(str(error).split())[:200]}") from error

    def save_html(self, path: str | Path, other: Trace | None = None) -> None:
        """Write a page that plays the trace, in one file that needs neither a server nor the network.

        Args:
            path: The file.
            other: A trace to show beside this one, such as that of the model before it was trained.
        """
        from ddstructs.view.player import page

        write_atomically(path, page(self, other))

    def _repr_html_(self) -> str:
        from ddstructs.view.player import frame

        return frame(self)


def _plain(part: object) -> object:
    if not isinstance(part, Tensor):
        return part
    kind = str(part.dtype).removeprefix("torch.")
    return {"dtype": kind, "shape": list(part.shape), "data": part.flatten().tolist()}


def _read(name: str, part: Any) -> Any:
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
    return tuple(tuple(str(symbol) for symbol in row) for row in part)


def _check(trace: Trace) -> Trace:
    """Refuse a trace whose parts do not fit together."""
    for name in AXES:
        tensor, whole = cast("Tensor | None", getattr(trace, name)), name in ("origin", "lengths")
        if tensor is not None and name not in FREE and tensor.is_floating_point() == whole:
            raise ValueError(f"{name} is {tensor.dtype}")
    batch, time, heads = trace.push.shape
    slots, width = trace.strengths.size(-1), trace.value.size(-1)
    sizes = {"B": batch, "T": time, "H": heads, "S": slots, "W": width}
    for name, axes in AXES.items():
        tensor = cast("Tensor | None", getattr(trace, name))
        expected = tuple(sizes[axis] for axis in axes)
        if tensor is not None and tensor.shape[: len(axes) if name in FREE else None] != expected:
            raise ValueError(f"{name} has shape {tuple(tensor.shape)}, but {expected} was expected")
        if tensor is not None and not tensor.isfinite().all():
            raise ValueError(f"{name} has a number that is not finite")
    if not (batch and time):
        raise ValueError("it has no step")
    for name in FREE:
        tensor = cast("Tensor", getattr(trace, name))
        if (tensor.dim() > 2) != tensor.is_floating_point():
            raise ValueError(
                f"{name} has shape {tuple(tensor.shape)} and {tensor.dtype}: symbols or vectors were expected"
            )
    if trace.rounded.shape != trace.output.shape or trace.rounded.dtype != trace.output.dtype:
        raise ValueError(f"rounded has shape {tuple(trace.rounded.shape)}, but output has {tuple(trace.output.shape)}")
    for name, low, high in (("push", 0, 1), ("pop", 0, 1), ("strengths", 0, LARGE), ("weights", -LARGE, LARGE)):
        tensor = getattr(trace, name)
        if tensor is not None and not ((tensor >= low) & (tensor <= high)).all():
            raise ValueError(f"{name} has a number outside {low}..{high}")
    if (trace.origin is None) == (trace.values is None):
        raise ValueError("it has both origin and values, or neither")
    if trace.origin is not None and not ((trace.origin >= -1) & (trace.origin < time * max(1, heads))).all():
        raise ValueError("origin is of a push that there is not")
    if trace.origin is not None and any(line_order(row) is None for row in trace.origin):
        raise ValueError("origin has slots that change places")
    if not ((trace.lengths >= 0) & (trace.lengths <= time)).all():
        raise ValueError(f"lengths are {trace.lengths.tolist()}, but there are {time} steps")
    if sum(trace.stores) != heads or not all(count > 0 for count in trace.stores):
        raise ValueError(f"stores are {trace.stores}, but there are {heads} heads")
    for text in (trace.input_text, trace.output_text):
        if [len(row) for row in text] != [time] * batch:
            raise ValueError("there is not one symbol for each step")
    return trace


def _refuse(number: str) -> NoReturn:
    raise ValueError(f"{number} is no number")
