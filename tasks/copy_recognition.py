"""Copies to recognize: a string written twice, whole or with a gap."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from ddstructs.tasks.language import Language
from ddstructs.tasks.recognition import Recognition
from ddstructs.tasks.repeated import Repeated

__all__ = ["MarkedCopyRecognition", "MissingDuplicate", "MissingDuplicateRecognition"]

MISSING = 2


@final
class MissingDuplicate(Language):
    """Strings of bits `w w` in which one 1 is missing, with `_` in its place.

    `w` is uniform but for one of its bits, which is made 1, and the one that is missing is uniform among all 1s.
    """

    alphabet = "01_"

    def sizes(self, lengths: tuple[int, int]) -> list[int]:
        even = [n for n in range(max(2, lengths[0]), lengths[1] + 1) if n % 2 == 0]
        return even or [max(2, lengths[1] // 2 * 2)]

    def draw(self, lengths: Tensor, generator: torch.Generator) -> Tensor:
        half, place = lengths[:, None] // 2, torch.arange(int(lengths.max()))
        w = torch.randint(2, (len(lengths), int(half.max())), generator=generator)
        chance = torch.rand(len(lengths), 1, generator=generator, dtype=torch.float64)
        whole = w.scatter(1, (chance * half).long(), 1).gather(1, place % half)
        ones = (whole == 1) & (place < 2 * half)
        chosen = torch.where(ones, torch.rand(whole.shape, generator=generator), -1.0).argmax(dim=1, keepdim=True)
        return whole.scatter(1, chosen, MISSING)

    def accepts(self, strings: Tensor, lengths: Tensor) -> Tensor:
        if not strings.shape[1]:
            return torch.zeros(len(strings), dtype=torch.bool)
        half, place = lengths[:, None] // 2, torch.arange(strings.shape[1])
        gaps = (strings == MISSING) & (place < lengths[:, None])
        filled = torch.where(gaps, 1, strings)
        other = filled.gather(1, (place + half).clamp(max=strings.shape[1] - 1))
        same = ((filled == other) | (place >= half)).all(dim=1)
        return same & (gaps.sum(dim=1) == 1) & (lengths % 2 == 0)


@final
class MarkedCopyRecognition(Recognition):
    """Recognize strings of the form `w # w`, such as `01#01`.

    Args:
        settings: The settings of every recognition task, see `Recognition`.

    Reference:
        Butoi, Khalighinejad, Svete, Valvoda, Cotterell & DuSell 2025, *Training Neural Networks as Recognizers of
        Formal Languages*.
    """

    language = Repeated("01#", "w # w")
    example = "01#01"


@final
class MissingDuplicateRecognition(Recognition):
    """Recognize strings of bits written twice in which one 1 is missing, such as `010_`.

    Whether a 1 is missing rather than a 0 decides: `01_1`, in which a 0 is, is not in the language.

    Args:
        settings: The settings of every recognition task, see `Recognition`.

    Reference:
        Butoi, Khalighinejad, Svete, Valvoda, Cotterell & DuSell 2025, *Training Neural Networks as Recognizers of
        Formal Languages*.
    """

    language = MissingDuplicate()
    example = "010_"
