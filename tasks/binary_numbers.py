"""Arithmetic on binary numbers: addition, multiplication, and the square root."""

from __future__ import annotations

from abc import abstractmethod
from math import isqrt
from typing import Any, final

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from ddstructs.registry.ranges import Spread, check_ranges
from ddstructs.tasks.batch import IGNORE, Batch
from ddstructs.tasks.blank_answer import BLANK, BlankAnswer
from ddstructs.tasks.task import Goal

__all__ = ["BinaryProduct", "BinarySum", "SquareRoot"]

OPERATOR = END = 2

ORDER = ("first", "second")

ADDENDS = (
    *((f"0 in the {each} number", f"1 in the {each} number", f"no digit in the {each} number") for each in ORDER),
    ("no carry", "a carry"),
)
"""What is added at a place, where it is asked for: the digit of each number, and the carry."""


def numbers(bits: Tensor) -> list[int]:
    """The number in each row of bits, shape `(batch, width)`, with the lowest bit first."""
    packed = np.packbits(bits.numpy().astype(np.uint8), axis=1, bitorder="little")
    return [int.from_bytes(row.tobytes(), "little") for row in packed]


def digits(values: list[int], width: int) -> Tensor:
    """The `width` lowest bits of each number, shape `(batch, width)`, with the lowest bit first."""
    size = -(-width // 8)
    packed = np.frombuffer(b"".join(value.to_bytes(size, "little") for value in values), np.uint8)
    bits = np.unpackbits(packed.reshape(len(values), size), axis=1, count=width, bitorder="little")
    return torch.from_numpy(bits.astype(np.int64))


def operands(source: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    """The digits of both numbers, each shape `(batch, time)`, with the lowest digit first; -1 beyond the last."""
    place, sign = torch.arange(source.shape[1]), (source == OPERATOR).int().argmax(dim=1, keepdim=True)
    second = source.gather(1, (sign + 1 + place).clamp(max=source.shape[1] - 1))
    return source.where(place < sign, -1), second.where(place < lengths[:, None] - 1 - sign, -1)


def positive_bits(lengths: Tensor, width: int, generator: torch.Generator) -> Tensor:
    """Numbers drawn uniformly from 1..2^length - 1, as bits padded with 0, shape `(batch, width)`."""
    real = torch.arange(width) < lengths[:, None]
    bits = torch.zeros(len(lengths), width, dtype=torch.int64)
    while (zero := ~bits.any(dim=1)).any():
        bits[zero] = torch.randint(2, (int(zero.sum()), width), generator=generator) * real[zero]
    return bits


class BinaryOperation(BlankAnswer):
    """A task that reads two binary numbers with an operator between them, and answers with the result and `.`.

    Numbers are written with the lowest digit first. Of n symbols, the first 1 to n - 2, drawn uniformly, are the first
    number. Each number is drawn uniformly from 1 up, and may therefore end with zeros; the result does not. The blanks
    after the end symbol are not scored. The shortest string has three symbols; it replaces strings of length 1 and 2,
    which are a single number in the published code.

    Args:
        settings: The settings of every blank answer, see `BlankAnswer`.
    """

    answers = "01."
    shortest = 3

    @abstractmethod
    def operate(self, one: int, two: int) -> int:
        """The result."""

    @abstractmethod
    def blanks(self, lengths: Tensor) -> Tensor:
        """The number of blanks after strings of these lengths."""

    def strings(self, lengths: Tensor, generator: torch.Generator) -> Tensor:
        width = int(lengths.max())
        share = torch.rand(len(lengths), generator=generator, dtype=torch.float64)
        first = 1 + (share * (lengths - 2)).long()
        one, two = (positive_bits(size, width, generator) for size in (first, lengths - 1 - first))
        place, sign = torch.arange(width), first[:, None]
        second = two.gather(1, (place - sign - 1).clamp(min=0))
        return torch.where(place < sign, one, torch.where(place == sign, OPERATOR, second))

    def solve(self, source: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        one, two = (numbers(number.where(number >= 0, 0)) for number in operands(source, lengths))
        results = list(map(self.operate, one, two))
        blanks = self.blanks(lengths)
        size = torch.tensor([max(1, result.bit_length()) for result in results])[:, None]
        place = torch.arange(int(blanks.max()))
        bits = digits(results, len(place))
        return torch.where(place < size, bits, torch.where(place == size, END, IGNORE)), blanks


@final
class BinarySum(BinaryOperation):
    """Add two binary numbers, written with the lowest digit first: `001+011` is `0101.`, for 4 + 6 = 10.

    `BinaryAddition` is the same sum in a form that needs no memory. There are n + 1 blanks after n symbols.

    A sum ends where only zeros follow in both numbers, which a network cannot know that reads them in step: adding
    right, and ending where both numbers do, has .974 of the symbols for sources of up to 40 symbols, and .997 for those
    of up to 500. The goal is therefore a share of the symbols.

    A second objective, in training, asks in each step for the two digits and the carry that are added in the next one.
    Their sum modulo 2 says nothing about one of them while another is unknown. They are due a step early because a sum
    modulo 2 is not linear, and what is read enters the cell in the next step. The published networks were trained
    without this objective.

    Args:
        addend_weight: Weight of the objective to give in the step before each blank, up to the end of the sum, the
            digit of each number, or that there is none, and the carry. They have output symbols of their own.
        settings: The settings of every blank answer, see `BlankAnswer`.

    Reference:
        Delétang et al. 2022, *Neural Networks and the Chomsky Hierarchy*, appendix A: binary addition.

    Example:
        >>> from ddstructs.tasks import BinarySum
        >>> task = BinarySum()
        >>> batch = task.assemble(*task.sources(["001+011"]))
        >>> task.answer([symbol for symbol in batch.targets[0].tolist() if symbol >= 0])
        '0101.'
    """

    goal = Goal("symbols", 0.99)
    alphabet = "01+"
    pattern = r"[01]+\+[01]+"
    example = "001+011"

    def __init__(self, addend_weight: Spread = 0.0, **settings: Any) -> None:
        check_ranges(BinarySum.__init__, locals())
        super().__init__(**settings)
        self.addend_weight = addend_weight

    @property
    def output_symbols(self) -> int:
        return len(self.answers) + (sum(map(len, ADDENDS)) if self.addend_weight else 0)

    def output_name(self, symbol: int) -> str:
        names: list[str] = [*self.answers, *(name for names in ADDENDS for name in names)]
        return names[symbol]

    def auxiliary_loss(self, logits: Tensor, batch: Batch) -> Tensor | None:
        """The sum of the mean cross entropies of both digits and the carry, times the weight."""
        if not self.addend_weight:
            return None
        source, lengths = (batch.inputs[:, 1:] - BLANK - 1).cpu(), self.lengths(batch).cpu()
        total = batch.targets[:, 1:].cpu()
        place = (torch.arange(total.shape[1]) - lengths[:, None]).clamp(min=0)  # that is due in the next step
        one, two = (number.gather(1, place) for number in operands(source, lengths))
        carry = ((one == 1) ^ (two == 1) ^ (total == 1)).long()
        values = (one.where(one >= 0, 2), two.where(two >= 0, 2), carry)
        due = total != IGNORE
        own = logits[:, :-1, len(self.answers) :].split([len(names) for names in ADDENDS], dim=-1)
        losses = [
            cross_entropy(scores[due.to(logits.device)], value[due].to(logits.device))
            for scores, value in zip(own, values, strict=True)
        ]
        return self.addend_weight * torch.stack(losses).sum()

    def operate(self, one: int, two: int) -> int:
        return one + two

    def blanks(self, lengths: Tensor) -> Tensor:
        return lengths + 1


@final
class BinaryProduct(BinaryOperation):
    """Multiply two binary numbers, written with the lowest digit first: `01*11` is `011.`, for 2 * 3 = 6.

    There are n blanks after n symbols.

    Args:
        settings: The settings of every blank answer, see `BlankAnswer`.

    Reference:
        Delétang et al. 2022, *Neural Networks and the Chomsky Hierarchy*, appendix A: binary multiplication.

    Example:
        >>> from ddstructs.tasks import BinaryProduct
        >>> task = BinaryProduct()
        >>> batch = task.assemble(*task.sources(["01*11"]))
        >>> task.answer([symbol for symbol in batch.targets[0].tolist() if symbol >= 0])
        '011.'
    """

    alphabet = "01*"
    pattern = r"[01]+\*[01]+"
    example = "01*11"

    def operate(self, one: int, two: int) -> int:
        return one * two

    def blanks(self, lengths: Tensor) -> Tensor:
        return lengths


@final
class SquareRoot(BlankAnswer):
    """Find the square root of a binary number, rounded down; the highest digit comes first: `111` becomes `10`.

    A number of n digits is drawn uniformly from 1..2^n - 1, and may therefore begin with zeros. Its root has half as
    many digits, rounded up.

    Args:
        settings: The settings of every blank answer, see `BlankAnswer`.

    Reference:
        Delétang et al. 2022, *Neural Networks and the Chomsky Hierarchy*, appendix A: compute sqrt.

    Example:
        >>> from ddstructs.tasks import SquareRoot
        >>> task = SquareRoot()
        >>> task.assemble(*task.sources(["100101"])).targets[0, -3:].tolist()  # 37
        [1, 1, 0]
    """

    alphabet = answers = "01"
    pattern = "[01]+"
    example = "100101"

    def strings(self, lengths: Tensor, generator: torch.Generator) -> Tensor:
        return positive_bits(lengths, int(lengths.max()), generator)

    def solve(self, source: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        size = (lengths + 1) // 2
        roots = digits([isqrt(number) for number in numbers(backward(source, lengths))], int(size.max()))
        return backward(roots, size), size


def backward(bits: Tensor, lengths: Tensor) -> Tensor:
    """Each row reversed, and padded with 0."""
    index = lengths[:, None] - 1 - torch.arange(bits.shape[1])
    return torch.where(index >= 0, bits.gather(1, index.clamp(min=0)), 0)
