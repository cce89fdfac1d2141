"""Regular languages, as the strings that a deterministic finite automaton accepts."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import final

import torch
from torch import Tensor

from ddstructs.tasks.language import Language

__all__ = ["Automaton"]

BEYOND = 16
"""How much further than the lengths asked for the nearest length of a string is sought."""


@final
class Automaton(Language):
    """The strings that lead from the first state of an automaton to one that accepts; each is as likely as another.

    Args:
        alphabet: The symbols.
        arcs: For each state the state that each symbol leads to; a symbol that is left out leads nowhere. The first
            state is where a string begins.
        accepting: The states in which it may end.

    Example:
        >>> import torch
        >>> from ddstructs.tasks.automaton import Automaton
        >>> alternating = Automaton("01", {"end": {"0": "on"}, "on": {"1": "end"}}, {"end"})
        >>> alternating.sizes((1, 5)), alternating.draw(torch.tensor([4]), torch.Generator()).tolist()
        ([2, 4], [[0, 1, 0, 1]])
    """

    def __init__(self, alphabet: str, arcs: Mapping[str, Mapping[str, str]], accepting: set[str]) -> None:
        self.alphabet = alphabet
        number = {state: i for i, state in enumerate(arcs)}
        nowhere = len(number)
        to = [[number[to[char]] if char in to else nowhere for char in alphabet] for to in arcs.values()]
        self.to = torch.tensor([*to, [nowhere] * len(alphabet)])
        self.accepting = torch.tensor([*(state in accepting for state in arcs), False])
        self._shares = cache(self._count)

    def sizes(self, lengths: tuple[int, int]) -> list[int]:
        low, high = (max(1, length) for length in lengths)
        there = self._shares(high + BEYOND)[:, 0] > 0
        found = [n for n in range(1, high + BEYOND + 1) if there[n]]
        return [n for n in found if low <= n <= high] or [min(found, key=lambda n: abs(n - high))]

    def draw(self, lengths: Tensor, generator: torch.Generator) -> Tensor:
        longest = int(lengths.max())
        shares = self._shares(longest)
        state = torch.zeros_like(lengths)
        chance = torch.rand(len(lengths), longest, 1, generator=generator, dtype=torch.float64)
        symbols = []
        for place in range(longest):
            left = (lengths - place - 1).clamp(min=0)
            weights = shares[left[:, None], self.to[state]].cumsum(dim=1)
            symbol = (weights <= chance[:, place] * weights[:, -1:]).sum(dim=1).clamp(max=len(self.alphabet) - 1)
            symbols.append(symbol)
            state = self.to[state, symbol]
        return torch.stack(symbols, dim=1)

    def accepts(self, strings: Tensor, lengths: Tensor) -> Tensor:
        state = torch.zeros_like(lengths)
        for place, symbol in enumerate(strings.unbind(1)):
            state = torch.where(place < lengths, self.to[state, symbol], state)
        return self.accepting[state]

    def _count(self, longest: int) -> Tensor:
        """How many strings of each length lead from each state to an accepting one, each length up to a factor."""
        counts = [self.accepting.double()]
        for _ in range(longest):
            more = counts[-1][self.to].sum(dim=1)
            counts.append(more / more.max().clamp(min=1))
        return torch.stack(counts)
