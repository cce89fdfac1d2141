"""A trace: everything that happened in a run, step by step, as plain data."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from ddstructs.errors import InputError
from ddstructs.files import write_atomically
from ddstructs.memory import Contents
from ddstructs.view.events import Events, Lives, depth, expand
from ddstructs.view.trace_file import FORMAT, check, plain, read, refuse

__all__ = ["Trace"]


@dataclass(frozen=True, eq=False)
class Trace:
    """Every step of a run, for each row of a batch, as recorded by `ddstructs.trace`.

    Tensors are on the CPU, in float64 or int64. The memory is replayed with the recorded actions in float64, so
    `weights @ contents.values` equals `reads` up to the rounding of float64, whatever the dtype of the model.

    Attributes:
        title: Title of the trace.
        signals: Signals of the memory in each step, as numbers in [0, 1], shape `(batch, time, signals)`.
        labels: The name, such as `push`, and the head of each signal.
        value: v_t, shape `(batch, time, heads, width)`.
        reads: r_t, shape `(batch, time, heads, read_width)`.
        pushes: All values each row ever held, in the order of the contents, given by their pushes,
            `step * heads + head`, or -1 for a mixture; shape `(batch, values)`.
        store_of: The store of each value, -1 in rows with fewer values, shape `(batch, values)`.
        life: Changes of strength: row, value, step, and the strength of the value from that step on.
        taken: Reads: row, step, head, value, and the weight with which the head reads the value.
        known: The heads whose reads are in `taken`; the reads of the others are not weighted sums of pushed values.
        mixed: The values of mixtures, shape `(batch, time, mixtures, width)`; None if there are none.
        stores: Number of heads on each store, in order; see `Memory.stores`.
        ends: The ends at which each head pushes, and pops and reads; see `Memory.ends`.
        lengths: Number of steps of each row, shape `(batch,)`.
        input: Input of the model: symbols `(batch, time)` or vectors `(batch, time, size)`; for a `Memory`, its values.
        output: Output of the model in the same form, -100 in steps without an answer; for a `Memory`, its reads.
        rounded: Output of the model on the same inputs with hard actions; see `ddstructs.harden`.
        input_text: Display symbol of the input of each step, a tuple of `time` strings per row.
        output_text: Display symbol of the output of each step, likewise; empty in steps without an answer.
    """

    title: str
    signals: Tensor
    labels: tuple[tuple[str, int], ...]
    value: Tensor
    reads: Tensor
    pushes: Tensor
    store_of: Tensor
    life: Events
    taken: Events
    known: tuple[int, ...]
    mixed: Tensor | None
    stores: tuple[int, ...]
    ends: tuple[tuple[str, str], ...]
    lengths: Tensor
    input: Tensor
    output: Tensor
    rounded: Tensor
    input_text: tuple[tuple[str, ...], ...]
    output_text: tuple[tuple[str, ...], ...]

    @property
    def heads(self) -> int:
        """Number of heads."""
        return self.value.shape[2]

    @property
    def push(self) -> Tensor:
        """d_t, shape `(batch, time, heads)`; zero for heads that do not push."""
        return self.named("push")

    @property
    def pop(self) -> Tensor:
        """u_t, shape `(batch, time, heads)`; zero for heads that do not pop."""
        return self.named("pop")

    def named(self, name: str) -> Tensor:
        """One signal of every head, shape `(batch, time, heads)`; zero for heads without this signal."""
        found = self.signals.new_zeros(*self.signals.shape[:2], self.heads)
        for column, (label, head) in enumerate(self.labels):
            if label == name:
                found[..., head] = self.signals[..., column]
        return found

    @property
    def strengths(self) -> Tensor:
        """s_t of the slots held after each step, in the order of the contents, padded with zeros.

        Shape `(batch, time, slots)`. This and the following properties are dense tables, whose size is quadratic in the
        length of the run; `life` and `taken` have the same data in linear space.
        """
        return self._slots.strengths

    @property
    def origin(self) -> Tensor | None:
        """The push each slot comes from, `step * heads + head`, -1 for none, in the shape of `strengths`.

        None for memories that do not store values as they were pushed.
        """
        return None if self.mixed is not None else self._slots.of(self.pushes, -1)

    @property
    def weights(self) -> Tensor | None:
        """Weight of each slot in the read of each head, shape `(batch, time, heads, slots)`; None if unknown."""
        if len(self.known) < self.heads:
            return None
        (batch, time), values = self.value.shape[:2], self.pushes.shape[1]
        table = torch.zeros(batch, time, self.heads, values + 1, dtype=torch.float64)
        table[tuple(self.taken.at.T)] = self.taken.amount
        return table.gather(3, self._slots.holds[:, :, None].expand(-1, -1, self.heads, -1) % (values + 1))

    @property
    def values(self) -> Tensor | None:
        """V_t, shape `(batch, time, slots, width)`, if `origin` is None; otherwise None, as `origin` determines it."""
        if self.mixed is None:
            return None
        return torch.stack([self.contents(time).values for time in range(self.value.shape[1])], dim=1)

    def contents(self, time: int) -> Contents:
        """The contents of the memory after a step.

        Args:
            time: The step, counted from 0.

        Returns:
            Values `(batch, slots, width)` and strengths `(batch, slots)`, padded with zeros to the maximum over steps.
        """
        pushed, width = self.value.flatten(1, 2), self.value.shape[-1]
        values = pushed.gather(1, self.pushes.clamp(min=0)[..., None].expand(-1, -1, width))
        if self.mixed is not None:
            mixture = (self.pushes < 0) & (self.store_of >= 0)
            values[mixture] = self.mixed[:, time].flatten(0, 1)
        nothing = values.new_zeros(len(values), 1, width)
        slots = self._slots.holds[:, time] % (values.shape[1] + 1)
        values = torch.cat([values, nothing], dim=1).gather(1, slots[..., None].expand(-1, -1, width))
        return Contents(values, self._slots.strengths[:, time])

    @cached_property
    def depth(self) -> Tensor:
        """Total strength held after each step, shape `(batch, time)`."""
        return depth(self.life, *self.value.shape[:2])

    @cached_property
    def _slots(self) -> Lives:
        return expand(self.life, *self.value.shape[:2])

    def save(self, path: str | Path) -> None:
        """Write the trace to a JSON file, from which `load` restores it bit for bit."""
        write_atomically(path, self.to_json())

    @classmethod
    def load(cls, path: str | Path) -> Trace:
        """Read a trace from a file.

        Raises:
            InputError: If the file cannot be read, or is not a trace.
        """
        try:
            text = Path(path).read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            raise InputError(f"{path} is not a trace: it is not UTF-8 text") from error
        except (OSError, ValueError) as error:  # a name with a null byte is a ValueError
            raise InputError(f"cannot read {path}: {getattr(error, 'strerror', None) or error}") from error
        return cls.from_json(text, str(path))

    def to_json(self) -> str:
        """The trace as JSON."""
        content = {field.name: plain(getattr(self, field.name)) for field in fields(self)}
        return json.dumps({"format": FORMAT, **content}, allow_nan=False)

    @classmethod
    def from_json(cls, text: str, name: str = "the text") -> Trace:
        """Read a trace from JSON.

        Args:
            text: The JSON.
            name: Name of the text in error messages.

        Raises:
            InputError: If it is not a trace, or an inconsistent one.
        """
        try:
            content = json.loads(text, parse_constant=refuse)
            form = content.pop("format", None) if isinstance(content, dict) else None
            if form == "ddstructs trace 1":
                raise ValueError("it was written by version 0.1: record it again with ddstructs trace")
            if form != FORMAT:
                raise ValueError(f"its format is not {FORMAT!r}")
            if content.keys() != {field.name for field in fields(cls)}:
                raise ValueError("it has missing or unknown parts")
            return check(cls(**{part: read(part, value) for part, value in content.items()}))
        except (ValueError, TypeError, KeyError, RuntimeError, OverflowError, RecursionError) as error:
            raise InputError(f"{name} is not a trace: {' '.join(str(error).split())[:200]}") from error

    def save_html(self, path: str | Path, other: Trace | None = None) -> None:
        """Write a page that plays the trace: one HTML file that needs neither a server nor the network.

        Args:
            path: The file.
            other: A trace to show next to this one, such as that of the untrained model.
        """
        from ddstructs.view.player import page

        write_atomically(path, page(self, other))

    def _repr_html_(self) -> str:
        from ddstructs.view.player import frame

        return frame(self)
