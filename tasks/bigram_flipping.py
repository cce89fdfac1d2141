"""Bigram flipping: the target is the source with each pair swapped."""

from __future__ import annotations

from typing import final

from torch import Tensor

from ddstructs.tasks.rearrangement import Rearrangement

__all__ = ["BigramFlipping"]


@final
class BigramFlipping(Rearrangement):
    """Swap the symbols of each pair: `a b c d` becomes `b a d c`. Lengths are even.

    Reference:
        Grefenstette, Hermann, Suleyman & Blunsom 2015, *Learning to Transduce with Unbounded Memory*, section 4.1.

    Example:
        >>> import torch
        >>> from ddstructs.tasks import BigramFlipping
        >>> BigramFlipping().transduce(torch.tensor([[1, 2, 3, 4]]), torch.tensor([4]))[0].tolist()
        [[2, 1, 4, 3]]
    """

    multiple = 2

    def origin(self, position: Tensor, length: Tensor) -> Tensor:
        return position ^ 1
