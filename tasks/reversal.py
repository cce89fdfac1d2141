"""Reversal: the target is the source backwards."""

from __future__ import annotations

from typing import final

from torch import Tensor

from ddstructs.tasks.rearrangement import Rearrangement

__all__ = ["Reversal"]


@final
class Reversal(Rearrangement):
    """Repeat the source backwards: `a b c d` becomes `d c b a`. A stack solves it.

    Reference:
        Grefenstette, Hermann, Suleyman & Blunsom 2015, *Learning to Transduce with Unbounded Memory*, section 4.1.

    Example:
        >>> import torch
        >>> from ddstructs.tasks import Reversal
        >>> Reversal().transduce(torch.tensor([[1, 2, 3, 4]]), torch.tensor([4]))[0].tolist()
        [[4, 3, 2, 1]]
    """

    def origin(self, position: Tensor, length: Tensor) -> Tensor:
        return length - 1 - position
