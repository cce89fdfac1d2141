"""Stack manipulation to recognize: a stack, instructions, and the stack that they lead to."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor
from torch.nn.functional import pad

from ddstructs.tasks.answered import Answered
from ddstructs.tasks.recognition import Recognition

__all__ = ["StackManipulationRecognition", "StackManipulations"]

PUSH, POP = 2, 3


@final
class StackManipulations(Answered):
    """A stack of bits, bottom to top, instructions, `#`, and the stack after them, top to bottom.

    An instruction is `<`, pop, or `>` and a bit, push it. The stack is not popped when it is empty. A string of length
    n has s bits on the stack and p pushes, where n = 2 s + 3 p + 1, for pops add as much to the one side as they take
    from the other. In the published sampler s and p are uniform within bounds, which makes for the length; here the
    length is drawn first, and then p, uniformly. Before each push, and after the last, the stack is popped as often as
    coins fall, or until it is empty.
    """

    alphabet = "01><#"

    def sizes(self, lengths: tuple[int, int]) -> list[int]:
        low, high = (max(1, length) for length in lengths)
        return [n for n in range(low, high + 1) if n != 2] or [3]

    def questions(self, lengths: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        batch, width = len(lengths), int(lengths.max())
        odd = (lengths - 1) % 2
        most = ((lengths - 1) // 3 - odd).div(2, rounding_mode="floor")
        chance = torch.rand(batch, generator=generator, dtype=torch.float64)
        pushes = odd + 2 * (chance * (most + 1)).long()
        stack = (lengths - 1 - 3 * pushes) // 2
        turns = torch.arange(int(pushes.max()) + 1)
        coins = torch.empty(batch, len(turns)).geometric_(0.5, generator=generator).long() - 1
        there = turns <= pushes[:, None]
        level = stack[:, None] + turns - (coins * there).cumsum(dim=1)  # after the pops of each turn, if all were done
        height = level - level.cummin(dim=1).values.clamp(max=0)
        before = torch.cat([stack[:, None], height[:, :-1] + 1], dim=1)
        pops = torch.where(there, before - height, 0)
        begin = stack[:, None] + (pops + 2).cumsum(dim=1) - 2  # the place of each push
        place = torch.arange(width)
        bits = torch.randint(2, (batch, width), generator=generator)
        question = torch.where(place < stack[:, None], bits, POP)
        pushed = turns < pushes[:, None]
        for at, symbol in ((begin, PUSH), (begin + 1, None)):
            said = bits.gather(1, at.clamp(max=width - 1)) if symbol is None else torch.full_like(at, symbol)
            question = pad(question, (0, 1)).scatter(1, at.where(pushed, torch.tensor(width)), said)[:, :width]
        return question, stack + 2 * pushes + pops.sum(dim=1)

    def answer(self, question: Tensor, size: Tensor, room: Tensor) -> tuple[Tensor, Tensor]:
        here = torch.arange(question.shape[1]) < size[:, None]
        push, pop, bit = ((question == PUSH) & here, (question == POP) & here, (question < PUSH) & here)
        begun = (push | pop).cumsum(dim=1) > 0
        after_push = pad(push, (1, 0))[:, :-1]
        formed = (bit | ~after_push | ~here) & (~bit | ~begun | after_push) & (push | pop | bit | ~here)
        ended = ~(push & (torch.arange(question.shape[1]) == size[:, None] - 1)).any(dim=1)
        level = (bit.long() - pop.long()).cumsum(dim=1)
        lowest = level.flip(1).cummin(dim=1).values.flip(1)  # from each step on
        final = level[:, -1:]
        possible = formed.all(dim=1) & ended & (level >= 0).all(dim=1) & (final[:, 0] == room)
        left = bit & (lowest == level)
        answer = question.new_zeros(question.shape)
        rows, _ = left.nonzero(as_tuple=True)
        answer[rows, (final - level)[left].clamp(0, question.shape[1] - 1)] = question[left]
        return answer, possible


@final
class StackManipulationRecognition(Recognition):
    """Recognize a stack, instructions, and the stack that they lead to: `01<>1#10` is one.

    Args:
        settings: The settings of every recognition task, see `Recognition`.

    Reference:
        Butoi, Khalighinejad, Svete, Valvoda, Cotterell & DuSell 2025, *Training Neural Networks as Recognizers of
        Formal Languages*.
    """

    language = StackManipulations()
    example = "01<>1#10"
