"""Modular arithmetic with brackets: evaluate an expression, or solve an equation for its missing digit."""

from __future__ import annotations

from typing import Any, ClassVar, final

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from ddstructs.errors import InputError
from ddstructs.registry.ranges import Spread, check_ranges
from ddstructs.tasks.batch import Batch
from ddstructs.tasks.blank_answer import BLANK, BlankAnswer
from ddstructs.tasks.expressions import (
    DIGITS,
    EXTRA,
    MINUS,
    MODULUS,
    PLUS,
    bracket_values,
    draw_expressions,
    evaluate,
    left_values,
)
from ddstructs.tasks.lines import printable
from ddstructs.tasks.regular_answers import single

__all__ = ["BracketAnswer", "ModularArithmeticBrackets", "SolveEquation"]

TIMES = UNKNOWN = EXTRA

EQUALS = EXTRA + 1


class BracketAnswer(BlankAnswer):
    """A digit that follows from an expression with brackets.

    Two more objectives, in training, teach a network to keep the value of one part while it reads another, which the
    one answer to a whole expression hardly does. The published networks were trained without them. In an equation each
    has two answers, that with 0 for the unknown and that with 1. Only the value of a part, with 0 for the unknown,
    shares the output symbols of the answer; the others have their own.

    Args:
        part_weight: Weight of the objective to give the value of each part in brackets when it is closed.
        operand_weight: Weight of the objective to give, where the right operand ends, the value of the left one.
        settings: The settings of every blank answer, see `BlankAnswer`.
    """

    answers = DIGITS

    unknown: ClassVar[int | None] = None
    """The symbol of an unknown digit, if there is one."""

    def __init__(self, part_weight: Spread = 0.0, operand_weight: Spread = 0.0, **settings: Any) -> None:
        check_ranges(BracketAnswer.__init__, locals())
        super().__init__(**settings)
        self.part_weight = part_weight
        self.operand_weight = operand_weight

    @property
    def output_symbols(self) -> int:
        digits, known = len(self.answers), 1 if self.unknown is None else 2
        return digits * (2 * known if self.operand_weight else known if self.part_weight else 1)

    def output_name(self, symbol: int) -> str:
        number, digit = divmod(symbol, len(self.answers))
        left, one = (number, 0) if self.unknown is None else divmod(number, 2)
        return self.answers[digit] + " on the left" * left + " if x=1" * one

    def auxiliary_loss(self, logits: Tensor, batch: Batch) -> Tensor | None:
        """The mean cross entropy of the values of the parts, and that of the left operands, times their weights."""
        if not (self.part_weight or self.operand_weight):
            return None
        source, lengths = (batch.inputs[:, 1:] - BLANK - 1).cpu(), self.lengths(batch).cpu()
        known = [source] if self.unknown is None else [torch.where(source == self.unknown, x, source) for x in range(2)]
        answers, losses = iter(logits[:, 1:].split(len(self.answers), dim=-1)), []
        for find, weight in ((bracket_values, self.part_weight), (left_values, self.operand_weight)):
            pairs = list(zip(known, answers, strict=False))
            for each, own in pairs if weight else ():
                values = find(each, lengths).to(logits.device)
                asked = values >= 0
                if asked.any():
                    losses.append(weight / len(known) * cross_entropy(own[asked], values[asked]))
        return torch.stack(losses).sum() if losses else None


@final
class ModularArithmeticBrackets(BracketAnswer):
    """Evaluate an expression with brackets modulo 5: `((2+3)*-4)` is 0.

    An expression of 1 to 4 symbols is `d`, `-d`, `(d)` or `(-d)`. A longer one is, in brackets, two expressions joined
    by `+`, `-` or `*`; the length of the first one is uniform.

    Args:
        settings: The settings of every answer to an expression with brackets, see `BracketAnswer`.

    Reference:
        Delétang et al. 2022, *Neural Networks and the Chomsky Hierarchy*, appendix A.

    Example:
        >>> from ddstructs.tasks import ModularArithmeticBrackets
        >>> task = ModularArithmeticBrackets()
        >>> task.assemble(*task.sources(["((2-3)*-4)"])).targets[0, -1].item()
        4
    """

    alphabet = f"{DIGITS}+-()*"
    pattern = r"[0-4+\-()*]+"
    example = "((2-3)*-4)"

    def strings(self, lengths: Tensor, generator: torch.Generator) -> Tensor:
        return draw_expressions(lengths, (PLUS, MINUS, TIMES), generator)

    def solve(self, source: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        return single(evaluate(source, lengths))

    def encode(self, text: str) -> list[int]:
        symbols = super().encode(text)
        if evaluate(torch.tensor([symbols]), torch.tensor([len(symbols)])).item() < 0:
            raise InputError(f"{printable(text)!r} is not an expression such as {self.example}")
        return symbols


@final
class SolveEquation(BracketAnswer):
    """Solve an equation modulo 5 for the digit `x`: in `((2-x)+4)=3`, it is 3.

    The left side is an expression of `ModularArithmeticBrackets` without `*`, in which `x` replaces a digit; the right
    side is its value. The solution is unique. The shortest equation has three symbols.

    Args:
        settings: The settings of every answer to an expression with brackets, see `BracketAnswer`.

    Reference:
        Delétang et al. 2022, *Neural Networks and the Chomsky Hierarchy*, appendix A.

    Example:
        >>> from ddstructs.tasks import SolveEquation
        >>> task = SolveEquation()
        >>> task.assemble(*task.sources(["((2-x)+4)=3"])).targets[0, -1].item()
        3
    """

    alphabet = f"{DIGITS}+-()x="
    unknown = UNKNOWN
    pattern = r"[0-4+\-()]*x[0-4+\-()]*=[0-4]"
    example = "((2-x)+4)=3"
    shortest = 3

    def strings(self, lengths: Tensor, generator: torch.Generator) -> Tensor:
        size = lengths - 2
        left = draw_expressions(size, (PLUS, MINUS), generator)
        value = evaluate(left, size)
        digit = (left < MODULUS) & (torch.arange(left.shape[1]) < size[:, None])
        chance = torch.where(digit, torch.rand(left.shape, generator=generator), -1.0)
        left = left.scatter(1, chance.argmax(dim=1, keepdim=True), UNKNOWN)
        source = torch.cat([left, left.new_zeros(len(left), 2)], dim=1)
        source.scatter_(1, size[:, None], EQUALS)
        return source.scatter_(1, size[:, None] + 1, value[:, None])

    def solve(self, source: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        both = torch.cat([torch.where(source == UNKNOWN, x, source) for x in range(2)])
        zero, one = evaluate(both, (lengths - 2).repeat(2)).chunk(2)
        value = source.gather(1, lengths[:, None] - 1)[:, 0]
        return single((value - zero) * (one - zero) % MODULUS)  # the slope is 1 or -1, its own inverse

    def encode(self, text: str) -> list[int]:
        symbols = super().encode(text)
        left = torch.tensor([symbols[:-2]])
        if evaluate(torch.where(left == UNKNOWN, 0, left), torch.tensor([len(symbols) - 2])).item() < 0:
            raise InputError(f"{printable(text)!r} is not an equation such as {self.example}")
        return symbols
