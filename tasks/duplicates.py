"""Tasks on repeated strings: duplicate string and missing duplicate."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from ddstructs.tasks.blank_answer import BlankAnswer
from ddstructs.tasks.regular_answers import single

__all__ = ["DuplicateString", "MissingDuplicate"]

MISSING, FILLER = 2, 3


@final
class DuplicateString(BlankAnswer):
    """Write a string of bits twice: after `0 1 1`, answer six blanks with `0 1 1 0 1 1`.

    Args:
        settings: The settings of every blank answer, see `BlankAnswer`.

    Reference:
        Delétang et al. 2022, *Neural Networks and the Chomsky Hierarchy*, appendix A.

    Example:
        >>> from ddstructs.tasks import DuplicateString
        >>> task = DuplicateString()
        >>> task.assemble(*task.sources(["011"])).targets[0, -6:].tolist()
        [0, 1, 1, 0, 1, 1]
    """

    alphabet = answers = "01"
    pattern = "[01]+"
    example = "011"

    def solve(self, source: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        index = torch.arange(2 * source.shape[1]) % lengths[:, None]
        return source.gather(1, index), 2 * lengths


@final
class MissingDuplicate(BlankAnswer):
    """Find the missing symbol in a string of bits written twice: in `01?1`, `?` stands for 0.

    A string of odd length ends with a `.`. The shortest string has two symbols.

    Args:
        settings: The settings of every blank answer, see `BlankAnswer`.

    Reference:
        Delétang et al. 2022, *Neural Networks and the Chomsky Hierarchy*, appendix A.

    Example:
        >>> from ddstructs.tasks import MissingDuplicate
        >>> task = MissingDuplicate()
        >>> task.assemble(*task.sources(["01?1"])).targets[0, -1].item()
        0
    """

    alphabet = "01?."
    answers = "01"
    pattern = r"(?P<first>[01]*)((?P<a>[01])(?P<b>[01]*)(?P=first)\?(?P=b)|\?(?P<c>[01]*)(?P=first)[01](?P=c))\.?"
    example = "01?1"
    shortest = 2

    def strings(self, lengths: Tensor, generator: torch.Generator) -> Tensor:
        width, half = int(lengths.max()), lengths[:, None] // 2
        place = torch.arange(width)
        bits = torch.randint(2, (len(lengths), width), generator=generator)
        source = bits.gather(1, place % half)
        source = torch.where(place < 2 * half, source, FILLER)
        chance = torch.rand(len(lengths), 1, generator=generator, dtype=torch.float64)
        return source.scatter(1, (chance * 2 * half).long(), MISSING)

    def solve(self, source: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        half = lengths[:, None] // 2
        missing = (source == MISSING).int().argmax(dim=1, keepdim=True)
        return single(source.gather(1, (missing + half) % (2 * half))[:, 0])
