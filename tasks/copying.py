"""Copying: the target is the source."""

from __future__ import annotations

from typing import final

from torch import Tensor

from ddstructs.tasks.rearrangement import Rearrangement

__all__ = ["Copying"]


@final
class Copying(Rearrangement):
    """Repeat the source: `a b c d` becomes `a b c d`. A queue solves it.

    Reference:
        Grefenstette, Hermann, Suleyman & Blunsom 2015, *Learning to Transduce with Unbounded Memory*, section 4.1.

    Example:
        >>> import torch
        >>> from ddstructs.tasks import Copying
        >>> Copying().transduce(torch.tensor([[1, 2, 3, 4]]), torch.tensor([4]))[0].tolist()
        [[1, 2, 3, 4]]
    """

    def origin(self, position: Tensor, length: Tensor) -> Tensor:
        return position
