"""Majority: more 1s than 0s."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from ddstructs.tasks.language import Language
from ddstructs.tasks.recognition import Recognition

__all__ = ["Majority", "MajorityRecognition"]


@final
class Majority(Language):
    """Strings of bits with more 1s than 0s; the number of 1s is uniform, and so is their order."""

    alphabet = "01"

    def sizes(self, lengths: tuple[int, int]) -> list[int]:
        return [*range(max(1, lengths[0]), max(1, lengths[1]) + 1)]

    def draw(self, lengths: Tensor, generator: torch.Generator) -> Tensor:
        n, place = lengths[:, None], torch.arange(int(lengths.max()))
        least = n // 2 + 1
        chance = torch.rand(n.shape, generator=generator, dtype=torch.float64)
        ones = least + (chance * (n - least + 1)).long()
        keys = torch.rand(len(lengths), len(place), generator=generator).masked_fill(place >= n, 2.0)
        return (keys.argsort(dim=1).argsort(dim=1) < ones).long()

    def accepts(self, strings: Tensor, lengths: Tensor) -> Tensor:
        ones = ((strings == 1) & (torch.arange(strings.shape[1]) < lengths[:, None])).sum(dim=1)
        return 2 * ones > lengths


@final
class MajorityRecognition(Recognition):
    """Recognize strings of bits with more 1s than 0s, such as `0110111`.

    Args:
        settings: The settings of every recognition task, see `Recognition`.

    Reference:
        Butoi, Khalighinejad, Svete, Valvoda, Cotterell & DuSell 2025, *Training Neural Networks as Recognizers of
        Formal Languages*.
    """

    language = Majority()
    example = "0110111"
