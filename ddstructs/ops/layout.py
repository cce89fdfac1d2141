"""What every kernel speaks of: the two ends of a line, the heads at them, and the state between two steps."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

import torch
from torch import Tensor

from ddstructs.memory import State

__all__ = ["End", "Head", "Layout", "LineState", "Slots"]


class End(IntEnum):
    """An end of the line. Slots are counted from the bottom."""

    BOTTOM = 0
    TOP = 1


class Head(NamedTuple):
    """Where a head works: it pushes at one end, and takes (pops and reads) at one."""

    push: End
    take: End


Layout = tuple[Head, ...]
"""The heads of a structure, in the order in which they pop."""


class LineState(State):
    """What a line holds. Each kernel keeps it in its own way, and all can show it as slots."""

    @abstractmethod
    def slots(self) -> Slots:
        """The state as two tensors."""

    @property
    @abstractmethod
    def origin(self) -> Tensor:
        """No slots at all, shape `(batch, 0, width)`, with the batch, width, dtype and device of the state."""


@dataclass(frozen=True)
class Slots(LineState):
    """The slots of a line from its bottom to its top; a dead slot, with strength zero, may lie anywhere between.

    Attributes:
        values: Stored values, shape `(batch, slots, width)`; V_t in the paper.
        strengths: What is left of each, shape `(batch, slots)`; s_t in the paper. In float32 where the values are
            narrower, so that sums of small strengths do not get lost.
    """

    values: Tensor
    strengths: Tensor

    def slots(self) -> Slots:
        return self

    @property
    def origin(self) -> Tensor:
        return self.values[:, :0]


def strength_dtype(dtype: torch.dtype) -> torch.dtype:
    """The dtype of strengths beside values of the given dtype: at least float32."""
    return torch.promote_types(dtype, torch.float32)
