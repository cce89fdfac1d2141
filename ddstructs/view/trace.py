"""What happened in a run, step by step, as plain data."""

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
    """Every step of a run, one row of a batch beside another, as `ddstructs.trace` writes it down.

    Tensors are on the CPU, in float64 or int64. What the memory did is its recorded actions once more, in float64: so
    `weights @ contents.values` is `reads` up to the rounding of float64, whatever the model computes in.

    Attributes:
        title: What was traced, in a few words.
        signals: What the memory was told in each step, as numbers in [0, 1], shape `(batch, time, signals)`.
        labels: For each of these its name, such as `push`, and its head.
        value: v_t, shape `(batch, time, heads, width)`.
        reads: r_t, shape `(batch, time, heads, read_width)`.
        pushes: The values that each row ever held, in the order in which they lie: which push each is,
            `step * heads + head`, -1 of one that is a mixture, shape `(batch, values)`.
        store_of: The store that holds each, -1 where a row has fewer values, in the same shape.
        life: Where the strength of a value changes: row, value, step, and its strength from that step on.
        taken: What is read: row, step, head, value, and how much of the value the head reads.
        known: The heads of which `taken` tells; of the others the reads are no weighted sums of what was pushed.
        mixed: What the values that are mixtures come to, shape `(batch, time, mixtures, width)`; None without any.
        stores: How many heads work on each store, in order; see `Memory.stores`.
        ends: Where each head pushes, and where it pops and reads; see `Memory.ends`.
        lengths: How many steps of each row count, shape `(batch,)`.
        input: What the model was given: symbols `(batch, time)`, or vectors `(batch, time, size)`; of a bare memory,
            its values.
        output: What the model gave, in the same way, -100 where no symbol was asked for; of a bare memory, its reads.
        rounded: What the model would have given on these inputs with hard actions; see `ddstructs.harden`.
        input_text: The input of each step as a symbol to look at, a tuple of `time` strings a row.
        output_text: The output of each step, in the same way; empty where none was asked for.
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
        """How many heads the memory has."""
        return self.value.shape[2]

    @property
    def push(self) -> Tensor:
        """d_t, shape `(batch, time, heads)`; zero for a head that does not push."""
        return self.named("push")

    @property
    def pop(self) -> Tensor:
        """u_t, shape `(batch, time, heads)`; zero for a head that does not pop."""
        return self.named("pop")

    def named(self, name: str) -> Tensor:
        """One signal of every head, shape `(batch, time, heads)`; zero for a head that has none of this name."""
        found = self.signals.new_zeros(*self.signals.shape[:2], self.heads)
        for column, (label, head) in enumerate(self.labels):
            if label == name:
                found[..., head] = self.signals[..., column]
        return found

    @property
    def strengths(self) -> Tensor:
        """s_t of the slots that are held after each step, in the order of the memory's contents.

        Shape `(batch, time, slots)`, padded with zeros. This and what follows is a table, in which a long run takes its
        length squared; `life` and `taken` say the same in a space that grows with the run.
        """
        return self._slots.strengths

    @property
    def origin(self) -> Tensor | None:
        """Which push each slot comes from, `step * heads + head`, -1 where there is no slot, in the same shape.

        None of a memory that does not keep its values as they were pushed.
        """
        return None if self.mixed is not None else self._slots.of(self.pushes, -1)

    @property
    def weights(self) -> Tensor | None:
        """How much of each slot each head reads, shape `(batch, time, heads, slots)`; None if one is not known."""
        if len(self.known) < self.heads:
            return None
        (batch, time), values = self.value.shape[:2], self.pushes.shape[1]
        table = torch.zeros(batch, time, self.heads, values + 1, dtype=torch.float64)
        table[tuple(self.taken.at.T)] = self.taken.amount
        return table.gather(3, self._slots.holds[:, :, None].expand(-1, -1, self.heads, -1) % (values + 1))

    @property
    def values(self) -> Tensor | None:
        """V_t, shape `(batch, time, slots, width)`, only if `origin` is None; else it tells them."""
        if self.mixed is None:
            return None
        return torch.stack([self.contents(time).values for time in range(self.value.shape[1])], dim=1)

    def contents(self, time: int) -> Contents:
        """What the memory held after a step.

        Args:
            time: The step, counted from 0.

        Returns:
            Values `(batch, slots, width)` and strengths `(batch, slots)`, padded with zeros to the deepest step.
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
        content = {field.name: plain(getattr(self, field.name)) for field in fields(self)}
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
            content = json.loads(text, parse_constant=refuse)
            form = content.pop("format", None) if isinstance(content, dict) else None
            if form == "ddstructs trace 1":
                raise ValueError("it was written by version 0.1: write it again, with ddstructs trace")
            if form != FORMAT:
                raise ValueError(f"it does not say that it is a {FORMAT}")
            if content.keys() != {field.name for field in fields(cls)}:
                raise ValueError("it has other parts than a trace")
            return check(cls(**{part: read(part, value) for part, value in content.items()}))
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
