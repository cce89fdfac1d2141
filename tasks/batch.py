"""The form in which every task hands its sequences to a controller."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

__all__ = ["IGNORE", "SEPARATOR", "START", "Batch"]

START = 0
"""Input symbol `<s>`, before the source. It also fills the padding."""

SEPARATOR = 1
"""Input symbol `|||`, after the source. Its step is the first that may answer."""

IGNORE = -100
"""Where nothing is asked; the number that torch's cross entropy ignores."""


class Batch(NamedTuple):
    """Sequences `<s> source ||| target`, and in each step what should come next.

    Input symbols are `<s>`, `|||`, then the source's, then the target's: the two have symbols of their own, so that a
    controller need not remember which half it is in. Output symbols are the target's and, last, the end `</s>`.

    Attributes:
        inputs: Input symbols, shape `(batch, time)`, int64.
        targets: Output symbol expected in each step, `IGNORE` where none is, shape `(batch, time)`, int64.
        lengths: How many steps of each row are not padding, shape `(batch,)`, int64.
    """

    inputs: Tensor
    targets: Tensor
    lengths: Tensor
