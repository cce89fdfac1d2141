"""Arithmetic on binary numbers to recognize: sums, products and square roots."""

from __future__ import annotations

from abc import abstractmethod
from math import isqrt
from random import Random
from typing import ClassVar, final

import torch
from torch import Tensor

from ddstructs.tasks.answered import Answered
from ddstructs.tasks.binary_numbers import digits, numbers
from ddstructs.tasks.recognition import Recognition

__all__ = ["BinaryProductRecognition", "BinarySumRecognition", "SquareRootRecognition"]

OPERATOR = 2


class BinaryEquation(Answered):
    """One or two binary numbers, `=`, and a result, all written from the lowest digit up; zeros may stand at the end.

    The digits of a string are shared out among the numbers and the result at random, by a Dirichlet distribution; the
    shares of the numbers are rounded down. Each number is uniform among those that fit, and whose result fits.
    """

    shares: ClassVar[tuple[int, ...]]
    """The weights of the numbers, and of the result, in the Dirichlet distribution."""

    @abstractmethod
    def operate(self, *values: int) -> int:
        """The result for some numbers."""

    @abstractmethod
    def choose(self, sizes: list[int], largest: int, random: Random) -> list[int]:
        """Numbers of at most these many digits, whose result is at most `largest`."""

    @property
    def shortest(self) -> int:
        """Length of a string of one digit in each place."""
        return 2 * len(self.shares) - 1

    def sizes(self, lengths: tuple[int, int]) -> list[int]:
        low, high = (max(self.shortest, length) for length in lengths)
        return [*range(low, high + 1)]

    def questions(self, lengths: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        random = Random(int(torch.randint(2**62, (), generator=generator)))
        gammas = [
            torch.empty(share, len(lengths), dtype=torch.float64).exponential_(generator=generator).sum(dim=0)
            for share in self.shares
        ]
        parts = torch.stack(gammas, dim=1).cumsum(dim=1)
        ends = ((lengths - self.shortest)[:, None] * parts / parts[:, -1:]).long()
        counts = 1 + ends.diff(dim=1, prepend=torch.zeros_like(ends[:, :1]))
        question = torch.zeros(len(lengths), int(lengths.max()), dtype=torch.int64)
        for row, (*sizes, room) in zip(question, counts.tolist(), strict=True):
            sizes.sort()
            written = [*zip(self.choose(sizes, 2**room - 1, random), sizes, strict=True)]
            random.shuffle(written)
            text = "+".join(f"{value:0{size}b}"[::-1] for value, size in written)
            row[: len(text)] = torch.tensor([OPERATOR if char == "+" else int(char) for char in text])
        return question, counts[:, :-1].sum(dim=1) + len(self.shares) - 2

    def answer(self, question: Tensor, size: Tensor, room: Tensor) -> tuple[Tensor, Tensor]:
        place, width = torch.arange(question.shape[1]), question.shape[1]
        count = len(self.shares) - 1
        here = place < size[:, None]
        signs = here & (question >= OPERATOR)
        possible = (signs.sum(dim=1) == count - 1) & (~signs | (question == OPERATOR)).all(dim=1) & (room > 0)
        begin, values = torch.zeros_like(size), []
        for i in range(count):
            end = torch.where(signs.any(dim=1), signs.int().argmax(dim=1), size) if i < count - 1 else size
            possible &= end > begin
            own = question.gather(1, (place + begin[:, None]).clamp(max=width - 1))
            values.append(numbers(torch.where((place < (end - begin)[:, None]) & (own < OPERATOR), own, 0)))
            begin = end + 1
        results = [self.operate(*each) for each in zip(*values, strict=True)]
        fits = torch.tensor([result.bit_length() for result in results], dtype=torch.int64) <= room
        written = [result if fit else 0 for result, fit in zip(results, fits.tolist(), strict=True)]
        return digits(written, width), possible & fits


@final
class Sums(BinaryEquation):
    """Two numbers and their sum."""

    alphabet = "01+="
    shares = (1, 1, 1)

    def operate(self, *values: int) -> int:
        return sum(values)

    def choose(self, sizes: list[int], largest: int, random: Random) -> list[int]:
        x = random.randint(0, min(2 ** sizes[0] - 1, largest))
        return [x, random.randint(0, min(2 ** sizes[1] - 1, largest - x))]


@final
class Products(BinaryEquation):
    """Two numbers and their product."""

    alphabet = "01*="
    shares = (1, 1, 2)

    def operate(self, *values: int) -> int:
        return values[0] * values[1]

    def choose(self, sizes: list[int], largest: int, random: Random) -> list[int]:
        x = random.randint(0, 2 ** sizes[0] - 1)
        most = 2 ** sizes[1] - 1
        return [x, random.randint(0, min(most, largest // x) if x else most)]


@final
class Roots(BinaryEquation):
    """A number and its square root, rounded down."""

    alphabet = "01="
    shares = (2, 1)

    def operate(self, *values: int) -> int:
        return isqrt(values[0])

    def choose(self, sizes: list[int], largest: int, random: Random) -> list[int]:
        return [random.randint(0, min(2 ** sizes[0] - 1, (largest + 1) ** 2 - 1))]


@final
class BinarySumRecognition(Recognition):
    """Recognize sums of binary numbers, from the lowest digit up: `01+11=101` is right, for 2 + 3 = 5.

    Args:
        settings: The settings of every recognition task, see `Recognition`.

    Reference:
        Butoi, Khalighinejad, Svete, Valvoda, Cotterell & DuSell 2025, *Training Neural Networks as Recognizers of
        Formal Languages*.
    """

    language = Sums()
    example = "01+11=101"


@final
class BinaryProductRecognition(Recognition):
    """Recognize products of binary numbers, from the lowest digit up: `01*11=011` is right, for 2 * 3 = 6.

    Args:
        settings: The settings of every recognition task, see `Recognition`.

    Reference:
        Butoi, Khalighinejad, Svete, Valvoda, Cotterell & DuSell 2025, *Training Neural Networks as Recognizers of
        Formal Languages*.
    """

    language = Products()
    example = "01*11=011"


@final
class SquareRootRecognition(Recognition):
    """Recognize square roots of binary numbers, rounded down, from the lowest digit up: `111=01` is right.

    The published code takes the root of a floating-point number, which is not exact for large ones; this one is exact.

    Args:
        settings: The settings of every recognition task, see `Recognition`.

    Reference:
        Butoi, Khalighinejad, Svete, Valvoda, Cotterell & DuSell 2025, *Training Neural Networks as Recognizers of
        Formal Languages*.
    """

    language = Roots()
    example = "111=01"
