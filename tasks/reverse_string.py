"""Reverse string: reverse a string of bits at blanks."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from ddstructs.tasks.blank_answer import BlankAnswer

__all__ = ["ReverseString"]


@final
class ReverseString(BlankAnswer):
    """Reverse a string of bits: after `0 0 1`, answer three blanks with `1 0 0`.

    `Reversal` is the same transduction with the answer fed back, over more symbols.

    Args:
        settings: The settings of every blank answer, see `BlankAnswer`.

    Reference:
        Delétang et al. 2022, *Neural Networks and the Chomsky Hierarchy*, appendix A.

    Example:
        >>> import torch
        >>> from ddstructs.tasks import ReverseString
        >>> ReverseString().assemble(torch.tensor([[0, 0, 1]]), torch.tensor([3])).targets.tolist()
        [[-100, -100, -100, -100, 1, 0, 0]]
    """

    alphabet = answers = "01"
    pattern = "[01]+"
    example = "001"

    def solve(self, source: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        index = lengths[:, None] - 1 - torch.arange(source.shape[1])
        return source.gather(1, index.clamp(min=0)), lengths
