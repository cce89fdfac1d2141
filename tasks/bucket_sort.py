"""Bucket sort: the symbols of a string in order."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from ddstructs.tasks.blank_answer import BlankAnswer

__all__ = ["BucketSort"]


@final
class BucketSort(BlankAnswer):
    """Sort a string of five symbols: `4 2 0 2` becomes `0 2 2 4`.

    Args:
        settings: The settings of every blank answer, see `BlankAnswer`.

    Reference:
        Delétang et al. 2022, *Neural Networks and the Chomsky Hierarchy*, appendix A.

    Example:
        >>> from ddstructs.tasks import BucketSort
        >>> task = BucketSort()
        >>> task.assemble(*task.sources(["4202"])).targets[0, -4:].tolist()
        [0, 2, 2, 4]
    """

    alphabet = answers = "01234"
    pattern = "[0-4]+"
    example = "4202"

    def solve(self, source: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        real = torch.arange(source.shape[1]) < lengths[:, None]
        padding = len(self.alphabet)  # sorts behind the symbols
        return torch.where(real, source, padding).sort(dim=1).values % padding, lengths
