"""Odds first: every second symbol of a string, and then the others."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from ddstructs.tasks.blank_answer import BlankAnswer

__all__ = ["OddsFirst"]


@final
class OddsFirst(BlankAnswer):
    """Give the symbols at the odd places of a string of bits, counted from 0, and then those at the even ones.

    So `0 0 1 0 1` becomes `0 0 0 1 1`. This is what the published code does; counted from 1, as its text and the name
    of the task have it, the halves would come the other way round.

    Args:
        settings: The settings of every blank answer, see `BlankAnswer`.

    Reference:
        Delétang et al. 2022, *Neural Networks and the Chomsky Hierarchy*, appendix A.

    Example:
        >>> from ddstructs.tasks import OddsFirst
        >>> task = OddsFirst()
        >>> task.assemble(*task.sources(["00101"])).targets[0, -5:].tolist()
        [0, 0, 0, 1, 1]
    """

    alphabet = answers = "01"
    pattern = "[01]+"
    example = "00101"

    def solve(self, source: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        place, odds = torch.arange(source.shape[1]), lengths[:, None] // 2
        index = torch.where(place < odds, 2 * place + 1, 2 * (place - odds))
        return source.gather(1, index.clamp(max=source.shape[1] - 1)), lengths
