"""The batches that tasks pass to a controller."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

__all__ = ["IGNORE", "SEPARATOR", "START", "Batch"]

START = 0
"""Input symbol `<s>`, before every sequence. It also fills the padding."""

SEPARATOR = 1
"""Input symbol `|||`, after the source of a transduction. The answer begins at its step."""

IGNORE = -100
"""Target of a step without an answer; torch's cross entropy ignores it."""


class Batch(NamedTuple):
    """Sequences of input symbols, and the expected output symbol of each step.

    The kind of task defines the meaning of the symbols and the steps in which an output is expected.

    Attributes:
        inputs: Input symbols, shape `(batch, time)`, int64.
        targets: Expected output symbol of each step, `IGNORE` where there is none, shape `(batch, time)`, int64.
        lengths: Number of steps of each row before the padding, shape `(batch,)`, int64.
    """

    inputs: Tensor
    targets: Tensor
    lengths: Tensor
