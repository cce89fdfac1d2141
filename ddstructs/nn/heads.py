"""The heads of a layer, each in a row of the batch of its own, so that all are one call of a kernel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ddstructs.state import State

__all__ = ["LayerState", "Worked", "apart", "for_each", "joined"]


@dataclass(frozen=True)
class LayerState(State):
    """What a `MemoryLayer` carries from one call to the next.

    `state.select(rows)` picks and reorders rows of the batch, as beam search does.

    Attributes:
        memory: State of the memories, whose rows are those of the batch times the heads, the heads of a row together.
        template: An empty tensor, shape `(batch, num_heads, 0)`, with the dtype and device of the values.
    """

    memory: State
    template: Tensor

    def select(self, rows: Tensor) -> LayerState:
        heads = self.template.shape[1]
        each = rows[:, None] * heads + torch.arange(heads, device=rows.device)
        return LayerState(self.memory.select(each.flatten()), self.template.index_select(0, rows))


class Worked(NamedTuple):
    """All that happened in a sequence, batch first. The rows of actions and reads are those of the batch times the
    heads: row `b * num_heads + h` is head `h` of row `b`.

    Attributes:
        output: Shape `(batch, time, embed_dim)`.
        actions: What the memories were told in each step; an `Action` if they push and pop.
        reads: What they answered, shape `(batch * num_heads, time, memory.heads, memory.read_width)`; in training with
            the noise on them.
        state: The state after the last step.
    """

    output: Tensor
    actions: Any
    reads: Tensor
    state: LayerState


def apart(part: Tensor, heads: int) -> Tensor:
    """Each head in a row of its own: `(batch, time, heads * n)` becomes `(batch * heads, time, n)`."""
    rows: Tensor = part.unflatten(2, (heads, -1)).transpose(1, 2).flatten(0, 1)
    return rows


def joined(reads: Tensor, heads: int) -> Tensor:
    """The heads of a row side by side: `(batch * heads, time, ...)` becomes `(batch, time, heads * n)`."""
    side_by_side: Tensor = reads.flatten(2).unflatten(0, (-1, heads)).transpose(1, 2).flatten(2)
    return side_by_side


def for_each(mask: Tensor, heads: int) -> Tensor:
    """A mask of the batch for every head: `(batch, time)` becomes `(batch * heads, time)`."""
    return mask.repeat_interleave(heads, dim=0)
