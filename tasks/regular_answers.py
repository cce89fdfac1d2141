"""The regular tasks of the Chomsky suite: even pairs, parity, cycle navigation, and modular arithmetic."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from ddstructs.tasks.blank_answer import BlankAnswer

__all__ = ["CycleNavigation", "EvenPairs", "ModularArithmetic", "ParityCheck"]

MODULUS = 5

PLUS, MINUS, TIMES = 5, 6, 7


def masked(source: Tensor, lengths: Tensor) -> Tensor:
    """The symbols, with 0 beyond the length of each row."""
    return torch.where(torch.arange(source.shape[1]) < lengths[:, None], source, 0)


def single(answer: Tensor) -> tuple[Tensor, Tensor]:
    """Answers of one symbol, shape `(batch,)`, in the form of `BlankAnswer.solve`."""
    return answer[:, None].long(), torch.ones_like(answer, dtype=torch.int64)


@final
class EvenPairs(BlankAnswer):
    """Decide whether the number of pairs `01` and `10` in a string of bits is odd (1) or even (0).

    It is odd if the first symbol differs from the last.

    Args:
        settings: The settings of every blank answer, see `BlankAnswer`.

    Reference:
        Delétang et al. 2022, *Neural Networks and the Chomsky Hierarchy*, appendix A.

    Example:
        >>> from ddstructs.tasks import EvenPairs
        >>> task = EvenPairs()
        >>> task.assemble(*task.sources(["00101"])).targets[0, -1].item()  # 01, 10, 01
        1
    """

    alphabet = answers = "01"
    pattern = "[01]+"
    example = "00101"

    def solve(self, source: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        last = source.gather(1, lengths[:, None] - 1)[:, 0]
        return single(source[:, 0] != last)


@final
class ParityCheck(BlankAnswer):
    """Decide whether the number of ones in a string of bits is odd (1) or even (0).

    Args:
        settings: The settings of every blank answer, see `BlankAnswer`.

    Reference:
        Delétang et al. 2022, *Neural Networks and the Chomsky Hierarchy*, appendix A.

    Example:
        >>> from ddstructs.tasks import ParityCheck
        >>> task = ParityCheck()
        >>> task.assemble(*task.sources(["0111"])).targets[0, -1].item()
        1
    """

    alphabet = answers = "01"
    pattern = "[01]+"
    example = "0111"

    def solve(self, source: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        return single(masked(source, lengths).sum(dim=1) % 2)


@final
class CycleNavigation(BlankAnswer):
    """Follow steps on a cycle of five positions to the last one: `=` stays, `+` moves forward, `-` moves back.

    Args:
        settings: The settings of every blank answer, see `BlankAnswer`.

    Reference:
        Delétang et al. 2022, *Neural Networks and the Chomsky Hierarchy*, appendix A.

    Example:
        >>> from ddstructs.tasks import CycleNavigation
        >>> task = CycleNavigation()
        >>> task.assemble(*task.sources(["+=--"])).targets[0, -1].item()
        4
    """

    alphabet = "=+-"
    answers = "01234"
    pattern = "[=+-]+"
    example = "+=--"

    def solve(self, source: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        step = torch.tensor([0, 1, -1])[masked(source, lengths)]
        return single(step.sum(dim=1) % MODULUS)


@final
class ModularArithmetic(BlankAnswer):
    """Evaluate an expression of digits, `+`, `-` and `*` modulo 5; `*` binds more tightly: `2+3*4` is 4.

    Lengths are odd; an even length is reduced by one.

    Args:
        settings: The settings of every blank answer, see `BlankAnswer`.

    Reference:
        Delétang et al. 2022, *Neural Networks and the Chomsky Hierarchy*, appendix A: modular arithmetic (simple).

    Example:
        >>> from ddstructs.tasks import ModularArithmetic
        >>> task = ModularArithmetic()
        >>> task.assemble(*task.sources(["2+3*4"])).targets[0, -1].item()
        4
    """

    alphabet = "01234+-*"
    answers = "01234"
    pattern = "[0-4]([-+*][0-4])*"
    example = "2+3*4"

    def possible(self, lengths: Tensor) -> Tensor:
        return (lengths - 1).clamp(min=0) // 2 * 2 + 1

    def strings(self, lengths: Tensor, generator: torch.Generator) -> Tensor:
        shape = (len(lengths), int(lengths.max()))
        source = torch.randint(MODULUS, shape, generator=generator)
        source[:, 1::2] = torch.randint(PLUS, TIMES + 1, source[:, 1::2].shape, generator=generator)
        return source

    def solve(self, source: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        total, term = torch.zeros_like(source[:, 0]), source[:, 0]
        for i in range(1, source.shape[1], 2):
            operator, digit = source[:, i], source[:, i + 1]
            times, here = operator == TIMES, i < lengths
            total = torch.where(here & ~times, total + term, total)
            after = torch.where(times, term * digit, torch.where(operator == PLUS, digit, -digit))
            term = torch.where(here, after % MODULUS, term)
        return single((total + term) % MODULUS)
