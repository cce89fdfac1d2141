"""Odds first: the symbols at odd positions, then those at even positions."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from ddstructs.tasks.blank_answer import BlankAnswer

__all__ = ["OddsFirst"]


@final
class OddsFirst(BlankAnswer):
    """Output the symbols at odd positions of a string of bits, counted from 0, then those at even positions.

    So `0 0 1 0 1` becomes `0 0 0 1 1`, as in the published code. Counted from 1, as in the published text and in the
    name of the task, the two parts would be swapped.

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
