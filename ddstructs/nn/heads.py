"""Fold the heads of a layer into the batch, so that one kernel call runs all of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ddstructs.state import State

__all__ = ["LayerState", "UnrolledLayer", "merge_heads", "repeat_for_heads", "split_heads"]


@dataclass(frozen=True)
class LayerState(State):
    """The state of a `MemoryLayer` between two calls.

    `state.select(rows)` picks and reorders rows of the batch, as needed for beam search.

    Attributes:
        memory: State of the memories, with `batch * num_heads` rows; the heads of a row are adjacent.
        template: An empty tensor, shape `(batch, num_heads, 0)`, with the dtype and device of the values.
    """

    memory: State
    template: Tensor

    def select(self, rows: Tensor) -> LayerState:
        heads = self.template.shape[1]
        each = rows[:, None] * heads + torch.arange(heads, device=rows.device)
        return LayerState(self.memory.select(each.flatten()), self.template.index_select(0, rows))


class UnrolledLayer(NamedTuple):
    """The results and intermediate values of a sequence, batch first.

    Row `b * num_heads + h` of the actions and reads is head `h` of row `b` of the batch.

    Attributes:
        output: Shape `(batch, time, embed_dim)`.
        actions: The actions of the memories in each step; an `Action` if they push and pop.
        reads: Their reads, shape `(batch * num_heads, time, memory.heads, memory.read_width)`; including the noise in
            training.
        state: The state after the last step.
    """

    output: Tensor
    actions: Any
    reads: Tensor
    state: LayerState


def split_heads(part: Tensor, heads: int) -> Tensor:
    """Move the heads into the batch: `(batch, time, heads * n)` becomes `(batch * heads, time, n)`."""
    rows: Tensor = part.unflatten(2, (heads, -1)).transpose(1, 2).flatten(0, 1)
    return rows


def merge_heads(reads: Tensor, heads: int) -> Tensor:
    """Concatenate the heads of each row: `(batch * heads, time, ...)` becomes `(batch, time, heads * n)`."""
    merged: Tensor = reads.flatten(2).unflatten(0, (-1, heads)).transpose(1, 2).flatten(2)
    return merged


def repeat_for_heads(mask: Tensor, heads: int) -> Tensor:
    """Repeat a mask for every head: `(batch, time)` becomes `(batch * heads, time)`."""
    return mask.repeat_interleave(heads, dim=0)
