"""The transductions under test, and what is in their batches."""

from typing import Any

import torch

from ddstructs.tasks import Batch, BigramFlipping, BinaryAddition, Copying, Reversal, Transduction

__all__ = ["REARRANGING", "TASKS", "Rearranging", "Row", "equal", "length_of", "rows", "small"]

Row = list[int]
Rearranging = type[Copying | Reversal | BigramFlipping]

REARRANGING: list[Rearranging] = [Copying, Reversal, BigramFlipping]
TASKS: list[Any] = [*REARRANGING, BinaryAddition]


def small(kind: Any, **settings: Any) -> Transduction:
    """A task with a fixed seed and no curriculum, unless the settings say otherwise."""
    task: Transduction = kind(**({"curriculum": False, "seed": 0} | settings))
    return task


def rows(batch: Batch) -> list[Row]:
    """The sources in a batch."""
    cut = [row[1 : row.index(1)] for row in batch.inputs.tolist()]
    return [[symbol - 2 for symbol in row] for row in cut]


def length_of(batch: Batch) -> Row:
    """The lengths of the sources in a batch."""
    return [len(row) for row in rows(batch)]


def equal(a: list[Batch], b: list[Batch]) -> bool:
    """Whether the batches are the same, in the same order."""
    return len(a) == len(b) and all(
        torch.equal(p, q) for x, y in zip(a, b, strict=True) for p, q in zip(x, y, strict=True)
    )
