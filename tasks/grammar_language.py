"""The language of a probabilistic context-free grammar."""

from __future__ import annotations

import math
from typing import final

import torch
from torch import Tensor

from ddstructs.tasks.grammar import Grammar
from ddstructs.tasks.language import MeasuredLanguage
from ddstructs.tasks.normal_form import Productions

__all__ = ["GrammarLanguage", "continuing"]

BEYOND = 32
"""How much further than twice the lengths asked for the nearest length of a string is sought."""


def continuing(mean: float) -> float:
    """The probability of one more in a geometric distribution over 0, 1, 2, ... with this mean."""
    return mean / (mean + 1)


@final
class GrammarLanguage(MeasuredLanguage):
    """Strings as a grammar derives them, given their length.

    Args:
        alphabet: The terminals.
        productions: See `Grammar`.
        start: The nonterminal of a string.

    Example:
        >>> import torch
        >>> from ddstructs.tasks.grammar_language import GrammarLanguage
        >>> brackets = GrammarLanguage("()", {"B": [(0.5, "( )"), (0.25, "( B )"), (0.25, "B B")]}, "B")
        >>> brackets.nats(torch.tensor([[0, 0, 1, 1], [0, 1, 0, 1]]), torch.tensor([4, 4])).exp()  # 1 / p
        tensor([1.5000, 3.0000], dtype=torch.float64)
    """

    def __init__(self, alphabet: str, productions: Productions, start: str) -> None:
        self.alphabet = alphabet
        self.grammar = Grammar(alphabet, productions, start)

    def sizes(self, lengths: tuple[int, int]) -> list[int]:
        low, high = max(1, lengths[0]), max(1, lengths[1])
        possible = self.grammar.lengths(2 * high + BEYOND)
        return [n for n in possible if low <= n <= high] or [min(possible, key=lambda n: abs(n - high))]

    def draw(self, lengths: Tensor, generator: torch.Generator) -> Tensor:
        return self.grammar.draw(lengths, generator)

    def accepts(self, strings: Tensor, lengths: Tensor) -> Tensor:
        return self.nats(strings, lengths) < math.inf

    def nats(self, strings: Tensor, lengths: Tensor) -> Tensor:
        return self.grammar.nats(strings, lengths)
