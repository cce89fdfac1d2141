"""The form in which every task hands its sequences to a controller."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

__all__ = ["IGNORE", "SEPARATOR", "START", "Batch"]

START = 0
"""Input symbol `<s>`, before every sequence. It also fills the padding."""

SEPARATOR = 1
"""Input symbol `|||`, after the source of a transduction. Its step is the first that may answer."""

IGNORE = -100
"""The target of a step that asks for nothing; torch's cross entropy ignores it."""


class Batch(NamedTuple):
    """Sequences of input symbols, and the output symbol that each step should give.

    What the symbols stand for, and which steps ask for an output, is up to the kind of task.

    Attributes:
        inputs: Input symbols, shape `(batch, time)`, int64.
        targets: Output symbol expected in each step, `IGNORE` where none is, shape `(batch, time)`, int64.
        lengths: How many steps of each row are not padding, shape `(batch,)`, int64.
    """

    inputs: Tensor
    targets: Tensor
    lengths: Tensor
