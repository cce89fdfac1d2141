"""Rearrangements to recognize: odds first, and bucket sort."""

from __future__ import annotations

from abc import abstractmethod
from typing import final

import torch
from torch import Tensor

from ddstructs.tasks.answered import Answered
from ddstructs.tasks.recognition import Recognition

__all__ = ["BucketSortRecognition", "OddsFirstRecognition"]


class Reordered(Answered):
    """A uniform string, `#`, and its symbols in another order."""

    def sizes(self, lengths: tuple[int, int]) -> list[int]:
        low, high = (max(1, length) for length in lengths)
        return [n for n in range(low, high + 1) if n % 2] or [high // 2 * 2 + 1]

    def questions(self, lengths: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        shape = (len(lengths), int(lengths.max()))
        return torch.randint(len(self.alphabet) - 1, shape, generator=generator), lengths // 2

    def answer(self, question: Tensor, size: Tensor, room: Tensor) -> tuple[Tensor, Tensor]:
        mark, real = len(self.alphabet) - 1, torch.arange(question.shape[1]) < size[:, None]
        possible = (size == room) & ~(real & (question == mark)).any(dim=1)
        return self.reorder(torch.where(real, question, mark), size), possible

    @abstractmethod
    def reorder(self, symbols: Tensor, size: Tensor) -> Tensor:
        """The symbols of each string in the new order; behind its end it has the mark."""


@final
class OddsFirst(Reordered):
    """Every second symbol of a string, from the first on, and then the others."""

    alphabet = "01#"

    def reorder(self, symbols: Tensor, size: Tensor) -> Tensor:
        place, odds = torch.arange(symbols.shape[1]), (size[:, None] + 1) // 2
        index = torch.where(place < odds, 2 * place, 2 * (place - odds) + 1)
        return symbols.gather(1, index.clamp(max=symbols.shape[1] - 1))


@final
class BucketSort(Reordered):
    """The symbols of a string in ascending order."""

    alphabet = "12345#"

    def reorder(self, symbols: Tensor, size: Tensor) -> Tensor:
        return symbols.sort(dim=1).values


@final
class OddsFirstRecognition(Recognition):
    """Recognize strings of bits, `#`, and the same bits with every second one first, such as `0010#0100`.

    The first, third and later odd bits come first; in `OddsFirst`, as in its published code, the others do.

    Args:
        settings: The settings of every recognition task, see `Recognition`.

    Reference:
        Butoi, Khalighinejad, Svete, Valvoda, Cotterell & DuSell 2025, *Training Neural Networks as Recognizers of
        Formal Languages*.
    """

    language = OddsFirst()
    example = "0010#0100"


@final
class BucketSortRecognition(Recognition):
    """Recognize strings of five symbols, `#`, and the same symbols in order, such as `4253#2345`.

    Args:
        settings: The settings of every recognition task, see `Recognition`.

    Reference:
        Butoi, Khalighinejad, Svete, Valvoda, Cotterell & DuSell 2025, *Training Neural Networks as Recognizers of
        Formal Languages*.
    """

    language = BucketSort()
    example = "4253#2345"
