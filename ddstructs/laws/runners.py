"""Ways to run a memory, and to select steps and rows of its actions."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad

from ddstructs.actions import mapped
from ddstructs.memory import Contents, Memory
from ddstructs.testing import Runner

__all__ = ["empty", "rows_of", "side_by_side", "steps_of", "whole"]


def empty(memory: Memory, action: Any) -> Any:
    """The state of an empty memory with the batch size, device and dtype of an action."""
    return memory.initial_state(len(action.value), device=action.value.device, dtype=action.value.dtype)


def whole(memory: Memory) -> Runner:
    """A runner that calls `forward` on the whole sequence."""

    def run(action: Any) -> tuple[Tensor, Contents]:
        reads, state = memory(action)
        return reads, memory.contents(state)

    return run


def steps_of(action: Any, times: slice) -> Any:
    """Select time steps of a sequence."""
    return mapped(lambda part: part[:, times], action)


def rows_of(action: Any, rows: Tensor | slice) -> Any:
    """Select rows of the batch."""
    return mapped(lambda part: part[rows], action)


def side_by_side(rows: list[tuple[Tensor, Contents]]) -> tuple[Tensor, Contents]:
    """Join the reads and contents of single rows into those of a batch."""
    slots = max(contents.strengths.shape[1] for _, contents in rows)
    values, strengths = [], []
    for _, contents in rows:
        padding = slots - contents.strengths.shape[1]
        values.append(pad(contents.values, (0, 0, 0, padding)))
        strengths.append(pad(contents.strengths, (0, padding)))
    return torch.cat([reads for reads, _ in rows]), Contents(torch.cat(values), torch.cat(strengths))
