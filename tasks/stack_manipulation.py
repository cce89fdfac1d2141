"""Stack manipulation: execute instructions on a stack, and output the resulting stack."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from ddstructs.tasks.batch import IGNORE
from ddstructs.tasks.blank_answer import BlankAnswer

__all__ = ["StackManipulation"]

POP, PUSH = 2, 3

END = 2


@final
class StackManipulation(BlankAnswer):
    """Pop from and push to a stack of bits, given bottom to top; the answer is the stack top to bottom, and `.`.

    The instructions are `<` to pop, `o` to push 0 and `i` to push 1. A pop of an empty stack does nothing. Of n
    symbols, the first 1 to n - 1, drawn uniformly, are the stack, and the rest are instructions, each drawn uniformly;
    a single symbol is a stack. There are n + 1 blanks; those after the end symbol are not scored.

    Args:
        settings: The settings of every blank answer, see `BlankAnswer`.

    Reference:
        Delétang et al. 2022, *Neural Networks and the Chomsky Hierarchy*, appendix A.

    Example:
        >>> from ddstructs.tasks import StackManipulation
        >>> task = StackManipulation()
        >>> batch = task.assemble(*task.sources(["0110i<<"]))
        >>> task.answer([symbol for symbol in batch.targets[0].tolist() if symbol >= 0])
        '110.'
    """

    alphabet = "01<oi"
    answers = "01."
    pattern = "[01]+[<oi]*"
    example = "0110i<<"

    def strings(self, lengths: Tensor, generator: torch.Generator) -> Tensor:
        shape = (len(lengths), int(lengths.max()))
        share = torch.rand(len(lengths), 1, generator=generator, dtype=torch.float64)
        size = 1 + (share * (lengths[:, None] - 1)).long()
        bits, instructions = (torch.randint(*span, shape, generator=generator) for span in ((0, 2), (POP, PUSH + 2)))
        return torch.where(torch.arange(shape[1]) < size, bits, instructions)

    def solve(self, source: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        here = torch.arange(source.shape[1]) < lengths[:, None]
        push = here & (source != POP)
        level = (push.long() - (here & (source == POP)).long()).cumsum(dim=1)
        height = level - level.cummin(dim=1).values.clamp(max=0)  # a pop of an empty stack does nothing
        lowest = height.flip(1).cummin(dim=1).values.flip(1)  # from each step on
        left, final = push & (lowest == height), height[:, -1:]
        answer = torch.full((len(source), source.shape[1] + 1), IGNORE).scatter_(1, final, END)
        rows, _ = left.nonzero(as_tuple=True)
        answer[rows, (final - height)[left]] = torch.where(source < POP, source, source - PUSH)[left]
        return answer, lengths + 1
